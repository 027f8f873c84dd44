"""Where the orders of one stock wait: the book, the bounded orders, the stops; and the outside's quote.

`Places` keeps them consistent and knows no rule of trading. An order is in `orders` while it is open, and
in exactly one place.
"""

from collections.abc import Iterable
from typing import NamedTuple

from trade.matching.book import BookSide
from trade.matching.bounded import BoundedSide
from trade.matching.events import Cancelled, Rejected
from trade.matching.orders import BOUNDED, BUY, CANCELLED, REJECTED, SELL, Order
from trade.matching.stops import Stops

SnapshotLevel = tuple[int, int, int]


class Quote(NamedTuple):
    """The outside market until the next tick: it still buys `bid_quantity`, still sells `ask_quantity`."""

    price: int
    availability: int
    bid_quantity: int
    ask_quantity: int
    tick_sequence: int


class Places:
    """What waits, where, and the sequence that numbers what happens to it."""

    __slots__ = (
        "_bounded",
        "_outside",
        "_sides",
        "_stops",
        "halted",
        "last_price",
        "orders",
        "quote",
        "sequence",
    )

    def __init__(self, sequence: int = 0) -> None:
        self.sequence = sequence
        self.halted = False
        self.last_price: int | None = None
        self.quote: Quote | None = None
        self.orders: dict[str, Order] = {}
        self._sides = {BUY: BookSide(BUY), SELL: BookSide(SELL)}
        self._bounded = {BUY: BoundedSide(), SELL: BoundedSide()}
        self._stops = Stops()
        # What the outside still trades with an order of this side: a buyer takes what it sells.
        self._outside = {BUY: 0, SELL: 0}

    # --- Restoring from what is stored --------------------------------------------------------------

    def restore(self, orders: Iterable[Order]) -> None:
        """Put stored open orders back. They must come by priority, and after every order already here."""
        for order in orders:
            self._wait(order)

    def restore_quote(self, quote: Quote | None) -> None:
        self._set_quote(quote)

    def forget(self, order_id: str) -> None:
        """Drop an order that another process ended or moved; nothing when it is not here."""
        order = self.orders.get(order_id)
        if order is not None:
            self._remove(order)
            order.open_quantity = 0

    def restore_fills(self, order_id: str, stored: Order) -> None:
        """Bring an order that stayed in its place up to what is stored of it."""
        order = self.orders[order_id]
        if order.kind != BOUNDED and not order.is_stopped:
            self._sides[order.side].shrink(order, order.visible_quantity - stored.visible_quantity)
        order.quantity = stored.quantity
        order.open_quantity = stored.open_quantity
        order.shown_quantity = stored.shown_quantity
        order.traded_quantity = stored.traded_quantity
        order.traded_value = stored.traded_value
        order.sequence = order.stored_sequence = stored.sequence
        order.held = stored.held

    # --- Looking ------------------------------------------------------------------------------------

    def snapshot(self, depth: int) -> tuple[tuple[SnapshotLevel, ...], tuple[SnapshotLevel, ...]]:
        """The best `depth` levels of each side, best first, as (price, quantity, number of orders)."""
        return self._top(self._sides[BUY], depth), self._top(self._sides[SELL], depth)

    @staticmethod
    def _top(side: BookSide, depth: int) -> tuple[SnapshotLevel, ...]:
        levels = zip(side.levels(), range(depth), strict=False)
        return tuple((level.price, level.quantity, level.count) for level, _ in levels)

    def side(self, side: int) -> BookSide:
        return self._sides[side]

    def bounded(self, side: int) -> BoundedSide:
        return self._bounded[side]

    @property
    def stops(self) -> Stops:
        return self._stops

    # --- Moving -------------------------------------------------------------------------------------

    def _wait(self, order: Order) -> None:
        self.orders[order.order_id] = order
        if order.is_stopped:
            self._stops.add(order)
        elif order.kind == BOUNDED:
            self._bounded[order.side].add(order)
        else:
            self._sides[order.side].add(order)

    def _remove(self, order: Order) -> None:
        del self.orders[order.order_id]
        self._leave(order)

    def _leave(self, order: Order) -> None:
        """Take an order out of the place in which it waits."""
        if order.kind == BOUNDED:
            self._bounded[order.side].remove(order)
        elif order.stop_price and order.is_stopped:
            self._stops.remove(order)
        else:
            self._sides[order.side].remove(order)

    def _cancel(self, order: Order, reason: str) -> Cancelled:
        self.sequence = sequence = self.sequence + 1
        return Cancelled(sequence, order, order.close(CANCELLED, reason, sequence), reason)

    def _reject(self, order: Order, reason: str) -> Rejected:
        sequence = self._next()
        order.priority = sequence
        return Rejected(sequence, order, order.close(REJECTED, reason, sequence), reason)

    def _next(self) -> int:
        self.sequence += 1
        return self.sequence

    def _set_quote(self, quote: Quote | None) -> None:
        self.quote = quote
        self._outside[BUY] = quote.ask_quantity if quote else 0
        self._outside[SELL] = quote.bid_quantity if quote else 0
