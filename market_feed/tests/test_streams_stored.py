"""What a private stream reads of orders that stop, change and meet their own user's."""

from datetime import timedelta
from typing import Any

from django.db.models import Max
from django.utils import timezone

from market_feed.streams.frames import encode
from market_feed.streams.stored import StoredMarket
from stocks.models import Stock
from trade.models import Order
from trade.signals import CommittedBatch, batch_committed
from trade.tests.base import MarketTestCase, make_trader, units


class PrivateEventTests(MarketTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.ann = make_trader("ann", 10_000, ACME=100)
        self.bob = make_trader("bob", 10_000, ACME=100)
        self.seen = 0
        self.told: set[tuple[str, int]] = set()
        batch_committed.connect(self._hear)
        self.addCleanup(batch_committed.disconnect, self._hear)

    def _hear(self, batch: CommittedBatch, **_: object) -> None:
        self.told |= {(order.order_id, order.sequence) for order in batch.orders}

    def news_of_ann(self) -> list[dict[str, Any]]:
        """What Ann is sent since the last look; every order of it was in a batch that said so."""
        events, self.seen = StoredMarket().private_events("ACME", [self.ann.pk], self.seen, None, 100)
        messages = [message for _, _, message in events]
        for message in messages:
            encode(message)
            if message["type"] == "order":
                order_id = message["order"]["order_id"].replace("-", "")
                self.assertIn((order_id, message["sequence"]), self.told)
        return messages

    def orders(self) -> list[tuple[str, int, str]]:
        return [
            (message["order"]["status"], message["order"]["remaining_quantity"], message["order"]["reason"])
            for message in self.news_of_ann()
            if message["type"] == "order"
        ]

    def test_a_stop_is_told_when_it_waits_and_when_it_is_triggered(self) -> None:
        self.tick("10", 0)
        self.place(self.ann, "sell", 5, "9", type="stop_limit", stop_price="9.50")
        self.assertEqual(self.orders(), [("ACTIVE", 5, "")])
        self.tick("9.40", 0)
        self.assertEqual(self.orders(), [("ACTIVE", 5, "")])
        self.assertEqual(self.orders(), [])

    def test_a_change_is_told_with_the_new_terms(self) -> None:
        order = self.place(self.ann, "buy", 5, "10")
        self.news_of_ann()
        self.engine.replace_order(order.pk, self.ann.pk, price=units("9"), quantity=7)
        (message,) = self.news_of_ann()
        changed = message["order"]
        self.assertEqual((changed["price"], changed["quantity"], changed["reserved"]), (9.0, 7, 63.0))
        self.assertEqual(message["available"], 9_937.0)
        self.engine.replace_order(order.pk, self.ann.pk, quantity=3)
        self.assertEqual(self.orders(), [("ACTIVE", 3, "")])

    def test_both_orders_of_a_prevented_trade_are_told(self) -> None:
        for mode, resting, taker in [
            ("expire_taker", None, ("CANCELLED", 0, "self_trade")),
            ("expire_maker", ("CANCELLED", 0, "self_trade"), ("ACTIVE", 8, "")),
            ("expire_both", ("CANCELLED", 0, "self_trade"), ("CANCELLED", 0, "self_trade")),
            ("decrement", ("CANCELLED", 0, "self_trade"), ("ACTIVE", 3, "")),
        ]:
            with self.subTest(mode):
                self.place(self.ann, "sell", 5, "10")
                self.news_of_ann()
                self.place(self.ann, "buy", 8, "10", self_trade_prevention=mode)
                self.assertCountEqual(self.orders(), [one for one in (resting, taker) if one])
                self.engine.cancel_orders(self.ann.pk)
                self.news_of_ann()

    def test_the_slices_of_an_iceberg_are_fills_of_one_order(self) -> None:
        self.place(self.ann, "sell", 5, "10", display_quantity=2)
        self.news_of_ann()
        self.place(self.bob, "buy", 3, "10")
        kinds = [message["type"] for message in self.news_of_ann()]
        self.assertEqual(kinds, ["fill", "fill", "order"])

    def test_what_expires_is_told(self) -> None:
        soon = timezone.now() + timedelta(hours=1)
        self.place(self.ann, "buy", 5, "10", time_in_force="gtd", expires_at=soon)
        self.place(self.ann, "buy", 5, "10", time_in_force="day")
        self.assertEqual(len(self.orders()), 2)
        self.engine.expire_day_orders("ACME")
        self.assertEqual(self.orders(), [("EXPIRED", 0, "day")])

    def test_an_order_has_the_sequence_of_its_newest_event(self) -> None:
        self.tick("10", 0)
        self.place(self.ann, "buy", 5, type="stop", stop_price="11")
        order = self.place(self.ann, "sell", 5, "12")
        self.engine.replace_order(order.pk, self.ann.pk, quantity=4)
        self.tick("11", 0)
        self.place(self.ann, "buy", 9, "12", self_trade_prevention="decrement")
        for row in Order.objects.annotate(newest=Max("events__sequence")):
            self.assertEqual(row.sequence, row.newest, row.status)
        self.assertEqual(Stock.objects.get().sequence, Order.objects.aggregate(last=Max("sequence"))["last"])
