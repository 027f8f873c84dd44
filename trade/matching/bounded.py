"""The bounded orders of one side: they wait for a tick inside their bounds and are in no book.

Most ticks match none of them. So the open price interval around the last tick in which nothing matches
is remembered, and a tick inside it costs two comparisons however many orders wait.
"""

from collections.abc import Iterator, Sequence

from trade.matching.orders import Order

# Above every price there is.
ENDLESS = 2**63 - 1


def rank(order: Order) -> tuple[int, int]:
    """Sorts waiting orders of one side for the outside market: best limit first, then earliest."""
    return (-order.side * order.limit_price, order.priority)


class BoundedSide:
    """The waiting bounded orders of one side, by order id."""

    __slots__ = ("_orders", "_quiet_above", "_quiet_below")

    def __init__(self) -> None:
        self._orders: dict[str, Order] = {}
        self._forget_quiet()

    def add(self, order: Order) -> None:
        self._orders[order.order_id] = order
        self._forget_quiet()

    def remove(self, order: Order) -> None:
        # One order fewer leaves a quiet interval quiet.
        del self._orders[order.order_id]

    def accepting(self, price: int) -> Sequence[Order]:
        """Those that trade at `price`, in the order in which they do."""
        if not self._orders or self._quiet_above < price < self._quiet_below:
            return ()
        accepting = [order for order in self._orders.values() if order.accepts(price)]
        if not accepting:
            self._remember_quiet(price)
        accepting.sort(key=rank)
        return accepting

    def _remember_quiet(self, price: int) -> None:
        """The interval around a price that nothing accepted: every order's bounds are above it or below."""
        above, below = 0, ENDLESS
        for order in self._orders.values():
            low, high = sorted((order.limit_price, order.other_bound))
            if low > price:
                below = min(below, low)
            else:
                above = max(above, high)
        self._quiet_above, self._quiet_below = above, below

    def _forget_quiet(self) -> None:
        self._quiet_above = self._quiet_below = 0

    def __iter__(self) -> Iterator[Order]:
        return iter(self._orders.values())

    def __len__(self) -> int:
        return len(self._orders)
