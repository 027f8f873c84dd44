"""Which stocks the feed may tick."""

from decimal import Decimal as D

from django.test import TestCase

from market_feed.known_stocks import REFRESH_S, UNKNOWN_REFRESH_S, KnownStocks
from market_feed.messages import MalformedMessage
from stocks.models import Stock
from stocks.services import StockExists


class Clock:
    now = 0.0

    def __call__(self) -> float:
        return self.now


class Knowing(TestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.listed: list[tuple[str, str]] = []
        Stock.objects.create(stock_id="ACME", name="Acme", price_increment=D("0.05"))

    def known(self) -> KnownStocks:
        return KnownStocks(list_stock=self.list_stock, clock=self.clock)

    def list_stock(self, stock_id: str, name: str) -> None:
        self.listed.append((stock_id, name))
        Stock.objects.create(stock_id=stock_id, name=name)

    def test_it_knows_the_increment_of_a_listed_stock(self) -> None:
        self.assertEqual(self.known().increment_of("ACME", "Acme"), 500)
        self.assertEqual(self.listed, [])

    def test_it_asks_the_database_once(self) -> None:
        known = self.known()
        with self.assertNumQueries(1):
            for _ in range(5):
                known.increment_of("ACME", "Acme")

    def test_it_lists_a_new_stock_once(self) -> None:
        known = self.known()
        self.assertEqual([known.increment_of("NEW", "New Corp") for _ in range(3)], [100, 100, 100])
        self.assertEqual(self.listed, [("NEW", "New Corp")])

    def test_it_takes_it_when_another_process_was_quicker(self) -> None:
        def list_stock(stock_id: str, name: str) -> None:
            Stock.objects.create(stock_id=stock_id, name="Theirs", price_increment=D("0.10"))
            raise StockExists("there is one")

        known = KnownStocks(list_stock=list_stock, clock=self.clock)
        self.assertEqual(known.increment_of("NEW", "New"), 1_000)

    def test_it_refuses_a_stock_that_is_not_wanted(self) -> None:
        known = KnownStocks(list_stock=None, clock=self.clock)
        with self.assertRaises(MalformedMessage) as caught:
            known.increment_of("NEW", "New")
        self.assertEqual(caught.exception.kind, "unknown_stock")

    def test_a_flood_of_unwanted_ticks_costs_one_query_a_second(self) -> None:
        known = KnownStocks(list_stock=None, clock=self.clock)
        with self.assertNumQueries(1):
            for _ in range(10):
                with self.assertRaises(MalformedMessage):
                    known.increment_of("NEW", "New")
        Stock.objects.create(stock_id="NEW", name="New")
        self.clock.now += UNKNOWN_REFRESH_S
        self.assertEqual(known.increment_of("NEW", "New"), 100)

    def test_it_notices_a_new_increment_in_a_while(self) -> None:
        known = self.known()
        known.refresh()
        Stock.objects.update(price_increment=D("0.50"))
        known.refresh()
        self.assertEqual(known.increment_of("ACME", "Acme"), 500)
        self.clock.now += REFRESH_S
        known.refresh()
        self.assertEqual(known.increment_of("ACME", "Acme"), 5_000)
