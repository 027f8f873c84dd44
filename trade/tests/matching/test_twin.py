"""Random sessions: the fast core says what the naive twin says, event for event.

BOURSE_SESSIONS sets how many sessions are tried (200 when it is not set).
"""

import os
from collections import Counter, defaultdict

from django.test import SimpleTestCase

from trade.matching import BUY, SELL, Market, Order
from trade.matching.events import Cancelled, Event, Expired, Reduced, Rejected, Ticked, Trade
from trade.tests.matching import comparison
from trade.tests.matching.commands import BUY as TWIN_BUY
from trade.tests.matching.commands import SELL as TWIN_SELL
from trade.tests.matching.generators import SHAPES, session

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

    def test_a_fok_order_trades_all_of_itself_or_nothing(self) -> None:
        for seed in range(30):
            with self.subTest(seed=seed):
                for order in orders_of(seed):
                    if order.time_in_force == "fok" and not order.is_stopped:
                        self.assertIn(order.traded_quantity, (0, order.quantity), order)
                        self.assertEqual(order.open_quantity, 0)

    def test_every_share_of_an_order_is_open_traded_or_accounted_for(self) -> None:
        for seed in range(30):
            with self.subTest(seed=seed):
                core = comparison.CoreMarket(Market())
                gone: Counter[str] = Counter()
                for command in session(seed):
                    for event in core.apply(command):
                        if isinstance(event, Reduced | Cancelled | Expired | Rejected):
                            gone[event.order.order_id] += event.quantity
                for order_id, order in core.all_orders.items():
                    accounted = order.open_quantity + order.traded_quantity + gone[order_id]
                    self.assertEqual(accounted, order.quantity, order)

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


def events_of(seed: int) -> list[Event]:
    core = comparison.CoreMarket(Market())
    return [event for command in session(seed) for event in core.apply(command)]


def orders_of(seed: int) -> list[Order]:
    core = comparison.CoreMarket(Market())
    for command in session(seed):
        core.apply(command)
    return list(core.all_orders.values())


def trades_of(seed: int) -> list[Trade]:
    return [event for event in events_of(seed) if isinstance(event, Trade)]
