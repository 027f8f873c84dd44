"""The trading day closes by itself: at its time, once, whoever is there."""

import time as clock
from dataclasses import replace
from datetime import UTC, datetime, time, timedelta
from unittest import mock

from django.db import connection
from django.test import SimpleTestCase, TransactionTestCase, override_settings
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from stocks.models import Stock
from trade.engine import MarketEngine, get_engine, reset_engine
from trade.engine.gateway import options_from_settings
from trade.engine.trading_day import latest_closing
from trade.models import Order, OrderEvent
from trade.selectors.audit import run_audit
from trade.services.order_rules import NewOrder
from trade.tests.base import MarketTestCase, make_trader, units

CLOSES_AT = time(22, 0)
MONDAY = datetime(2024, 5, 6, 22, 0, tzinfo=UTC)
SECOND = timedelta(seconds=1)
DAY = timedelta(days=1)


class LatestClosing(SimpleTestCase):
    def test_it_is_today_s_from_its_moment_on_and_yesterday_s_before(self) -> None:
        for now, closing in [
            (MONDAY, MONDAY),
            (MONDAY + SECOND, MONDAY),
            (MONDAY - SECOND, MONDAY - DAY),
            (MONDAY + DAY - SECOND, MONDAY),
        ]:
            with self.subTest(now=now):
                self.assertEqual(latest_closing(CLOSES_AT, now), closing)

    def test_it_is_in_utc_whatever_zone_now_is_in(self) -> None:
        east = timezone.get_fixed_timezone(120)
        self.assertEqual(latest_closing(CLOSES_AT, MONDAY.astimezone(east)), MONDAY)
        self.assertEqual(latest_closing(time(0, 0), MONDAY.astimezone(east)), MONDAY - timedelta(hours=22))


@override_settings(TRADING_DAY_CLOSES_AT=CLOSES_AT)
class Closing(MarketTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.ann = make_trader("ann", 10_000, ACME=100)

    def order(self, placed_at: datetime, time_in_force: str = "day", side: str = "buy") -> Order:
        order = self.place(self.ann, side, 5, "10" if side == "buy" else "20", time_in_force=time_in_force)
        Order.objects.filter(pk=order.pk).update(created_at=placed_at)
        return order

    def close(self, now: datetime, engine: MarketEngine | None = None) -> None:
        engine = engine or self.engine
        engine.close_trading_day(now)
        while engine.step():
            pass

    def ended(self) -> list[object]:
        events = OrderEvent.objects.filter(kind="expired", reason="day").order_by("sequence")
        return list(events.values_list("order_id", flat=True))

    def test_it_ends_day_orders_at_the_time_and_not_before(self) -> None:
        orders = [self.order(MONDAY - SECOND), self.order(MONDAY - SECOND, side="sell")]
        self.order(MONDAY - SECOND, "gtc")
        self.close(MONDAY - SECOND)
        self.assertEqual(self.ended(), [])
        self.close(MONDAY)
        self.assertEqual(self.ended(), [order.pk for order in orders])
        self.assertEqual((self.cash(self.ann)[1], self.shares(self.ann)[1]), (50, 0))
        self.assertEqual([str(finding) for finding in run_audit() if not finding.holds], [])

    def test_it_lets_those_placed_later_live_until_the_next_time(self) -> None:
        order = self.order(MONDAY)
        self.close(MONDAY + SECOND)
        self.assertEqual(self.ended(), [])
        self.close(MONDAY + DAY)
        self.assertEqual(self.ended(), [order.pk])

    def test_it_makes_up_for_a_time_that_nobody_was_there(self) -> None:
        before, after = self.order(MONDAY - 3 * DAY), self.order(MONDAY + timedelta(hours=3))
        reset_engine()
        self.close(MONDAY + timedelta(hours=9))
        self.assertEqual(self.ended(), [before.pk])
        self.assertEqual(Order.objects.get(pk=after.pk).status, "ACTIVE")

    def test_it_happens_once_however_many_look_after_it(self) -> None:
        order = self.order(MONDAY - SECOND)
        others = [MarketEngine(options_from_settings()) for _ in range(2)]
        engines = [self.engine, *others]
        # All of them see that it is due before any of them acts.
        for engine in engines:
            engine.close_trading_day(MONDAY)
            engine.close_trading_day(MONDAY)
        for engine in engines:
            while engine.step():
                pass
            engine.stop()
        self.assertEqual(self.ended(), [order.pk])

    def test_it_asks_for_nothing_when_nothing_is_due(self) -> None:
        self.order(MONDAY)
        self.order(MONDAY - SECOND, "gtc")
        with mock.patch.object(self.engine._lanes, "put") as put:
            self.engine.close_trading_day(MONDAY + SECOND)
        put.assert_not_called()

    def test_it_takes_what_was_pending_at_the_time_once_it_has_entered(self) -> None:
        order = self.order(MONDAY - SECOND)
        pending = {"status": "PENDING", "sequence": 0, "priority": None}
        entered = {name: getattr(Order.objects.get(pk=order.pk), name) for name in pending}
        Order.objects.filter(pk=order.pk).update(**pending)
        self.close(MONDAY)
        self.assertEqual(self.ended(), [])
        Order.objects.filter(pk=order.pk).update(**entered)
        self.close(MONDAY + SECOND)
        self.assertEqual(self.ended(), [order.pk])

    def test_it_never_closes_without_a_time(self) -> None:
        self.order(MONDAY - DAY)
        self.engine.options = replace(self.engine.options, day_closes_at=None)
        self.close(MONDAY)
        self.assertEqual(self.ended(), [])

    def test_it_looks_along_an_index(self) -> None:
        with CaptureQueriesContext(connection) as queries:
            self.engine.close_trading_day(MONDAY)
        explain = "EXPLAIN QUERY PLAN" if connection.vendor == "sqlite" else "EXPLAIN"
        with connection.cursor() as cursor:
            if connection.vendor == "postgresql":
                # It would read a table of a few rows whole.
                cursor.execute("SET LOCAL enable_seqscan = off")
            cursor.execute(f"{explain} {queries[0]['sql']}")
            plan = " ".join(str(row[-1]) for row in cursor.fetchall())
        self.assertIn("order_open_day", plan)


@override_settings(ENGINE_THREADS=1)
class OnDuty(TransactionTestCase):
    """A whole engine, which is told nothing but the time of day."""

    def setUp(self) -> None:
        self.addCleanup(reset_engine)

    def test_it_ends_at_start_what_was_due_meanwhile(self) -> None:
        reset_engine()
        Stock.objects.create(stock_id="ACME", name="Acme")
        ann = make_trader("ann", 1_000)
        new_order = NewOrder(ann.pk, "ACME", "buy", "limit", 5, price=units(10), time_in_force="day")
        order = get_engine().place_order(new_order)
        reset_engine()
        now = timezone.now()
        Order.objects.update(created_at=now - DAY - timedelta(minutes=1))
        with override_settings(TRADING_DAY_CLOSES_AT=now.time().replace(second=0, microsecond=0)):
            get_engine()
            until = clock.monotonic() + 30
            while Order.objects.get(pk=order.pk).status != "EXPIRED" and clock.monotonic() < until:
                clock.sleep(0.02)
        self.assertEqual(Order.objects.get(pk=order.pk).reason, "day")
