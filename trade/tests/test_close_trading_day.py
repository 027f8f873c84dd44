from decimal import Decimal
from io import StringIO

from django.core.management import CommandError, call_command

from stocks.models import Stock
from trade.engine import reset_engine
from trade.models import Order, OrderEvent
from trade.tests.base import MarketTestCase, make_trader


class CloseTradingDay(MarketTestCase):
    def setUp(self) -> None:
        super().setUp()
        Stock.objects.create(stock_id="BEAN", name="Bean")
        self.ann = make_trader("ann", 1_000, ACME=10)
        for stock_id in ("ACME", "BEAN"):
            self.place(self.ann, "buy", 5, "10", stock_id=stock_id, time_in_force="day")
        self.place(self.ann, "sell", 5, "20", time_in_force="day")
        self.place(self.ann, "buy", 5, "10")

    def close(self, *stocks: str) -> str:
        # The command is another process: it knows nothing of the books of this one.
        reset_engine()
        out = StringIO()
        call_command("close_trading_day", *[f"--stock={stock_id}" for stock_id in stocks], stdout=out)
        reset_engine()
        return out.getvalue()

    def open_orders(self) -> list[tuple[str, str]]:
        rows = Order.objects.filter(status__in=Order.OPEN_STATUSES).order_by("created_at")
        return list(rows.values_list("stock_id", "time_in_force"))

    def test_it_ends_the_day_orders_of_every_stock_once(self) -> None:
        self.assertEqual(self.close(), "3 day orders expired.\n")
        self.assertEqual(self.open_orders(), [("ACME", "gtc")])
        self.assertEqual((self.cash(self.ann)[1], self.shares(self.ann)[1]), (Decimal(50), 0))
        self.assertEqual(self.close(), "0 day orders expired.\n")
        reasons = OrderEvent.objects.filter(kind="expired").values_list("reason", flat=True)
        self.assertEqual(list(reasons), ["day"] * 3)

    def test_it_takes_one_stock_or_several(self) -> None:
        self.assertEqual(self.close("BEAN"), "1 day order expired.\n")
        self.assertEqual(self.open_orders(), [("ACME", "day"), ("ACME", "day"), ("ACME", "gtc")])
        self.assertEqual(self.close("BEAN", "ACME"), "2 day orders expired.\n")

    def test_it_ends_nothing_when_a_stock_is_unknown(self) -> None:
        with self.assertRaisesMessage(CommandError, "There is no stock NO."):
            self.close("ACME", "NO")
        self.assertEqual(len(self.open_orders()), 4)

    def test_it_ends_them_in_a_halted_market_too(self) -> None:
        self.engine.halt("ACME")
        self.assertEqual(self.close("ACME"), "2 day orders expired.\n")
