from decimal import Decimal

from django.test import TestCase

from stocks.models import Stock
from stocks.services import RuleBoundsCrossed, StockExists, UnknownStock, list_stock, update_stock
from stocks.tests.base import make_stock


class ListTests(TestCase):
    def test_it_lists_a_stock_with_its_steps(self) -> None:
        list_stock(stock_id="ACME", name="Acme", price_increment=Decimal("0.05"), lot_size=10)
        stock = Stock.objects.get(pk="ACME")
        self.assertEqual((stock.name, stock.price_increment, stock.lot_size), ("Acme", Decimal("0.05"), 10))
        self.assertEqual((stock.status, stock.sequence, stock.last_price), ("open", 0, None))

    def test_steps_have_defaults(self) -> None:
        stock = list_stock(stock_id="ACME", name="Acme")
        self.assertEqual((stock.price_increment, stock.lot_size), (Decimal("0.01"), 1))

    def test_an_id_is_listed_once(self) -> None:
        list_stock(stock_id="ACME", name="Acme")
        with self.assertRaises(StockExists):
            list_stock(stock_id="ACME", name="Another")
        self.assertEqual(Stock.objects.get().name, "Acme")

    def test_without_an_id_it_makes_one_from_the_name(self) -> None:
        for name, stock_id in [
            ("Acme Corp.", "ACME-CORP"),
            ("acme corp", "ACME-CORP-2"),
            ("ACME, Corp", "ACME-CORP-3"),
            ("\u00dcber & Co", "BER-CO"),
            ("\u682a", "STOCK"),
            ("...", "STOCK-2"),
            ("A" * 100, "A" * 48),
            ("<script>", "SCRIPT"),
        ]:
            with self.subTest(name):
                self.assertEqual(list_stock(name=name).stock_id, stock_id)


class UpdateTests(TestCase):
    def test_it_changes_what_is_given(self) -> None:
        make_stock("ACME", sequence=7)
        update_stock(stock_id="ACME", price_increment=Decimal("0.5"))
        update_stock(stock_id="ACME", name="New", lot_size=100)
        update_stock(stock_id="ACME")
        stock = Stock.objects.get()
        self.assertEqual((stock.name, stock.price_increment, stock.lot_size), ("New", Decimal("0.5"), 100))

    def test_crossed_bounds_are_refused(self) -> None:
        make_stock("ACME", max_quantity=10)
        with self.assertRaises(RuleBoundsCrossed) as caught:
            update_stock(stock_id="ACME", name="New", min_quantity=11)
        self.assertEqual(caught.exception.field, "min_quantity")
        self.assertEqual(Stock.objects.values_list("name", "min_quantity").get(), ("Acme", None))
        update_stock(stock_id="ACME", max_quantity=None, min_quantity=11)
        self.assertEqual(Stock.objects.values_list("min_quantity", "max_quantity").get(), (11, None))

    def test_it_leaves_what_trading_writes_alone(self) -> None:
        make_stock("ACME")
        with self.assertNumQueries(4) as queries:
            update_stock(stock_id="ACME", name="New")
        update = next(query["sql"] for query in queries.captured_queries if query["sql"].startswith("UPDATE"))
        self.assertNotIn("sequence", update)

    def test_an_unknown_stock_is_refused(self) -> None:
        with self.assertRaises(UnknownStock):
            update_stock(stock_id="NO", name="New")
