"""What an arriving order trades with, and what a tick fills.

The loops are written for speed: this is where an exchange spends its time. Events are appended to the list
that the command returns.
"""

from collections import deque

from trade.matching.book import BookSide, Level
from trade.matching.bounded import rank
from trade.matching.events import Event, Prevented, Reduced, Trade, new_event
from trade.matching.orders import (
    BOUNDED,
    BUY,
    DECREMENT,
    EXPIRE_BOTH,
    EXPIRE_MAKER,
    EXPIRE_TAKER,
    FOK,
    IOC,
    MARKET,
    SELL,
    Order,
)
from trade.matching.places import Places

NO_LIQUIDITY = "no_liquidity"
SELF_TRADE = "self_trade"


class Trading(Places):
    """The rules of who trades with whom, how much and at which price."""

    __slots__ = ()

    # --- Arriving -----------------------------------------------------------------------------------

    def _arrive(self, order: Order, events: list[Event]) -> None:
        """Let an order that has its place in time trade, and rest or end what is left."""
        if order.kind == BOUNDED:
            self._wait(order)
            return
        if order.time_in_force == FOK and not self._can_fill(order):
            events.append(self._cancel(order, FOK))
            return
        side = order.side
        keys = self._sides[-side].keys
        if self._outside[side]:
            self._match(order, events)
        elif keys and keys[-1] >= -side * order.limit_price:
            self._trade_with_users(order, self._sides[-side], order.limit_price, events)
        if not order.open_quantity:
            return
        if order.kind == MARKET:
            events.append(self._cancel(order, NO_LIQUIDITY))
        elif order.time_in_force == IOC:
            events.append(self._cancel(order, IOC))
        else:
            if order.display_quantity:
                order.show()
            self.orders[order.order_id] = order
            self._sides[side].add(order)

    def _match(self, taker: Order, events: list[Event]) -> None:
        """Trade with users and with the outside, which has something for the taker's side."""
        side, limit_price = taker.side, taker.limit_price
        makers = self._sides[-side]
        quote = self.quote
        if quote is not None and side * quote.price <= side * limit_price:
            # Users at the outside's price or better go before it.
            if not self._trade_with_users(taker, makers, quote.price, events):
                return
            if taker.open_quantity:
                self._trade_with_outside(taker, side, events)
        if makers.accepts(limit_price):
            self._trade_with_users(taker, makers, limit_price, events)

    def would_trade(self, order: Order, limit_price: int) -> bool:
        """Whether the order, arriving now with this limit, would trade at once."""
        side = order.side
        if self._sides[-side].accepts(limit_price):
            return True
        quote = self.quote
        return quote is not None and self._outside[side] > 0 and side * quote.price <= side * limit_price

    def _can_fill(self, taker: Order) -> bool:
        """Whether all of a fill-or-kill order would trade now, with the hidden parts of icebergs.

        Its own user's orders stop the count, unless they make way.
        """
        wanted, side = taker.open_quantity, taker.side
        quote, outside = self.quote, self._outside[side]
        if quote is None or not taker.accepts(quote.price):
            outside = 0
        for level in self._sides[-side].levels():
            if outside and quote is not None and side * level.price > side * quote.price:
                wanted -= outside
                outside = 0
            if wanted <= 0 or not taker.accepts(level.price):
                break
            reachable, is_end = _reachable_quantity(level, taker, wanted)
            wanted -= reachable
            if is_end:
                return wanted <= 0
        return wanted - outside <= 0

    # --- Trading ------------------------------------------------------------------------------------

    def _trade_with_users(
        self, taker: Order, makers: BookSide, worst_price: int, events: list[Event]
    ) -> bool:
        """Trade with waiting orders down to `worst_price`. False when the taker is over before that."""
        worst_key = makers.side * worst_price
        keys, levels, is_buy = makers.keys, makers.levels_by_key, taker.side == BUY
        orders = self.orders
        while (wanted := taker.open_quantity) and keys and keys[-1] >= worst_key:
            level = levels[keys[-1]]
            queue = level.queue
            maker = queue[0]
            shown = maker.open_quantity
            if not shown:
                queue.popleft()
                continue
            if maker.user_id == taker.user_id:
                if self._prevent(taker, maker, events):
                    continue
                return False
            if maker.display_quantity:
                shown = maker.shown_quantity
            quantity = wanted if wanted < shown else shown
            price = level.price
            value = quantity * price
            sequence = self.sequence + 1
            self.sequence = taker.sequence = maker.sequence = sequence
            taker.open_quantity = wanted - quantity
            taker.traded_quantity += quantity
            taker.traded_value += value
            maker.open_quantity = left = maker.open_quantity - quantity
            maker.traded_quantity += quantity
            maker.traded_value += value
            if is_buy:
                trade = (sequence, price, quantity, taker, maker, BUY, None)
            else:
                trade = (sequence, price, quantity, maker, taker, SELL, None)
            events.append(new_event(Trade, trade))
            self.last_price = price
            if left or maker.display_quantity:
                self._settle_maker(maker, level, makers, quantity, shown)
            else:
                del orders[maker.order_id]
                makers.drop_first(level, quantity)
        return True

    def _settle_maker(self, maker: Order, level: Level, makers: BookSide, gone: int, shown: int) -> None:
        """Put the best level right after `gone` of the `shown` shares of its first order are gone."""
        if not maker.open_quantity:
            maker.shown_quantity = 0
            del self.orders[maker.order_id]
            makers.drop_first(level, gone)
            return
        level.quantity -= gone
        if maker.display_quantity:
            maker.shown_quantity = shown - gone
            if not maker.shown_quantity:
                level.requeue_first(maker.sequence)

    def _trade_with_outside(self, order: Order, taker_side: int, events: list[Event]) -> int:
        """Fill `order` at the quote's price with what the outside has left for its side; how much."""
        quote = self.quote
        assert quote is not None
        side = order.side
        resting = taker_side != side
        open_quantity = order.visible_quantity if resting else order.open_quantity
        quantity = min(open_quantity, self._outside[side])
        self._outside[side] -= quantity
        self.quote = quote._replace(bid_quantity=self._outside[SELL], ask_quantity=self._outside[BUY])
        self.last_price = quote.price
        sequence = self._next()
        order.fill(quantity, quote.price, sequence)
        bid, ask = (order, None) if side == BUY else (None, order)
        events.append(Trade(sequence, quote.price, quantity, bid, ask, taker_side, quote.tick_sequence))
        return quantity

    def _serve_waiting(self, side: int, price: int, events: list[Event]) -> None:
        """Let waiting orders of `side` that accept the new quote trade with it, while it has shares left."""
        book = self._sides[side]
        accepting = self._bounded[side].accepting(price)
        if not accepting and not book.accepts(price):
            return
        bounded = deque(accepting)
        while self._outside[side]:
            level = book.best() if book.accepts(price) else None
            order = level.first() if level is not None else None
            if bounded and (order is None or rank(bounded[0]) < rank(order)):
                self._serve_bounded(bounded.popleft(), events)
            elif level is not None and order is not None:
                shown = order.visible_quantity
                traded = self._trade_with_outside(order, -side, events)
                self._settle_maker(order, level, book, traded, shown)
            else:
                return

    def _serve_bounded(self, order: Order, events: list[Event]) -> None:
        self._trade_with_outside(order, -order.side, events)
        if not order.open_quantity:
            self._bounded[order.side].remove(order)
            del self.orders[order.order_id]

    # --- Self-trade prevention ----------------------------------------------------------------------

    def _prevent(self, taker: Order, maker: Order, events: list[Event]) -> bool:
        """Keep a taker from trading with its own user's order. False when the taker is over."""
        quantity = min(taker.open_quantity, maker.visible_quantity)
        events.append(Prevented(self._next(), taker, maker, quantity))
        if taker.self_trade == DECREMENT:
            self._lose_resting(maker, quantity, events)
            self._lose(taker, quantity, events)
        if taker.self_trade in (EXPIRE_MAKER, EXPIRE_BOTH):
            self._lose_resting(maker, maker.open_quantity, events)
        if taker.self_trade in (EXPIRE_TAKER, EXPIRE_BOTH):
            self._lose(taker, taker.open_quantity, events)
        return taker.open_quantity > 0

    def _lose(self, order: Order, quantity: int, events: list[Event]) -> None:
        """Give up `quantity` of an order that is in no place."""
        if quantity == order.open_quantity:
            events.append(self._cancel(order, SELF_TRADE))
            return
        sequence = self._next()
        order.reduce(quantity, sequence)
        events.append(Reduced(sequence, order, quantity, SELF_TRADE))

    def _lose_resting(self, maker: Order, quantity: int, events: list[Event]) -> None:
        """Give up `quantity` of a resting order, no more than its shown slice unless all of it."""
        makers = self._sides[maker.side]
        if quantity == maker.open_quantity:
            self._remove(maker)
            events.append(self._cancel(maker, SELF_TRADE))
            return
        level = makers.best()
        assert level is not None
        shown = maker.visible_quantity
        sequence = self._next()
        maker.open_quantity -= quantity
        maker.sequence = sequence
        self._settle_maker(maker, level, makers, quantity, shown)
        events.append(Reduced(sequence, maker, quantity, SELF_TRADE))


def _reachable_quantity(level: Level, taker: Order, wanted: int) -> tuple[int, bool]:
    """What the taker can trade at the level, counted until it is `wanted`; whether it gets no further."""
    shown = hidden = 0
    for maker in level.queue:
        if not maker.open_quantity:
            continue
        if maker.user_id != taker.user_id:
            shown += maker.visible_quantity
            hidden += maker.open_quantity - maker.visible_quantity
            if shown >= wanted:
                return shown, True
        elif taker.self_trade != EXPIRE_MAKER:
            # What is hidden comes to the end of the queue, behind this order.
            return shown, True
    return shown + hidden, False
