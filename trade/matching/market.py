"""The market of one stock: a book of users' orders and the outside market's quote.

Ordering      One sequence numbers every event. An order's `priority` is the number of the event that gave it
              its place (entered, triggered, replaced, or the trade that used up an iceberg's slice); within
              a price, the lower goes first. On a tick, waiting limit and bounded orders share one ranking:
              best limit, then earliest; the bids are served before the asks.
Price         A trade is at the price of the order that was waiting, or at the outside's price.
Outside       A tick (P, A) says: until the next tick the outside sells up to A shares and buys up to A
              shares at P. Nothing of A is handed out twice. An arriving order meets the outside after
              every user's order at an equal or better price.
Bounded       Trades on ticks only, when the tick's price lies within its bounds.
Stop          Waits until the last price, of a trade or a tick, reaches it. What one command has reached goes
              when that command is done, earliest first; what those reach queues behind them.
Replace       Same price and no more quantity keeps the place; anything else goes to the end of the queue
              and may trade.
Self-trade    An order that comes to its own user's order does not trade with it: by the taker's wish the
              taker, the maker, or both expire, or both lose what they would have traded.
Duplicates    An order id is entered once; cancelling what is not open returns no event.
Complexity    See `book`, `bounded` and `stops`; nothing here loops over orders that do not trade, but for
              the count that a fill-or-kill order makes first.

The rules keep no clock and draw no lots: the same commands give the same events, always.
"""

from collections import deque

from trade.matching.events import (
    Cancelled,
    Entered,
    Event,
    Expired,
    Halted,
    Replaced,
    Resumed,
    Ticked,
    Triggered,
    new_event,
)
from trade.matching.orders import BOUNDED, BUY, CANCELLED, DAY, EXPIRED, SELL, Order
from trade.matching.places import Quote
from trade.matching.trading import Trading

MARKET_HALTED = "market_halted"
POST_ONLY = "post_only"


class Market(Trading):
    """Applies commands to one stock, one at a time, and returns what happened."""

    __slots__ = ()

    # --- Commands ---------------------------------------------------------------------------------

    def enter(self, order: Order) -> list[Event]:
        """Trade what crosses, then rest the remainder or end it."""
        if self.halted:
            return [self._reject(order, MARKET_HALTED)]
        if order.post_only and self.would_trade(order, order.limit_price):
            return [self._reject(order, POST_ONLY)]
        self.sequence = order.priority = order.sequence = sequence = self.sequence + 1
        events: list[Event] = [new_event(Entered, (sequence, order))]
        if order.stop_price and not self._is_reached(order):
            self.orders[order.order_id] = order
            self._stops.add(order)
        else:
            self._arrive(order, events)
            if self._stops.waiting:
                self._trigger(events)
        return events

    def cancel(self, order_id: str, reason: str = "user") -> list[Event]:
        """Take an open order out; no event when there is none of that id."""
        order = self.orders.pop(order_id, None)
        if order is None:
            return []
        self._leave(order)
        self.sequence = order.sequence = sequence = self.sequence + 1
        quantity = order.open_quantity
        order.open_quantity = 0
        order.outcome = CANCELLED
        order.reason = reason
        if order.display_quantity:
            order.shown_quantity = 0
        return [new_event(Cancelled, (sequence, order, quantity, reason))]

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

    def replace(self, order_id: str, limit_price: int, quantity: int) -> list[Event]:
        """Give an open order a new price and a new total quantity, of which what it traded is part.

        No event, and no change, when the order is not open, when `quantity` is less than it has traded, when
        the stock is halted, or when a post-only order would trade at its new price.
        """
        order = self.orders.get(order_id)
        if order is None or self.halted or quantity < order.traded_quantity:
            return []
        if limit_price == order.limit_price and quantity <= order.quantity:
            return self._replace_in_place(order, quantity)
        return self._replace_at_the_end(order, limit_price, quantity)

    def tick(self, price: int, availability: int) -> list[Event]:
        """Take over the outside's new price and let waiting orders that accept it trade."""
        sequence = self._next()
        events: list[Event] = [Ticked(sequence, price, availability, False)]
        self.last_price = price
        available = 0 if self.halted else availability
        self._set_quote(Quote(price, availability, available, available, sequence))
        if available:
            self._serve_waiting(BUY, price, events)
            self._serve_waiting(SELL, price, events)
        self._trigger(events)
        return events

    def late_tick(self, price: int = 0, availability: int = 0) -> list[Event]:
        """Number a tick that is older than the newest: it is history and trades nothing."""
        return [Ticked(self._next(), price, availability, True)]

    def halt(self) -> list[Event]:
        """Stop trading; the outside's quote is void until the next tick."""
        if self.halted:
            return []
        self.halted = True
        if self.quote is not None:
            self._set_quote(self.quote._replace(bid_quantity=0, ask_quantity=0))
        return [Halted(self._next())]

    def resume(self) -> list[Event]:
        """Trade again; stops that were reached meanwhile go now."""
        if not self.halted:
            return []
        self.halted = False
        events: list[Event] = [Resumed(self._next())]
        self._trigger(events)
        return events

    # --- Stops --------------------------------------------------------------------------------------

    def _is_reached(self, order: Order) -> bool:
        return self.last_price is not None and order.is_reached_by(self.last_price)

    def _trigger(self, events: list[Event]) -> None:
        """Let go of the stops that the last price has reached, and of those that they reach."""
        if not self._stops.waiting or self.halted or self.last_price is None:
            return
        reached = deque(self._stops.take_reached(self.last_price))
        while reached:
            order = reached.popleft()
            del self.orders[order.order_id]
            order.priority = order.sequence = self._next()
            events.append(Triggered(order.sequence, order))
            self._arrive(order, events)
            reached.extend(self._stops.take_reached(self.last_price))

    # --- Replacing ----------------------------------------------------------------------------------

    def _replace_in_place(self, order: Order, quantity: int) -> list[Event]:
        lost = order.quantity - quantity
        open_quantity = order.open_quantity
        if lost >= open_quantity:
            return self._replace_by_nothing(order)
        sequence = self._next()
        shown = order.visible_quantity
        order.reduce(lost, sequence)
        old_quantity, order.quantity = order.quantity, quantity
        if order.kind != BOUNDED and not order.is_stopped:
            self._sides[order.side].shrink(order, shown - order.visible_quantity)
        return [Replaced(sequence, order, order.limit_price, old_quantity, open_quantity, True)]

    def _replace_by_nothing(self, order: Order) -> list[Event]:
        """Nothing is left open: the order ends as filled."""
        open_quantity, old_quantity = order.open_quantity, order.quantity
        self._remove(order)
        order.reduce(open_quantity, self._next())
        order.quantity -= open_quantity
        return [Replaced(order.sequence, order, order.limit_price, old_quantity, open_quantity, True)]

    def _replace_at_the_end(self, order: Order, limit_price: int, quantity: int) -> list[Event]:
        if order.open_quantity + quantity - order.quantity <= 0:
            return self._replace_by_nothing(order)
        if order.post_only and self.would_trade(order, limit_price):
            return []
        is_stopped = order.is_stopped
        self._remove(order)
        old_open_quantity = order.open_quantity
        new = order.replaced_by(limit_price, quantity, self._next())
        events: list[Event] = [
            Replaced(new.sequence, new, order.limit_price, order.quantity, old_open_quantity, False)
        ]
        if is_stopped:
            self.orders[new.order_id] = new
            self._stops.add(new)
        else:
            self._arrive(new, events)
            self._trigger(events)
        return events
