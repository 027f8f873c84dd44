"""One side of the limit order book: levels by price, each a queue by time.

A level's key is `side * price`, so the best price has the greatest key on either side and the two sides
share every line. Keys are kept in an ascending list with the best LAST: new prices near the touch move
few entries, and the best level goes with a `pop`.

Cancelling only empties the order; its place in the queue is swept when the front of the queue passes
it, or when the dead outnumber the living. So adding, cancelling and filling are O(1) in the number of
orders, and O(log levels) plus a short move when a level appears or goes.
"""

from bisect import bisect_left, insort
from collections import deque
from collections.abc import Iterator

from trade.matching.orders import Order

# Sweeping a queue is put off until this many dead orders are in it.
SWEEP_SLACK = 32


class Level:
    """The orders at one price, earliest first, and their totals."""

    __slots__ = ("count", "price", "quantity", "queue")

    def __init__(self, price: int) -> None:
        self.price = price
        self.quantity = 0
        self.count = 0
        self.queue: deque[Order] = deque()

    def first(self) -> Order:
        """The earliest open order. The level must not be empty."""
        queue = self.queue
        while not queue[0].open_quantity:
            queue.popleft()
        return queue[0]

    def sweep(self) -> None:
        if len(self.queue) > 2 * self.count + SWEEP_SLACK:
            self.queue = deque(order for order in self.queue if order.open_quantity)


class BookSide:
    """The resting limit orders of one side."""

    __slots__ = ("_keys", "_levels", "side")

    def __init__(self, side: int) -> None:
        self.side = side
        self._keys: list[int] = []
        self._levels: dict[int, Level] = {}

    def best(self) -> Level | None:
        """The best level, or None when the side is empty."""
        return self._levels[self._keys[-1]] if self._keys else None

    def accepts(self, price: int) -> bool:
        """Whether the best order would trade at `price`."""
        return bool(self._keys) and self._keys[-1] >= self.side * price

    def add(self, order: Order) -> None:
        """Put an open order at the end of the queue at its price."""
        key = self.side * order.limit_price
        level = self._levels.get(key)
        if level is None:
            level = self._levels[key] = Level(order.limit_price)
            insort(self._keys, key)
        level.queue.append(order)
        level.quantity += order.open_quantity
        level.count += 1

    def reduce(self, order: Order, quantity: int, still_open: bool) -> None:
        """Take `quantity` off the totals of the order's level; drop it when nobody is left there."""
        key = self.side * order.limit_price
        level = self._levels[key]
        level.quantity -= quantity
        if still_open:
            return
        level.count -= 1
        if level.count:
            level.sweep()
        else:
            self._drop(key)

    def _drop(self, key: int) -> None:
        del self._levels[key]
        if self._keys[-1] == key:
            self._keys.pop()
        else:
            del self._keys[bisect_left(self._keys, key)]

    def levels(self) -> Iterator[Level]:
        """Best first."""
        return (self._levels[key] for key in reversed(self._keys))

    def __iter__(self) -> Iterator[Order]:
        """Open orders, best price first, then earliest."""
        return (order for level in self.levels() for order in level.queue if order.open_quantity)
