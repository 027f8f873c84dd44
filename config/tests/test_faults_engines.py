"""Engines of several processes on one database: orders left behind, connections cut off."""

import time
from datetime import timedelta
from decimal import Decimal
from random import Random

from django.db import connection
from django.test import tag
from django.utils import timezone

from config.tests.faults.processes import SEED, ProcessesTestCase, deadlocks, workers
from trade.models import Order, OrderEvent
from trade.services.order_rules import NewOrder
from trade.services.reservation import Reserved, new_order_id, reserve_orders
from trade.tests.base import units


class Orphans(ProcessesTestCase):
    """Orders whose process died between its two commits."""

    def test_they_are_let_in_exactly_once_however_many_look(self) -> None:
        task = self.make_task(stocks=2, processes=4, seconds=0)
        orders = self.leave_behind(60, task.user_ids, task.stock_ids)
        started = self.run_task(task)
        self.assertEqual(started.errors, [])
        entered = OrderEvent.objects.filter(kind="entered").values_list("order_id", flat=True)
        self.assertEqual(sorted(order_id.hex for order_id in entered), sorted(orders))
        self.assertFalse(Order.objects.filter(status="PENDING").exists())
        self.assert_books_are_right()
        self.assert_books_agree(started, task)

    @staticmethod
    def leave_behind(count: int, user_ids: list[int], stock_ids: list[str]) -> list[str]:
        rng, long_ago = Random(SEED), timezone.now() - timedelta(minutes=1)
        new_orders = [
            NewOrder(
                rng.choice(user_ids),
                rng.choice(stock_ids),
                rng.choice(["buy", "sell"]),
                "limit",
                rng.randint(1, 9),
                price=units(rng.randint(95, 105)),
            )
            for _ in range(count)
        ]
        order_ids = [new_order_id(long_ago) for _ in new_orders]
        results = reserve_orders(
            orders=list(zip(order_ids, new_orders, strict=True)), collar=Decimal("0.1"), now=long_ago
        )
        assert all(isinstance(result, Reserved) for result in results), results
        return order_ids


@tag("postgresql")
class CutOff(ProcessesTestCase):
    def test_the_engines_go_on_after_their_connections_are_cut(self) -> None:
        task = self.make_task(processes=2, threads=4, seconds=2.5, ways="ENGINE_ONLY", acknowledge=True)
        rng, cut, before = Random(SEED), 0, deadlocks()
        with workers(task) as started:
            started.wait_until(lambda: len(started.orders) > 5)
            until = time.monotonic() + task.seconds - 1
            while time.monotonic() < until:
                time.sleep(rng.uniform(0.05, 0.3))
                cut += self.cut_all()
            started.finish(60)
        self.assertGreater(cut, 5)
        # Callers got their order or "busy", never an error.
        self.assertEqual(started.total.unexpected, [])
        self.assert_stored(started.orders)
        self.assert_books_are_right()
        self.assert_books_agree(started, task)
        self.assertEqual(Order.objects.filter(status="PENDING").count(), 0)
        self.assertEqual(deadlocks() - before, 0)

    @staticmethod
    def cut_all() -> int:
        """End every connection to the database but this one; how many there were."""
        with connection.cursor() as cursor:
            cursor.execute(
                "SELECT COUNT(pg_terminate_backend(pid)) FROM pg_stat_activity "
                "WHERE datname = current_database() AND pid <> pg_backend_pid()"
            )
            return cursor.fetchone()[0]
