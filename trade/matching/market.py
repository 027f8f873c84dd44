"""The market of one stock: a book of users' orders and the outside market's quote.

Ordering      One sequence numbers every event. An order's `priority` is the number it entered with; within
              a price, the lower goes first. On a tick, waiting limit and bounded orders share one ranking:
              best limit, then earliest; the bids are served before the asks.
Price         A trade is at the price of the order that was waiting, or at the outside's price.
Outside       A tick (P, A) says: until the next tick the outside sells up to A shares and buys up to A
              shares at P. Nothing of A is handed out twice. An arriving order meets the outside after
              every user's order at an equal or better price.
Bounded       Trades on ticks only, when the tick's price lies within its bounds.
Self-trade    An order that comes to its own user's order loses its remainder (expire taker).
Duplicates    An order id is entered once; cancelling what is not open returns no event.
Complexity    See `book` and `bounded`; nothing here loops over orders that do not trade.

The rules keep no clock and draw no lots: the same commands give the same events, always.
"""

from collections.abc import Iterable
from typing import NamedTuple

from trade.matching.book import BookSide, Level
from trade.matching.bounded import BoundedSide, rank
from trade.matching.events import (
    Cancelled,
    Entered,
    Event,
    Expired,
    Halted,
    Rejected,
    Resumed,
    Ticked,
    Trade,
)
from trade.matching.orders import (
    BOUNDED,
    BUY,
    CANCELLED,
    DAY,
    EXPIRED,
    FOK,
    GTC,
    LIMIT,
    MARKET,
    REJECTED,
    SELL,
    Order,
)

NO_LIQUIDITY = "no_liquidity"
SELF_TRADE = "self_trade"
MARKET_HALTED = "market_halted"


class Quote(NamedTuple):
    """The outside market until the next tick: it still buys `bid_quantity`, still sells `ask_quantity`."""

    price: int
    availability: int
    bid_quantity: int
    ask_quantity: int
    tick_sequence: int


class Market:
    """Applies commands to one stock, one at a time, and returns what happened."""

    __slots__ = ("_bounded", "_outside", "_sides", "halted", "last_price", "orders", "quote", "sequence")

    def __init__(self, sequence: int = 0) -> None:
        self.sequence = sequence
        self.halted = False
        self.last_price: int | None = None
        self.quote: Quote | None = None
        self.orders: dict[str, Order] = {}
        self._sides = {BUY: BookSide(BUY), SELL: BookSide(SELL)}
        self._bounded = {BUY: BoundedSide(), SELL: BoundedSide()}
        # What the outside still trades with an order of this side: a buyer takes what it sells.
        self._outside = {BUY: 0, SELL: 0}

    # --- Commands ---------------------------------------------------------------------------------

    def enter(self, order: Order) -> list[Event]:
        """Trade what crosses, then rest the remainder or end it."""
        if self.halted:
            return [self._reject(order, MARKET_HALTED)]
        order.priority = order.sequence = self._next()
        events: list[Event] = [Entered(order.sequence, order)]
        if order.kind == BOUNDED:
            self._wait(order)
        elif order.time_in_force == FOK and not self._can_fill(order):
            events.append(self._cancel(order, FOK))
        else:
            self._match(order, events)
            if order.open_quantity:
                self._place_remainder(order, events)
        return events

    def cancel(self, order_id: str, reason: str = "user") -> list[Event]:
        """Take an open order out; no event when there is none of that id."""
        order = self.orders.get(order_id)
        if order is None:
            return []
        self._remove(order)
        return [self._cancel(order, reason)]

    def turn_away(self, order: Order, reason: str) -> list[Event]:
        """End an order that has not entered yet."""
        return [self._cancel(order, reason)]

    def expire(self, order_id: str, reason: str = DAY) -> list[Event]:
        """As `cancel`, because the order's time is over."""
        order = self.orders.get(order_id)
        if order is None:
            return []
        self._remove(order)
        sequence = self._next()
        return [Expired(sequence, order, order.close(EXPIRED, reason, sequence), reason)]

    def tick(self, price: int, availability: int) -> list[Event]:
        """Take over the outside's new price and let waiting orders that accept it trade."""
        sequence = self._next()
        events: list[Event] = [Ticked(sequence, price, availability, late=False)]
        self.last_price = price
        available = 0 if self.halted else availability
        self._set_quote(Quote(price, availability, available, available, sequence))
        for side in (BUY, SELL):
            self._serve_waiting(side, events)
        return events

    def late_tick(self, price: int = 0, availability: int = 0) -> list[Event]:
        """Number a tick that is older than the newest: it is history and trades nothing."""
        return [Ticked(self._next(), price, availability, late=True)]

    def halt(self) -> list[Event]:
        """Stop trading; the outside's quote is void until the next tick."""
        if self.halted:
            return []
        self.halted = True
        if self.quote is not None:
            self._set_quote(self.quote._replace(bid_quantity=0, ask_quantity=0))
        return [Halted(self._next())]

    def resume(self) -> list[Event]:
        """Trade again."""
        if not self.halted:
            return []
        self.halted = False
        return [Resumed(self._next())]

    # --- Restoring from what is stored --------------------------------------------------------------

    def restore(self, orders: Iterable[Order]) -> None:
        """Put stored open orders back. They must come by priority, and after every order already here."""
        for order in orders:
            self._wait(order)

    def restore_quote(self, quote: Quote | None) -> None:
        self._set_quote(quote)

    def restore_fills(self, order_id: str, stored: Order) -> None:
        """Bring an order that stayed in its place up to the stored quantities."""
        order = self.orders[order_id]
        if order.kind != BOUNDED:
            self._sides[order.side].reduce(order, order.open_quantity - stored.open_quantity, still_open=True)
        order.open_quantity = stored.open_quantity
        order.traded_quantity = stored.traded_quantity
        order.traded_value = stored.traded_value
        order.sequence = order.stored_sequence = stored.sequence

    def forget(self, order_id: str) -> None:
        """Drop an order that another process ended; nothing when it is not here."""
        order = self.orders.get(order_id)
        if order is not None:
            self._remove(order)
            order.open_quantity = 0

    # --- Looking ------------------------------------------------------------------------------------

    def snapshot(
        self, depth: int
    ) -> tuple[tuple[tuple[int, int, int], ...], tuple[tuple[int, int, int], ...]]:
        """The best `depth` levels of each side, best first, as (price, quantity, number of orders)."""
        return self._top(self._sides[BUY], depth), self._top(self._sides[SELL], depth)

    @staticmethod
    def _top(side: BookSide, depth: int) -> tuple[tuple[int, int, int], ...]:
        levels = side.levels()
        return tuple(
            (level.price, level.quantity, level.count) for level, _ in zip(levels, range(depth), strict=False)
        )

    def side(self, side: int) -> BookSide:
        return self._sides[side]

    def bounded(self, side: int) -> BoundedSide:
        return self._bounded[side]

    # --- Matching -----------------------------------------------------------------------------------

    def _match(self, taker: Order, events: list[Event]) -> None:
        outside = self._outside_price(taker)
        if outside is not None:
            # Users at the outside's price or better go before it.
            if not self._trade_with_users(taker, outside, events):
                return
            self._trade_with_outside(taker, taker.side, events)
        self._trade_with_users(taker, taker.limit_price, events)

    def _outside_price(self, taker: Order) -> int | None:
        """The outside's price, when it has shares left for this order at a price that it accepts."""
        if self.quote is None or not self._outside[taker.side] or not taker.accepts(self.quote.price):
            return None
        return self.quote.price

    def _trade_with_users(self, taker: Order, worst_price: int, events: list[Event]) -> bool:
        """Trade with waiting orders down to `worst_price`. False when it met its own user's order."""
        makers = self._sides[-taker.side]
        while taker.open_quantity and makers.accepts(worst_price):
            level = makers.best()
            assert level is not None
            maker = level.first()
            if maker.user_id == taker.user_id:
                events.append(self._cancel(taker, SELF_TRADE))
                return False
            self._trade(taker, maker, level, makers, events)
        return True

    def _trade(self, taker: Order, maker: Order, level: Level, makers: BookSide, events: list[Event]) -> None:
        quantity = min(taker.open_quantity, maker.open_quantity)
        price = self.last_price = level.price
        sequence = self._next()
        taker.fill(quantity, price, sequence)
        maker.fill(quantity, price, sequence)
        makers.reduce(maker, quantity, still_open=maker.open_quantity > 0)
        if not maker.open_quantity:
            del self.orders[maker.order_id]
        bid, ask = (taker, maker) if taker.side == BUY else (maker, taker)
        events.append(Trade(sequence, price, quantity, bid, ask, taker.side, None))

    def _trade_with_outside(self, order: Order, taker_side: int, events: list[Event]) -> None:
        """Fill `order` at the quote's price with what the outside has left for its side."""
        quote = self.quote
        assert quote is not None
        quantity = min(order.open_quantity, self._outside[order.side])
        if not quantity:
            return
        self._spend_outside(order.side, quantity)
        self.last_price = quote.price
        sequence = self._next()
        order.fill(quantity, quote.price, sequence)
        bid, ask = (order, None) if order.side == BUY else (None, order)
        events.append(Trade(sequence, quote.price, quantity, bid, ask, taker_side, quote.tick_sequence))

    def _serve_waiting(self, side: int, events: list[Event]) -> None:
        """Let waiting orders of `side` that accept the new quote trade with it, while it has shares left."""
        assert self.quote is not None
        price = self.quote.price
        book = self._sides[side]
        bounded = iter(self._bounded[side].accepting(price) if self._outside[side] else ())
        next_bounded = next(bounded, None)
        while self._outside[side]:
            level = book.best() if book.accepts(price) else None
            order = level.first() if level is not None else None
            if next_bounded is not None and (order is None or rank(next_bounded) < rank(order)):
                order, next_bounded = next_bounded, next(bounded, None)
            if order is None:
                return
            before = order.open_quantity
            self._trade_with_outside(order, -side, events)
            self._settle_waiting(order, before - order.open_quantity)

    def _settle_waiting(self, order: Order, traded: int) -> None:
        """Take what a waiting order just traded off its side, and the order itself when it is filled."""
        if order.kind != BOUNDED:
            self._sides[order.side].reduce(order, traded, still_open=order.open_quantity > 0)
        elif not order.open_quantity:
            self._bounded[order.side].remove(order)
        if not order.open_quantity:
            del self.orders[order.order_id]

    def _can_fill(self, taker: Order) -> bool:
        """Whether all of a fill-or-kill order would trade now. Its own user's orders stop the count."""
        wanted = taker.open_quantity
        outside = self._outside_price(taker)
        for maker in self._sides[-taker.side]:
            if outside is not None and taker.side * maker.limit_price > taker.side * outside:
                wanted -= self._outside[taker.side]
                outside = None
            if wanted <= 0 or not taker.accepts(maker.limit_price) or maker.user_id == taker.user_id:
                break
            wanted -= maker.open_quantity
        else:
            if outside is not None:
                wanted -= self._outside[taker.side]
        return wanted <= 0

    # --- Places -------------------------------------------------------------------------------------

    def _place_remainder(self, order: Order, events: list[Event]) -> None:
        if order.kind == LIMIT and order.time_in_force in (GTC, DAY):
            self._wait(order)
        else:
            events.append(self._cancel(order, NO_LIQUIDITY if order.kind == MARKET else order.time_in_force))

    def _wait(self, order: Order) -> None:
        self.orders[order.order_id] = order
        place = self._bounded if order.kind == BOUNDED else self._sides
        place[order.side].add(order)

    def _remove(self, order: Order) -> None:
        del self.orders[order.order_id]
        if order.kind == BOUNDED:
            self._bounded[order.side].remove(order)
        else:
            self._sides[order.side].reduce(order, order.open_quantity, still_open=False)

    def _cancel(self, order: Order, reason: str) -> Cancelled:
        sequence = self._next()
        return Cancelled(sequence, order, order.close(CANCELLED, reason, sequence), reason)

    def _reject(self, order: Order, reason: str) -> Rejected:
        sequence = self._next()
        order.priority = sequence
        return Rejected(sequence, order, order.close(REJECTED, reason, sequence), reason)

    def _next(self) -> int:
        self.sequence += 1
        return self.sequence

    # --- The outside --------------------------------------------------------------------------------

    def _set_quote(self, quote: Quote | None) -> None:
        self.quote = quote
        self._outside[BUY] = quote.ask_quantity if quote else 0
        self._outside[SELL] = quote.bid_quantity if quote else 0

    def _spend_outside(self, side: int, quantity: int) -> None:
        quote = self.quote
        assert quote is not None
        self._outside[side] -= quantity
        self.quote = quote._replace(bid_quantity=self._outside[SELL], ask_quantity=self._outside[BUY])
