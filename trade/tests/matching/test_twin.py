"""Random sessions: the fast core says what the naive twin says, event for event.

BOURSE_SESSIONS sets how many sessions are tried (200 when it is not set).
"""

import os
from collections import Counter, defaultdict

from django.test import SimpleTestCase

from trade.matching import BUY, SELL, Market
from trade.matching.events import Event, Ticked, Trade
from trade.tests.matching import comparison
from trade.tests.matching.commands import BUY as TWIN_BUY
from trade.tests.matching.commands import SELL as TWIN_SELL
from trade.tests.matching.commands import Command, Enter, Tick
from trade.tests.matching.generators import SHAPES, session
from trade.tests.matching.reference import Fact, ReferenceMarket

SESSIONS = int(os.environ.get("BOURSE_SESSIONS", "200"))


class TwinTest(SimpleTestCase):
    def test_the_core_agrees_with_its_twin_event_for_event(self) -> None:
        for seed in range(SESSIONS):
            with self.subTest(seed=seed, shape=SHAPES[seed % len(SHAPES)].name):
                self.assertIsNone(comparison.report(session(seed)))

    def test_the_same_session_gives_the_same_events(self) -> None:
        first, second = (self._facts_of(seed=4) for _ in range(2))
        self.assertEqual(first, second)

    def test_both_name_the_sides_alike(self) -> None:
        self.assertEqual((TWIN_BUY, TWIN_SELL), (BUY, SELL))

    @staticmethod
    def _facts_of(*, seed: int) -> list[object]:
        core = comparison.CoreMarket(Market())
        return [core.run(command) for command in session(seed)]


class EventsTest(SimpleTestCase):
    """What must hold of the events alone, whatever either of the two implementations thinks."""

    def test_sequences_have_no_hole(self) -> None:
        for seed in range(30):
            with self.subTest(seed=seed):
                sequences = [event.sequence for event in events_of(seed)]
                self.assertEqual(sequences, list(range(1, len(sequences) + 1)))

    def test_no_order_trades_at_a_price_that_it_does_not_accept(self) -> None:
        for seed in range(30):
            with self.subTest(seed=seed):
                for trade in trades_of(seed):
                    self.assertGreater(trade.quantity, 0)
                    for order in (trade.bid, trade.ask):
                        self.assertTrue(order is None or order.accepts(trade.price), trade)

    def test_nobody_trades_with_himself(self) -> None:
        for seed in range(30):
            with self.subTest(seed=seed):
                for trade in trades_of(seed):
                    if trade.bid is not None and trade.ask is not None:
                        self.assertNotEqual(trade.bid.user_id, trade.ask.user_id, trade)

    def test_fills_of_a_tick_never_exceed_its_availability_on_either_side(self) -> None:
        for seed in range(30):
            with self.subTest(seed=seed):
                events = events_of(seed)
                availability = {e.sequence: e.availability for e in events if isinstance(e, Ticked)}
                taken: dict[tuple[int, bool], int] = defaultdict(int)
                for trade in events:
                    if isinstance(trade, Trade) and trade.tick_sequence is not None:
                        taken[trade.tick_sequence, trade.bid is None] += trade.quantity
                for (tick_sequence, _), quantity in taken.items():
                    self.assertLessEqual(quantity, availability[tick_sequence])

    def test_bounded_orders_trade_with_the_outside_only(self) -> None:
        for seed in range(30):
            with self.subTest(seed=seed):
                for trade in trades_of(seed):
                    if any(order is not None and order.kind == "bounded" for order in (trade.bid, trade.ask)):
                        self.assertIsNotNone(trade.tick_sequence)
                        self.assertTrue(trade.bid is None or trade.ask is None)


class GeneratorTest(SimpleTestCase):
    """The sessions reach every rule; a comparison of sessions in which little happens shows little."""

    def test_every_rule_is_met_often(self) -> None:
        met: Counter[str] = Counter()
        for seed in range(30):
            twin = ReferenceMarket()
            for command in session(seed):
                met[type(command).__name__] += 1
                for fact in twin.run(command):
                    met[_kind_of(fact, command)] += 1
                    if fact[0] == "trade":
                        met.update(_kinds_traded(fact, twin))
        for rule in (
            *("Cancel", "Expire", "Halt", "Resume", "LateTick", "Tick", "TurnAway", "bounded", "market"),
            *("book trade", "waiting order with the outside", "arriving order with the outside"),
            *("bounded buy traded", "bounded sell traded", "market buy traded", "market sell traded"),
            *("cancelled ioc", "cancelled fok", "cancelled no_liquidity", "cancelled self_trade"),
            *("cancelled user", "expired day", "rejected market_halted", "fok filled"),
        ):
            self.assertGreaterEqual(met[rule], 10, f"{rule}: {met}")

    def test_a_seed_always_gives_the_same_session(self) -> None:
        self.assertEqual(session(7), session(7))
        self.assertNotEqual(session(7), session(7 + len(SHAPES)))


def events_of(seed: int) -> list[Event]:
    core = comparison.CoreMarket(Market())
    return [event for command in session(seed) for event in core.apply(command)]


def trades_of(seed: int) -> list[Trade]:
    return [event for event in events_of(seed) if isinstance(event, Trade)]


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
