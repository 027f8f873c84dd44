"""The random sessions reach every rule; a comparison of sessions in which little happens shows little."""

from collections import Counter
from collections.abc import Iterator

from django.test import SimpleTestCase

from trade.tests.matching import comparison
from trade.tests.matching.commands import BUY, Command, Enter, Replace, Tick
from trade.tests.matching.generators import SHAPES, session
from trade.tests.matching.reference import ReferenceMarket
from trade.tests.matching.reference_orders import Fact, is_reached

SESSIONS = 15 * len(SHAPES)
OFTEN = 5
MODES = ("expire_taker", "expire_maker", "expire_both", "decrement")
RULES = (
    *("Cancel", "Expire", "Halt", "Resume", "LateTick", "Tick", "TurnAway", "Replace", "bounded", "market"),
    *("book trade", "waiting order with the outside", "arriving order with the outside"),
    *("bounded buy traded", "bounded sell traded", "market buy traded", "market sell traded"),
    *("cancelled ioc", "cancelled fok", "cancelled no_liquidity", "cancelled self_trade"),
    *("cancelled user", "expired day", "expired gtd", "rejected market_halted", "fok filled"),
    *("rejected post_only", "post-only rested", "post-only not replaced"),
    *("replaced in place", "replaced at the end", "replaced by nothing", "replaced and traded"),
    *("refused below what is traded", "not replaced while halted"),
    *("iceberg replaced in place", "iceberg replaced at the end", "bounded replaced in place"),
    *("bounded replaced at the end", "waiting stop replaced in place", "waiting stop replaced at the end"),
    *("triggered buy", "triggered sell", "triggered market", "triggered limit", "triggered fok"),
    *("triggered iceberg", "stop reached on arrival", "stops in one command", "stop reached by a stop"),
    *("triggered on Resume", "triggered by tick", "triggered by trade", "stop ended while waiting"),
    *("slice traded with an order", "slice traded with the outside", "next slice after a trade"),
    *("next slice after a reduction", "iceberg took", "fok filled with what is hidden"),
    *("decrement reduced maker", "decrement reduced taker", "decrement ended maker", "decrement ended taker"),
    *(f"prevented {mode}" for mode in MODES),
    *(f"triggered prevented {mode}" for mode in MODES),
)


class GeneratorTest(SimpleTestCase):
    """The sessions reach every rule; a comparison of sessions in which little happens shows little."""

    def test_every_rule_is_met_often(self) -> None:
        met: Counter[str] = Counter()
        for seed in range(SESSIONS):
            twin = ReferenceMarket()
            for command in session(seed):
                before = Before(twin, command)
                facts = twin.run(command)
                met.update(_basic_rules(facts, command, twin))
                met.update(before.rules_met(facts))
        missing = {rule: met[rule] for rule in RULES if met[rule] < OFTEN}
        self.assertEqual(missing, {}, met)

    def test_a_seed_always_gives_the_same_session(self) -> None:
        self.assertEqual(session(7), session(7))
        self.assertNotEqual(session(7), session(7 + len(SHAPES)))


class Before:
    """The twin as it was before a command, to see which of the rules on waiting orders the command met."""

    def __init__(self, twin: ReferenceMarket, command: Command) -> None:
        self.twin, self.command = twin, command
        self.halted, self.last_price = twin.halted, twin.last_price
        self.waiting = {order.terms.order_id for order in twin.waiting}
        self.stopped = {order.terms.order_id for order in twin.stopped}

    def rules_met(self, facts: list[Fact]) -> Iterator[str]:
        yield from self._stops(facts)
        yield from self._slices(facts)
        yield from self._prevention(facts)
        if isinstance(self.command, Replace):
            yield from self._replace(self.command, facts)

    def _stops(self, facts: list[Fact]) -> Iterator[str]:
        command, triggered = self.command, [fact[2] for fact in facts if fact[0] == "triggered"]
        price = self._price_before_stops(facts)
        for order_id in triggered:
            terms = self.twin.all_orders[order_id].terms
            yield f"triggered {'buy' if terms.side == BUY else 'sell'}"
            yield f"triggered {terms.kind}"
            yield f"triggered {terms.time_in_force}"
            yield "triggered iceberg" if terms.display_quantity else "triggered whole"
            yield f"triggered on {type(command).__name__}"
            yield "triggered by tick" if isinstance(command, Tick) else "triggered by trade"
            if not is_reached(self.twin.all_orders[order_id], price):
                yield "stop reached by a stop"
        if len(triggered) > 1:
            yield "stops in one command"
        entered = bool(facts) and facts[0][0] == "entered"
        if entered and isinstance(command, Enter) and command.stop_price:
            waits = any(order.terms.order_id == command.order_id for order in self.twin.stopped)
            yield "stop waits" if waits else "stop reached on arrival"
        if facts and facts[0][0] in ("cancelled", "expired") and facts[0][2] in self.stopped:
            yield "stop ended while waiting"

    def _price_before_stops(self, facts: list[Fact]) -> int | None:
        price = self.last_price
        for fact in facts:
            if fact[0] == "triggered":
                break
            if fact[0] == "trade" or (fact[0] == "ticked" and not fact[4]):
                price = fact[2]
        return price

    def _slices(self, facts: list[Fact]) -> Iterator[str]:
        for fact in facts:
            for order_id in comparison.orders_of(fact):
                order = self.twin.all_orders[order_id]
                if not order.terms.display_quantity:
                    continue
                if fact[0] == "trade":
                    if order_id in self.waiting:
                        yield "slice traded with " + ("an order" if fact[7] is None else "the outside")
                    else:
                        yield "iceberg took"
                if order.priority == fact[1]:
                    yield {
                        "trade": "next slice after a trade",
                        "reduced": "next slice after a reduction",
                    }.get(fact[0], "new place")
        if isinstance(self.command, Enter) and self.command.time_in_force == "fok":
            order_id = self.command.order_id
            parties = [fact[4:6] for fact in facts if fact[0] == "trade" and order_id in fact[4:6]]
            if len(set(parties)) < len(parties):
                yield "fok filled with what is hidden"

    def _prevention(self, facts: list[Fact]) -> Iterator[str]:
        for number, fact in enumerate(facts):
            if fact[0] != "prevented":
                continue
            taker_id = fact[2]
            mode = self.twin.all_orders[taker_id].terms.self_trade
            yield f"prevented {mode}"
            if any(other[0] == "triggered" and other[2] == taker_id for other in facts):
                yield f"triggered prevented {mode}"
            if mode == "decrement":
                (maker_word, *_), (taker_word, *_) = facts[number + 1 : number + 3]
                yield f"decrement {'reduced' if maker_word == 'reduced' else 'ended'} maker"
                yield f"decrement {'reduced' if taker_word == 'reduced' else 'ended'} taker"

    def _replace(self, command: Replace, facts: list[Fact]) -> Iterator[str]:
        order_id = command.order_id
        if order_id not in self.waiting | self.stopped:
            return
        order = self.twin.all_orders[order_id]
        if not facts:
            if self.halted:
                yield "not replaced while halted"
            elif command.quantity < order.traded_quantity:
                yield "refused below what is traded"
            elif order.terms.post_only:
                yield "post-only not replaced"
            return
        how = "in place" if facts[0][-1] else "at the end"
        if how == "in place" and order.open_quantity == 0:
            how = "by nothing"
        yield f"replaced {how}"
        if len(facts) > 1 and facts[1][0] == "trade":
            yield "replaced and traded"
        if order_id in self.stopped:
            yield f"waiting stop replaced {how}"
        elif order.terms.kind == "bounded":
            yield f"bounded replaced {how}"
        elif order.terms.display_quantity:
            yield f"iceberg replaced {how}"


def _basic_rules(facts: list[Fact], command: Command, twin: ReferenceMarket) -> Iterator[str]:
    yield type(command).__name__
    for fact in facts:
        yield _kind_of(fact, command)
        if fact[0] == "trade":
            yield from _kinds_traded(fact, twin)
    if isinstance(command, Enter) and command.post_only and [fact[0] for fact in facts] == ["entered"]:
        yield "post-only rested"


def _kinds_traded(fact: Fact, twin: ReferenceMarket) -> list[str]:
    terms = [twin.all_orders[order_id].terms for order_id in comparison.orders_of(fact)]
    return [f"{each.kind} {'buy' if each.side == BUY else 'sell'} traded" for each in terms]


def _kind_of(fact: Fact, command: Command) -> str:
    match fact, command:
        case ("trade", *_), Enter(time_in_force="fok"):
            return "fok filled"
        case ("trade", _, _, _, _, _, _, None), _:
            return "book trade"
        case ("trade", *_), Tick():
            return "waiting order with the outside"
        case ("trade", *_), _:
            return "arriving order with the outside"
        case ("entered", *_), Enter(kind="limit"):
            return "entered"
        case ("entered", *_), Enter(kind=kind):
            return kind
        case (("cancelled" | "expired" | "rejected") as word, *_, reason), _:
            return f"{word} {reason}"
    return str(fact[0])
