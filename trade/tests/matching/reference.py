"""The naive twin of the matcher: the rules once more, so plainly that they can be checked by reading.

It imports nothing of the core. Waiting orders are one list in no particular order, stops that wait another;
whoever needs an order of precedence filters and sorts such a list on the spot. Buy and sell are written out
separately on purpose: a sign that is wrong in the core cannot be wrong here in the same way.

Facts are returned as tuples `(word, sequence, ...)`:
    ("entered" | "triggered", sequence, order_id)
    ("trade", sequence, price, quantity, bid_order_id, ask_order_id, taker_side, tick_sequence)
    ("prevented", sequence, taker_order_id, maker_order_id, quantity)
    ("reduced" | "cancelled" | "expired" | "rejected", sequence, order_id, quantity, reason)
    ("replaced", sequence, order_id, price, quantity, old_price, old_quantity, old_open_quantity, kept_place)
    ("ticked", sequence, price, availability, late)
    ("halted" | "resumed", sequence)
In a trade the outside's side is None, and so is `tick_sequence` when the outside has no part in it.
"""

from trade.tests.matching.commands import (
    BUY,
    SELL,
    Cancel,
    Command,
    Enter,
    Expire,
    Halt,
    LateTick,
    Replace,
    Resume,
    Tick,
    TurnAway,
)
from trade.tests.matching.reference_orders import (
    Fact,
    Level,
    Offer,
    Quantities,
    ReferenceOrder,
    ReferenceQuote,
    accepts,
    is_reached,
    level_of,
    new_reference_order,
    offer_of,
)


class ReferenceMarket:
    """One stock. Slow: every question is answered by looking at every order."""

    def __init__(self) -> None:
        self.sequence = 0
        self.halted = False
        self.last_price: int | None = None
        self.waiting: list[ReferenceOrder] = []
        self.stopped: list[ReferenceOrder] = []
        self.quote: ReferenceQuote | None = None
        self.all_orders: dict[str, ReferenceOrder] = {}

    def run(self, command: Command) -> list[Fact]:
        """What the command does, and then the stops that the last price has reached by it."""
        facts = self._apply(command)
        return [*facts, *self._let_stops_go()]

    def _apply(self, command: Command) -> list[Fact]:
        match command:
            case Enter():
                return self._enter(command)
            case Replace(order_id, limit_price, quantity):
                return self._replace(order_id, limit_price, quantity)
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
        """Bids and asks as (price, shown quantity, orders), best first; bounded orders are never shown."""
        bids, asks = self._limit_orders(BUY), self._limit_orders(SELL)
        bid_prices = sorted({order.limit_price for order in bids}, reverse=True)
        ask_prices = sorted({order.limit_price for order in asks})
        return [level_of(price, bids) for price in bid_prices], [
            level_of(price, asks) for price in ask_prices
        ]

    def quote_left(self) -> tuple[int, int, int, int, int] | None:
        """Price, availability, what the outside still buys and still sells, and the tick that said so."""
        quote = self.quote
        if quote is None:
            return None
        return quote.price, quote.availability, quote.outside_buys, quote.outside_sells, quote.tick_sequence

    def open_orders(self) -> dict[str, Quantities]:
        return {order_id: self.quantities(order_id) for order_id in self._open()}

    def places(self) -> dict[str, tuple[int, int, int, int | None]]:
        """Price, total and priority of every open order, and what it shows; a waiting stop shows None."""
        return {
            order_id: (
                order.limit_price,
                order.quantity,
                order.priority,
                None if order in self.stopped else order.shown_quantity,
            )
            for order_id, order in self._open().items()
        }

    def quantities(self, order_id: str) -> Quantities:
        """Open, traded, and money of what was traded."""
        order = self.all_orders[order_id]
        return order.open_quantity, order.traded_quantity, order.traded_value

    def ahead_of(self, order_id: str) -> tuple[int, int] | None:
        """Shares and orders that stood before it when it last came to rest; None: it did not."""
        return self.all_orders[order_id].ahead

    def _open(self) -> dict[str, ReferenceOrder]:
        return {order.terms.order_id: order for order in [*self.waiting, *self.stopped]}

    def _next_sequence(self) -> int:
        self.sequence += 1
        return self.sequence

    # An order arrives

    def _enter(self, terms: Enter) -> list[Fact]:
        order = self.all_orders[terms.order_id] = new_reference_order(terms)
        if self.halted:
            return [self._end_order("rejected", order, "market_halted")]
        if terms.post_only and self._offers_to(order):
            return [self._end_order("rejected", order, "post_only")]
        order.priority = self._next_sequence()
        entered: Fact = ("entered", order.priority, terms.order_id)
        if terms.stop_price > 0 and not is_reached(order, self.last_price):
            self.stopped.append(order)
            return [entered]
        return [entered, *self._arrive(order)]

    def _arrive(self, order: ReferenceOrder) -> list[Fact]:
        """Trade what it accepts; then rest or end."""
        order.ahead = None
        if order.terms.kind == "bounded":
            self.waiting.append(order)
            return []
        if order.terms.time_in_force == "fok" and self._reachable_quantity(order) < order.open_quantity:
            return [self._end_order("cancelled", order, "fok")]
        facts: list[Fact] = []
        while order.open_quantity > 0:
            offers = self._offers_to(order)
            if not offers:
                break
            best = offers[0]
            if best.order is not None and best.is_of(order.terms.user_id):
                facts += self._prevent(order, best.order)
            else:
                facts.append(self._trade(order, best))
        if order.open_quantity > 0:
            if order.terms.kind == "market":
                facts.append(self._end_order("cancelled", order, "no_liquidity"))
            elif order.terms.time_in_force == "ioc":
                facts.append(self._end_order("cancelled", order, "ioc"))
            else:
                self._rest(order)
        return facts

    def _rest(self, order: ReferenceOrder) -> None:
        before = [o for o in self._limit_orders(order.terms.side) if o.limit_price == order.limit_price]
        order.ahead = (sum(other.shown_quantity for other in before), len(before))
        order.show_a_slice()
        self.waiting.append(order)

    def _offers_to(self, order: ReferenceOrder) -> list[Offer]:
        """Everything this order accepts, in the order in which it trades."""
        limit = order.limit_price
        if order.terms.side == BUY:
            makers = [maker for maker in self._limit_orders(SELL) if maker.limit_price <= limit]
            makers.sort(key=lambda maker: (maker.limit_price, maker.priority))
            if self.quote is None or self.quote.outside_sells == 0 or self.quote.price > limit:
                return [offer_of(maker) for maker in makers]
            price = self.quote.price
            before = [offer_of(maker) for maker in makers if maker.limit_price <= price]
            after = [offer_of(maker) for maker in makers if maker.limit_price > price]
            return [*before, Offer(price, self.quote.outside_sells, None), *after]
        makers = [maker for maker in self._limit_orders(BUY) if maker.limit_price >= limit]
        makers.sort(key=lambda maker: (-maker.limit_price, maker.priority))
        if self.quote is None or self.quote.outside_buys == 0 or self.quote.price < limit:
            return [offer_of(maker) for maker in makers]
        price = self.quote.price
        before = [offer_of(maker) for maker in makers if maker.limit_price >= price]
        after = [offer_of(maker) for maker in makers if maker.limit_price < price]
        return [*before, Offer(price, self.quote.outside_buys, None), *after]

    def _limit_orders(self, side: int) -> list[ReferenceOrder]:
        return [order for order in self.waiting if order.terms.side == side and order.terms.kind == "limit"]

    def _reachable_quantity(self, order: ReferenceOrder) -> int:
        """What the order could trade now, with the hidden parts of icebergs.

        It cannot get past an order of its own user, unless that one gives way. In a queue in which one
        stands, hidden parts are behind it, for they come to the end of that queue.
        """
        user_id, offers = order.terms.user_id, self._offers_to(order)
        if order.terms.self_trade == "expire_maker":
            return sum(each.quantity + each.hidden_quantity for each in offers if not each.is_of(user_id))
        own_prices = {offer.price for offer in offers if offer.is_of(user_id)}
        total = 0
        for offer in offers:
            if offer.is_of(user_id):
                break
            total += offer.quantity
            if offer.price not in own_prices:
                total += offer.hidden_quantity
        return total

    def _trade(self, taker: ReferenceOrder, offer: Offer) -> Fact:
        quantity, sequence = min(taker.open_quantity, offer.quantity), self._next_sequence()
        taker.fill(offer.price, quantity)
        if offer.order is None:
            maker_id, tick_sequence = None, self._spend_quote(taker.terms.side, quantity)
        else:
            offer.order.fill(offer.price, quantity)
            offer.order.use_slice(quantity, sequence)
            maker_id, tick_sequence = offer.order.terms.order_id, None
        self._forget_finished()
        self.last_price = offer.price
        taker_id, side = taker.terms.order_id, taker.terms.side
        bid_id, ask_id = (taker_id, maker_id) if side == BUY else (maker_id, taker_id)
        return ("trade", sequence, offer.price, quantity, bid_id, ask_id, side, tick_sequence)

    def _spend_quote(self, user_side: int, quantity: int) -> int:
        assert self.quote is not None
        if user_side == BUY:
            self.quote.outside_sells -= quantity
        else:
            self.quote.outside_buys -= quantity
        return self.quote.tick_sequence

    def _forget_finished(self) -> None:
        self.waiting = [order for order in self.waiting if order.open_quantity > 0]
        self.stopped = [order for order in self.stopped if order.open_quantity > 0]

    # It comes to an order of its own user

    def _prevent(self, taker: ReferenceOrder, maker: ReferenceOrder) -> list[Fact]:
        quantity = min(taker.open_quantity, maker.shown_quantity)
        taker_id, maker_id = taker.terms.order_id, maker.terms.order_id
        prevented: Fact = ("prevented", self._next_sequence(), taker_id, maker_id, quantity)
        match taker.terms.self_trade:
            case "expire_taker":
                return [prevented, self._end_order("cancelled", taker, "self_trade")]
            case "expire_maker":
                return [prevented, self._end_order("cancelled", maker, "self_trade")]
            case "expire_both":
                maker_ends = self._end_order("cancelled", maker, "self_trade")
                return [prevented, maker_ends, self._end_order("cancelled", taker, "self_trade")]
            case "decrement":
                maker_loses = self._reduce(maker, quantity)
                return [prevented, maker_loses, self._reduce(taker, quantity)]
        raise AssertionError(taker.terms.self_trade)

    def _reduce(self, order: ReferenceOrder, quantity: int) -> Fact:
        if quantity == order.open_quantity:
            return self._end_order("cancelled", order, "self_trade")
        sequence = self._next_sequence()
        order.open_quantity -= quantity
        if order in self.waiting:
            order.use_slice(quantity, sequence)
        return ("reduced", sequence, order.terms.order_id, quantity, "self_trade")

    # Stops

    def _let_stops_go(self) -> list[Fact]:
        """All that are reached now, earliest first; what each of them reaches comes after those."""
        facts: list[Fact] = []
        reached = self._take_reached()
        while reached:
            order = reached.pop(0)
            order.priority = self._next_sequence()
            facts.append(("triggered", order.priority, order.terms.order_id))
            facts += self._arrive(order)
            reached += self._take_reached()
        return facts

    def _take_reached(self) -> list[ReferenceOrder]:
        if self.halted:
            return []
        reached = [order for order in self.stopped if is_reached(order, self.last_price)]
        self.stopped = [order for order in self.stopped if not is_reached(order, self.last_price)]
        return sorted(reached, key=lambda order: order.priority)

    # An order is replaced

    def _replace(self, order_id: str, limit_price: int, quantity: int) -> list[Fact]:
        order = self._open().get(order_id)
        if order is None or self.halted or quantity < order.traded_quantity:
            return []
        old = order.limit_price, order.quantity, order.open_quantity
        # What it lost to a prevented trade it has lost: the total changes by as much as what is open.
        open_quantity = order.open_quantity + quantity - order.quantity
        if open_quantity <= 0:
            order.quantity, order.open_quantity = order.quantity - order.open_quantity, 0
            self._forget_finished()
            return [
                ("replaced", self._next_sequence(), order_id, order.limit_price, order.quantity, *old, True)
            ]
        if limit_price == order.limit_price and quantity <= order.quantity:
            order.quantity, order.open_quantity = quantity, open_quantity
            order.slice_left = min(order.slice_left, open_quantity)
            return [("replaced", self._next_sequence(), order_id, limit_price, quantity, *old, True)]
        order.limit_price = limit_price
        if order.terms.post_only and self._offers_to(order):
            order.limit_price = old[0]
            return []
        order.quantity, order.open_quantity = quantity, open_quantity
        order.priority = self._next_sequence()
        replaced: Fact = ("replaced", order.priority, order_id, limit_price, quantity, *old, False)
        if order in self.stopped:
            return [replaced]
        self.waiting.remove(order)
        return [replaced, *self._arrive(order)]

    # An order ends

    def _end_order(self, word: str, order: ReferenceOrder, reason: str) -> Fact:
        quantity, order.open_quantity = order.open_quantity, 0
        self._forget_finished()
        return (word, self._next_sequence(), order.terms.order_id, quantity, reason)

    def _turn_away(self, terms: Enter, reason: str) -> list[Fact]:
        order = self.all_orders[terms.order_id] = new_reference_order(terms)
        return [self._end_order("cancelled", order, reason)]

    def _end(self, word: str, order_id: str, reason: str) -> list[Fact]:
        order = self._open().get(order_id)
        return [] if order is None else [self._end_order(word, order, reason)]

    # The outside speaks

    def _tick(self, price: int, availability: int) -> list[Fact]:
        tick_sequence = self._next_sequence()
        ticked: Fact = ("ticked", tick_sequence, price, availability, False)
        self.last_price = price
        if self.halted:
            self.quote = ReferenceQuote(price, availability, 0, 0, tick_sequence)
            return [ticked]
        self.quote = ReferenceQuote(price, availability, availability, availability, tick_sequence)
        facts = [ticked]
        while self.quote.outside_sells > 0:
            buyers = [order for order in self.waiting if order.terms.side == BUY and accepts(order, price)]
            if not buyers:
                break
            first = min(buyers, key=lambda order: (-order.limit_price, order.priority))
            facts.append(self._trade_with_outside(first, self.quote.outside_sells))
        while self.quote.outside_buys > 0:
            sellers = [order for order in self.waiting if order.terms.side == SELL and accepts(order, price)]
            if not sellers:
                break
            first = min(sellers, key=lambda order: (order.limit_price, order.priority))
            facts.append(self._trade_with_outside(first, self.quote.outside_buys))
        return facts

    def _trade_with_outside(self, order: ReferenceOrder, available: int) -> Fact:
        """The waiting order is the maker, but the price is the outside's."""
        assert self.quote is not None
        quantity, sequence = min(order.shown_quantity, available), self._next_sequence()
        price, order_id = self.quote.price, order.terms.order_id
        order.fill(price, quantity)
        order.use_slice(quantity, sequence)
        tick_sequence = self._spend_quote(order.terms.side, quantity)
        self._forget_finished()
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
