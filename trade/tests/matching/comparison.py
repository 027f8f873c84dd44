"""The fast core and its naive twin behind one face, run side by side, and their differences made small."""

from collections.abc import Callable, Sequence
from typing import Any

from trade.matching import (
    Cancelled,
    Entered,
    Event,
    Expired,
    Halted,
    Market,
    Order,
    Prevented,
    Reduced,
    Rejected,
    Replaced,
    Resumed,
    Ticked,
    Trade,
    Triggered,
    invariants,
)
from trade.tests.matching.commands import (
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
from trade.tests.matching.reference import ReferenceMarket
from trade.tests.matching.reference_orders import Fact, Level, Quantities

WORDS = {Cancelled: "cancelled", Expired: "expired", Rejected: "rejected", Reduced: "reduced"}
OUTCOMES = {"cancelled": "CANCELLED", "expired": "EXPIRED", "rejected": "REJECTED"}
WHOLE_BOOK = 1_000_000


class CoreMarket:
    """The fast core, spoken to in commands and answering in the twin's facts."""

    def __init__(self, market: Market) -> None:
        self.market = market
        self.all_orders: dict[str, Order] = {}

    def run(self, command: Command) -> list[Fact]:
        return [as_fact(event) for event in self.apply(command)]

    def apply(self, command: Command) -> list[Event]:
        events = self._apply(command)
        for event in events:
            if isinstance(event, Replaced):
                self.all_orders[event.order.order_id] = event.order
        return events

    def _apply(self, command: Command) -> list[Event]:
        match command:
            case Enter():
                order = self.all_orders[command.order_id] = new_order(command)
                return self.market.enter(order)
            case Replace(order_id, limit_price, quantity):
                return self.market.replace(order_id, limit_price, quantity)
            case Cancel(order_id, reason):
                return self.market.cancel(order_id, reason=reason)
            case TurnAway(terms, reason):
                order = self.all_orders[terms.order_id] = new_order(terms)
                return self.market.turn_away(order, reason)
            case Expire(order_id, reason):
                return self.market.expire(order_id, reason=reason)
            case Tick(price, availability):
                return self.market.tick(price, availability)
            case LateTick(price, availability):
                return self.market.late_tick(price, availability)
            case Halt():
                return self.market.halt()
            case Resume():
                return self.market.resume()

    @property
    def sequence(self) -> int:
        return self.market.sequence

    @property
    def halted(self) -> bool:
        return self.market.halted

    @property
    def last_price(self) -> int | None:
        return self.market.last_price

    def levels(self, depth: int = WHOLE_BOOK) -> tuple[list[Level], list[Level]]:
        bids, asks = self.market.snapshot(depth)
        return list(bids), list(asks)

    def quote_left(self) -> tuple[int, ...] | None:
        return None if self.market.quote is None else tuple(self.market.quote)

    def open_orders(self) -> dict[str, Quantities]:
        return {order_id: self.quantities(order_id) for order_id in self.market.orders}

    def places(self) -> dict[str, tuple[int, int, int, int | None]]:
        return {
            order_id: (
                order.limit_price,
                order.quantity,
                order.priority,
                None if order.is_stopped else order.visible_quantity,
            )
            for order_id, order in self.market.orders.items()
        }

    def quantities(self, order_id: str) -> Quantities:
        order = self.all_orders[order_id]
        return order.open_quantity, order.traded_quantity, order.traded_value

    def ahead_of(self, order_id: str) -> tuple[int | None, int | None]:
        order = self.all_orders[order_id]
        return order.ahead_quantity, order.ahead_orders


AnyMarket = CoreMarket | ReferenceMarket


def new_order(terms: Enter) -> Order:
    return Order(
        terms.order_id,
        terms.user_id,
        terms.side,
        terms.kind,
        terms.limit_price,
        terms.quantity,
        terms.time_in_force,
        terms.other_bound,
        stop_price=terms.stop_price,
        post_only=terms.post_only,
        display_quantity=terms.display_quantity,
        self_trade=terms.self_trade,
    )


def as_fact(event: Event) -> Fact:
    """The event without its objects, which change while a session goes on."""
    match event:
        case Entered(sequence, order):
            return ("entered", sequence, order.order_id)
        case Trade(sequence, price, quantity, bid, ask, taker_side, tick_sequence):
            return ("trade", sequence, price, quantity, _id(bid), _id(ask), taker_side, tick_sequence)
        case Triggered(sequence, order):
            return ("triggered", sequence, order.order_id)
        case Prevented(sequence, taker, maker, quantity):
            return ("prevented", sequence, taker.order_id, maker.order_id, quantity)
        case Replaced(sequence, order):
            return ("replaced", sequence, order.order_id, order.limit_price, order.quantity, *event[2:])
        case Cancelled() | Expired() | Rejected() | Reduced():
            return (WORDS[type(event)], event.sequence, event.order.order_id, event.quantity, event.reason)
        case Ticked(sequence, price, availability, late):
            return ("ticked", sequence, price, availability, late)
        case Halted(sequence):
            return ("halted", sequence)
        case Resumed(sequence):
            return ("resumed", sequence)


def _id(order: Order | None) -> str | None:
    return None if order is None else order.order_id


def state(market: AnyMarket) -> dict[str, Any]:
    """Everything that can be seen of a market between two commands."""
    return {
        "sequence": market.sequence,
        "halted": market.halted,
        "last price": market.last_price,
        "levels": market.levels(),
        "quote": market.quote_left(),
        "open orders": market.open_orders(),
        "places": market.places(),
    }


# --- Side by side ---------------------------------------------------------------------------------------


def first_difference(
    session: Sequence[Command],
    new_market: Callable[[], Market] = Market,
    *,
    check_invariants: bool = True,
    before_each: Callable[[CoreMarket], None] | None = None,
) -> str | None:
    """Give the session to the core and to the twin; say where they part, or None when they never do."""
    core, twin = CoreMarket(new_market()), ReferenceMarket()
    for number, command in enumerate(session):
        if before_each is not None:
            before_each(core)
        difference = _step(core, twin, command)
        if difference is not None:
            return f"command {number}, {command}: {difference}"
        if check_invariants:
            invariants.check(core.market)
    return None


def _step(core: CoreMarket, twin: ReferenceMarket, command: Command) -> str | None:
    facts, expected = core.run(command), twin.run(command)
    if facts != expected:
        return f"the core says\n  {facts}\nthe twin\n  {expected}"
    for fact in facts:
        for order_id in orders_of(fact):
            ahead = twin.ahead_of(order_id) if came_to_the_end(fact) else None
            if ahead is not None and core.ahead_of(order_id) != ahead:
                return f"{order_id} has {core.ahead_of(order_id)} ahead of it, for the twin {ahead}"
            if core.quantities(order_id) != twin.quantities(order_id):
                return f"{order_id} is {core.quantities(order_id)}, for the twin {twin.quantities(order_id)}"
    seen, wanted = state(core), state(twin)
    for name, value in wanted.items():
        if seen[name] != value:
            return f"{name} of the core\n  {seen[name]}\nof the twin\n  {value}"
    return _unstamped(core, facts)


def _unstamped(core: CoreMarket, facts: list[Fact]) -> str | None:
    """Whether an order does not carry the sequence, or the outcome, of the last thing that happened to it."""
    last = {order_id: fact for fact in facts for order_id in orders_of(fact)}
    for order_id, (word, sequence, *rest) in last.items():
        order = core.all_orders[order_id]
        if order.sequence != sequence:
            return f"{order_id} carries sequence {order.sequence} after event {sequence}"
        ended = (OUTCOMES[word], rest[-1]) if word in OUTCOMES else ("", "")
        if (order.outcome, order.reason) != ended:
            return f"{order_id} ended as {order.outcome} {order.reason}, expected {ended}"
    return None


def came_to_the_end(fact: Fact) -> bool:
    """Whether an order has arrived, with the last place of all."""
    return fact[0] in ("entered", "triggered") or (fact[0] == "replaced" and not fact[-1])


def orders_of(fact: Fact) -> list[str]:
    """The orders that a fact is about."""
    match fact:
        case ("trade", _, _, _, bid, ask, _, _):
            return [order_id for order_id in (bid, ask) if order_id is not None]
        case (("ticked" | "halted" | "resumed" | "prevented"), *_):
            return []
        case (_, _, order_id, *_):
            return [order_id]
    return []


# --- Made small -----------------------------------------------------------------------------------------


def smallest(session: Sequence[Command], fails: Callable[[list[Command]], bool]) -> list[Command]:
    """Leave out commands while the session still fails: halves first, single commands last."""
    session, chunk = list(session), max(len(session) // 2, 1)
    while True:
        shorter = _without_a_chunk(session, chunk, fails)
        if shorter is not None:
            session = shorter
        elif chunk == 1:
            return session
        else:
            chunk //= 2


def _without_a_chunk(
    session: list[Command], chunk: int, fails: Callable[[list[Command]], bool]
) -> list[Command] | None:
    for start in range(0, len(session), chunk):
        shorter = session[:start] + session[start + chunk :]
        if shorter and fails(shorter):
            return shorter
    return None


def report(session: Sequence[Command], new_market: Callable[[], Market] = Market) -> str | None:
    """The difference on the smallest part of the session that shows one; None when there is none."""

    def fails(part: list[Command]) -> bool:
        return difference_or_error(part, new_market) is not None

    if not fails(list(session)):
        return None
    small = smallest(session, fails)
    listing = "\n".join(f"  {command!r}," for command in small)
    return f"{difference_or_error(small, new_market)}\nafter\n{listing}"


def difference_or_error(session: Sequence[Command], new_market: Callable[[], Market] = Market) -> str | None:
    """As `first_difference`; an error of the core is a difference as well."""
    try:
        return first_difference(session, new_market)
    except Exception as error:
        return f"{type(error).__name__}: {error}"
