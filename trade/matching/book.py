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
    """The orders at one price, earliest first, and what the book shows of them."""

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

    def requeue_first(self, priority: int) -> None:
        """Show the next slice of the iceberg at the front, at the end of the queue."""
        order = self.queue.popleft()
        order.show()
        order.priority = priority
        self.quantity += order.shown_quantity
        self.queue.append(order)

    def sweep(self) -> None:
        """Drop the dead from the queue."""
        self.queue = deque([order for order in self.queue if order.open_quantity])


class BookSide:
    """The resting limit orders of one side."""

    __slots__ = ("keys", "levels_by_key", "side")

    def __init__(self, side: int) -> None:
        self.side = side
        # Ascending, the best last. These two are read by the matcher's loops and changed here only.
        self.keys: list[int] = []
        self.levels_by_key: dict[int, Level] = {}

    def best(self) -> Level | None:
        """The best level, or None when the side is empty."""
        return self.levels_by_key[self.keys[-1]] if self.keys else None

    def accepts(self, price: int) -> bool:
        """Whether the best order would trade at `price`."""
        return bool(self.keys) and self.keys[-1] >= self.side * price

    def add(self, order: Order) -> None:
        """Put an open order at the end of the queue at its price."""
        key = self.side * order.limit_price
        level = self.levels_by_key.get(key)
        if level is None:
            level = self.levels_by_key[key] = Level(order.limit_price)
            insort(self.keys, key)
        order.ahead_quantity = quantity = level.quantity
        order.ahead_orders = count = level.count
        level.quantity = quantity + (order.shown_quantity if order.display_quantity else order.open_quantity)
        level.count = count + 1
        level.queue.append(order)

    def shrink(self, order: Order, quantity: int) -> None:
        """Take `quantity`, no more shown, off the level of an order that stays."""
        self.levels_by_key[self.side * order.limit_price].quantity -= quantity

    def remove(self, order: Order) -> None:
        """Take an open order off its level, and the level when it was the last."""
        key = self.side * order.limit_price
        level = self.levels_by_key[key]
        level.count = count = level.count - 1
        if count:
            level.quantity -= order.shown_quantity if order.display_quantity else order.open_quantity
            if len(level.queue) > 2 * count + SWEEP_SLACK:
                level.sweep()
            return
        del self.levels_by_key[key]
        if self.keys[-1] == key:
            self.keys.pop()
        else:
            del self.keys[bisect_left(self.keys, key)]

    def drop_first(self, level: Level, quantity: int) -> None:
        """Take the first order, which just traded its last `quantity`, off the best level."""
        level.count = count = level.count - 1
        if count:
            level.queue.popleft()
            level.quantity -= quantity
        else:
            del self.levels_by_key[self.keys.pop()]

    def levels(self) -> Iterator[Level]:
        """Best first."""
        return (self.levels_by_key[key] for key in reversed(self.keys))

    def __iter__(self) -> Iterator[Order]:
        """Open orders, best price first, then earliest."""
        return (order for level in self.levels() for order in level.queue if order.open_quantity)
