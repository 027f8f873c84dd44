"""The naive twin of the matcher: the rules once more, so plainly that they can be checked by reading.

It imports nothing of the core. Waiting orders are one list in no particular order; whoever needs an order of
precedence filters and sorts that list on the spot. Buy and sell are written out separately on purpose: a sign
that is wrong in the core cannot be wrong here in the same way.

Facts are returned as tuples `(word, sequence, ...)`:
    ("entered", sequence, order_id)
    ("trade", sequence, price, quantity, bid_order_id, ask_order_id, taker_side, tick_sequence)
    ("cancelled" | "expired" | "rejected", sequence, order_id, quantity, reason)
    ("ticked", sequence, price, availability, late)
    ("halted" | "resumed", sequence)
In a trade the outside's side is None, and so is `tick_sequence` when the outside has no part in it.
"""

from dataclasses import dataclass
from typing import Any

from trade.tests.matching.commands import (
    BUY,
    SELL,
    Cancel,
    Command,
    Enter,
    Expire,
    Halt,
    LateTick,
    Resume,
    Tick,
    TurnAway,
)

Fact = tuple[Any, ...]
Level = tuple[int, int, int]
Quantities = tuple[int, int, int]


@dataclass
class ReferenceOrder:
    terms: Enter
    open_quantity: int
    traded_quantity: int = 0
    traded_value: int = 0
    entered_at: int = 0

    def fill(self, price: int, quantity: int) -> None:
        self.open_quantity -= quantity
        self.traded_quantity += quantity
        self.traded_value += price * quantity


@dataclass
class ReferenceQuote:
    price: int
    availability: int
    outside_buys: int
    outside_sells: int
    tick_sequence: int


@dataclass
class Offer:
    """Something an arriving order may trade with: a user's waiting order, or the outside when it is None."""

    price: int
    quantity: int
    order: ReferenceOrder | None


class ReferenceMarket:
    """One stock. Slow: every question is answered by looking at every order."""

    def __init__(self) -> None:
        self.sequence = 0
        self.halted = False
        self.last_price: int | None = None
        self.waiting: list[ReferenceOrder] = []
        self.quote: ReferenceQuote | None = None
        self.all_orders: dict[str, ReferenceOrder] = {}

    def run(self, command: Command) -> list[Fact]:
        match command:
            case Enter():
                return self._enter(command)
            case Cancel(order_id, reason):
                return self._end("cancelled", order_id, reason)
            case TurnAway(terms, reason):
                return self._turn_away(terms, reason)
            case Expire(order_id, reason):
                return self._end("expired", order_id, reason)
            case Tick(price, availability):
                return self._tick(price, availability)
            case LateTick(price, availability):
                return [("ticked", self._next_sequence(), price, availability, True)]
            case Halt():
                return self._halt()
            case Resume():
                return self._resume()

    def levels(self) -> tuple[list[Level], list[Level]]:
        """Bids and asks as (price, quantity, orders), best first; bounded orders are never shown."""
        bids = [order for order in self.waiting if order.terms.side == BUY and order.terms.kind != "bounded"]
        asks = [order for order in self.waiting if order.terms.side == SELL and order.terms.kind != "bounded"]
        bid_prices = sorted({order.terms.limit_price for order in bids}, reverse=True)
        ask_prices = sorted({order.terms.limit_price for order in asks})
        return [_level(price, bids) for price in bid_prices], [_level(price, asks) for price in ask_prices]

    def quote_left(self) -> tuple[int, int, int, int, int] | None:
        """Price, availability, what the outside still buys and still sells, and the tick that said so."""
        quote = self.quote
        if quote is None:
            return None
        return quote.price, quote.availability, quote.outside_buys, quote.outside_sells, quote.tick_sequence

    def open_orders(self) -> dict[str, Quantities]:
        return {order.terms.order_id: self.quantities(order.terms.order_id) for order in self.waiting}

    def quantities(self, order_id: str) -> Quantities:
        """Open, traded, and money of what was traded."""
        order = self.all_orders[order_id]
        return order.open_quantity, order.traded_quantity, order.traded_value

    def _next_sequence(self) -> int:
        self.sequence += 1
        return self.sequence

    # An order arrives

    def _enter(self, terms: Enter) -> list[Fact]:
        order = ReferenceOrder(terms, open_quantity=terms.quantity)
        self.all_orders[terms.order_id] = order
        if self.halted:
            order.open_quantity = 0
            return [("rejected", self._next_sequence(), terms.order_id, terms.quantity, "market_halted")]
        order.entered_at = self._next_sequence()
        facts: list[Fact] = [("entered", order.entered_at, terms.order_id)]
        if terms.kind == "bounded":
            self.waiting.append(order)
            return facts
        if terms.time_in_force == "fok" and self._reachable_quantity(order) < terms.quantity:
            return [*facts, self._cancel_rest(order, "fok")]
        while order.open_quantity > 0:
            offers = self._offers_to(order)
            if not offers:
                break
            best = offers[0]
            if best.order is not None and best.order.terms.user_id == terms.user_id:
                return [*facts, self._cancel_rest(order, "self_trade")]
            facts.append(self._trade(order, best))
        if order.open_quantity > 0:
            if terms.kind == "market":
                facts.append(self._cancel_rest(order, "no_liquidity"))
            elif terms.time_in_force == "ioc":
                facts.append(self._cancel_rest(order, "ioc"))
            else:
                self.waiting.append(order)
        return facts

    def _offers_to(self, order: ReferenceOrder) -> list[Offer]:
        """Everything this order accepts, in the order in which it trades."""
        limit = order.terms.limit_price
        if order.terms.side == BUY:
            makers = [maker for maker in self._limit_orders(SELL) if maker.terms.limit_price <= limit]
            makers.sort(key=lambda maker: (maker.terms.limit_price, maker.entered_at))
            if self.quote is None or self.quote.outside_sells == 0 or self.quote.price > limit:
                return [_offer(maker) for maker in makers]
            price = self.quote.price
            before = [_offer(maker) for maker in makers if maker.terms.limit_price <= price]
            after = [_offer(maker) for maker in makers if maker.terms.limit_price > price]
            return [*before, Offer(price, self.quote.outside_sells, None), *after]
        makers = [maker for maker in self._limit_orders(BUY) if maker.terms.limit_price >= limit]
        makers.sort(key=lambda maker: (-maker.terms.limit_price, maker.entered_at))
        if self.quote is None or self.quote.outside_buys == 0 or self.quote.price < limit:
            return [_offer(maker) for maker in makers]
        price = self.quote.price
        before = [_offer(maker) for maker in makers if maker.terms.limit_price >= price]
        after = [_offer(maker) for maker in makers if maker.terms.limit_price < price]
        return [*before, Offer(price, self.quote.outside_buys, None), *after]

    def _limit_orders(self, side: int) -> list[ReferenceOrder]:
        return [order for order in self.waiting if order.terms.side == side and order.terms.kind == "limit"]

    def _reachable_quantity(self, order: ReferenceOrder) -> int:
        """What the order could trade now; it cannot get past an order of its own user."""
        total = 0
        for offer in self._offers_to(order):
            if offer.order is not None and offer.order.terms.user_id == order.terms.user_id:
                break
            total += offer.quantity
        return total

    def _trade(self, taker: ReferenceOrder, offer: Offer) -> Fact:
        quantity = min(taker.open_quantity, offer.quantity)
        taker.fill(offer.price, quantity)
        if offer.order is None:
            maker_id, tick_sequence = None, self._spend_quote(taker.terms.side, quantity)
        else:
            offer.order.fill(offer.price, quantity)
            maker_id, tick_sequence = offer.order.terms.order_id, None
        self._forget_filled()
        self.last_price = offer.price
        taker_id, side = taker.terms.order_id, taker.terms.side
        bid_id, ask_id = (taker_id, maker_id) if side == BUY else (maker_id, taker_id)
        return ("trade", self._next_sequence(), offer.price, quantity, bid_id, ask_id, side, tick_sequence)

    def _spend_quote(self, user_side: int, quantity: int) -> int:
        assert self.quote is not None
        if user_side == BUY:
            self.quote.outside_sells -= quantity
        else:
            self.quote.outside_buys -= quantity
        return self.quote.tick_sequence

    def _forget_filled(self) -> None:
        self.waiting = [order for order in self.waiting if order.open_quantity > 0]

    # An order ends

    def _cancel_rest(self, order: ReferenceOrder, reason: str) -> Fact:
        quantity, order.open_quantity = order.open_quantity, 0
        return ("cancelled", self._next_sequence(), order.terms.order_id, quantity, reason)

    def _turn_away(self, terms: Enter, reason: str) -> list[Fact]:
        order = self.all_orders[terms.order_id] = ReferenceOrder(terms, open_quantity=terms.quantity)
        return [self._cancel_rest(order, reason)]

    def _end(self, word: str, order_id: str, reason: str) -> list[Fact]:
        for order in self.waiting:
            if order.terms.order_id == order_id:
                quantity, order.open_quantity = order.open_quantity, 0
                self._forget_filled()
                return [(word, self._next_sequence(), order_id, quantity, reason)]
        return []

    # The outside speaks

    def _tick(self, price: int, availability: int) -> list[Fact]:
        tick_sequence = self._next_sequence()
        facts: list[Fact] = [("ticked", tick_sequence, price, availability, False)]
        self.last_price = price
        if self.halted:
            self.quote = ReferenceQuote(price, availability, 0, 0, tick_sequence)
            return facts
        self.quote = ReferenceQuote(price, availability, availability, availability, tick_sequence)
        buyers = [order for order in self.waiting if order.terms.side == BUY and _accepts(order, price)]
        buyers.sort(key=lambda order: (-order.terms.limit_price, order.entered_at))
        for order in buyers:
            quantity = min(order.open_quantity, self.quote.outside_sells)
            if quantity > 0:
                facts.append(self._trade_with_outside(order, quantity))
        sellers = [order for order in self.waiting if order.terms.side == SELL and _accepts(order, price)]
        sellers.sort(key=lambda order: (order.terms.limit_price, order.entered_at))
        for order in sellers:
            quantity = min(order.open_quantity, self.quote.outside_buys)
            if quantity > 0:
                facts.append(self._trade_with_outside(order, quantity))
        return facts

    def _trade_with_outside(self, order: ReferenceOrder, quantity: int) -> Fact:
        """The waiting order is the maker, but the price is the outside's."""
        assert self.quote is not None
        price = self.quote.price
        order.fill(price, quantity)
        tick_sequence = self._spend_quote(order.terms.side, quantity)
        self._forget_filled()
        sequence, order_id = self._next_sequence(), order.terms.order_id
        if order.terms.side == BUY:
            return ("trade", sequence, price, quantity, order_id, None, SELL, tick_sequence)
        return ("trade", sequence, price, quantity, None, order_id, BUY, tick_sequence)

    def _halt(self) -> list[Fact]:
        """A halt ends what the outside offered; it comes back with the first tick after the resumption."""
        if self.halted:
            return []
        self.halted = True
        if self.quote is not None:
            self.quote.outside_buys = 0
            self.quote.outside_sells = 0
        return [("halted", self._next_sequence())]

    def _resume(self) -> list[Fact]:
        if not self.halted:
            return []
        self.halted = False
        return [("resumed", self._next_sequence())]


def _level(price: int, orders: list[ReferenceOrder]) -> Level:
    here = [order for order in orders if order.terms.limit_price == price]
    return price, sum(order.open_quantity for order in here), len(here)


def _offer(maker: ReferenceOrder) -> Offer:
    return Offer(maker.terms.limit_price, maker.open_quantity, maker)


def _accepts(order: ReferenceOrder, price: int) -> bool:
    limit, other = order.terms.limit_price, order.terms.other_bound
    if order.terms.kind == "bounded":
        return other <= price <= limit if order.terms.side == BUY else limit <= price <= other
    return price <= limit if order.terms.side == BUY else price >= limit
