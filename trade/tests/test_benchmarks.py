"""The benchmarks in their smallest size: that they measure what they say, not how fast it is."""

from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from django.db import transaction
from django.test import SimpleTestCase, TransactionTestCase

from stocks.benchmarks.figures import Advance, Figure
from stocks.services.ticks import lock_stock
from trade.benchmarks import growth, matcher
from trade.benchmarks.growth_load import INCREMENT, LEVELS, QUANTITY, TOP_PRICE, fill_book, make_users
from trade.benchmarks.matcher_flows import FLOWS, operations
from trade.benchmarks.rivals import ENTRANTS, Bare, Entrant, Ours, Trades
from trade.engine.books import Books
from trade.models import Order
from trade.selectors.audit import run_audit


class Notes:
    """A `Bench` that keeps the figures."""

    def __init__(self) -> None:
        self.figures: list[Figure] = []

    @contextmanager
    def part(self, title: str, total: int) -> Iterator[Advance]:
        yield lambda count: None

    def add(self, figure: Figure) -> None:
        self.figures.append(figure)


class LosesEveryThirdTrade(Bare):
    def told(self, answer: None) -> Trades:
        return [trade for trade in super().told(answer) if trade[1] % 3]


class FlowTests(SimpleTestCase):
    def test_a_flow_is_the_same_every_time(self) -> None:
        for name, mix in FLOWS.items():
            with self.subTest(flow=name):
                self.assertEqual(operations(mix, 500), operations(mix, 500))
                self.assertNotEqual(operations(mix, 500), operations(mix, 500, seed=2))

    def test_who_cancels_cancels_an_open_order(self) -> None:
        for name, mix in FLOWS.items():
            with self.subTest(flow=name):
                ours = Ours()
                cancelled = 0
                for order_id, side, price, quantity in operations(mix, 2_000):
                    if quantity:
                        ours.limit(order_id, side, price, quantity)
                    else:
                        self.assertEqual(len(ours.cancel(order_id)), 1)
                        cancelled += 1
                self.assertGreater(cancelled, 50)


class MatcherTests(SimpleTestCase):
    def test_every_rival_makes_the_same_trades(self) -> None:
        for name, mix in FLOWS.items():
            flow = operations(mix, 400)
            ours = Ours().answers(flow)
            self.assertGreater(sum(map(len, ours)), 20)
            self.assertEqual(matcher.difference(Bare().answers(flow), ours, prices=True), "")
            for entrant in ENTRANTS:
                if entrant.is_installed:
                    with self.subTest(flow=name, rival=entrant.name):
                        theirs = entrant.make().answers(flow)
                        self.assertEqual(matcher.difference(theirs, ours, prices=entrant.tells_prices), "")

    def test_it_reports_every_flow_and_rival(self) -> None:
        entrants = (Entrant("honest", Bare, "json", most=50), Entrant("liar", LosesEveryThirdTrade, "json"))
        bench = Notes()
        with mock.patch.object(matcher, "ENTRANTS", entrants):
            matcher.run(bench, count=300, rounds=1, rival_rounds=1)
        self.assertEqual(len(bench.figures), 3 * len(FLOWS))
        notes = [figure.note for figure in bench.figures]
        self.assertEqual(sum(note.startswith("DIFFERS: order ") for note in notes), 3)
        self.assertEqual(notes.count("trades equal"), 3)
        self.assertIn(", 50 operations", bench.figures[1].name)

    def test_it_goes_on_without_what_is_not_installed(self) -> None:
        bench = Notes()
        with mock.patch.object(matcher, "ENTRANTS", (Entrant("absent", Bare, "no_such_package"),)):
            matcher.run(bench, count=100, rounds=1)
        self.assertEqual(len(bench.figures), len(FLOWS) + 1)
        self.assertIn("not installed: absent", bench.figures[-1].note)

    def test_what_each_order_traded_is_compared_where_no_price_is_told(self) -> None:
        self.assertEqual(matcher.difference([[(0, 7)]], [[(100, 3), (101, 4)]], prices=False), "")
        self.assertIn("order 0", matcher.difference([[(0, 6)]], [[(100, 3), (101, 4)]], prices=False))


class GrowthTests(TransactionTestCase):
    def test_it_reports_every_size_and_leaves_books_that_add_up(self) -> None:
        bench = Notes()
        with mock.patch.object(growth, "FEW_ORDERS", 30):
            growth.run(bench, most_orders=40, most_users=20, rounds=1)
        names = [figure.name for figure in bench.figures]
        self.assertEqual(
            names,
            [
                "matcher, 10 resting orders",
                "matcher, 40 resting orders",
                "book of 40 resting orders, rebuilt",
                "engine, 10 resting orders",
                "engine, 40 resting orders",
                "engine, 10 users",
                "engine, 20 users",
            ],
        )
        self.assertIsNone(bench.figures[0].limit)
        self.assertEqual(bench.figures[1].limit, bench.figures[0].value)
        self.assertEqual([str(finding) for finding in run_audit() if not finding.holds], [])
        self.assertEqual(Order.objects.filter(stock="DEPTH-40").count(), 40 + 2 * growth.BATCH)

    def test_what_is_loaded_is_a_book(self) -> None:
        fill_book("DEEP", LEVELS + 5, make_users(3), lambda count: None)
        with transaction.atomic():
            market = Books().current(lock_stock("DEEP"))
        bids, asks = market.snapshot(LEVELS + 1)
        self.assertEqual((len(bids), asks), (LEVELS, ()))
        self.assertEqual(
            bids[4:6],
            ((TOP_PRICE - 4 * INCREMENT, 2 * QUANTITY, 2), (TOP_PRICE - 5 * INCREMENT, QUANTITY, 1)),
        )
        self.assertEqual(next(iter(market.side(1))).sequence, 1)
