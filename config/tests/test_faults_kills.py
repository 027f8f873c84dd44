"""`kill -9` of the process that matches, at random moments under load, and what the next one finds.

On SQLite and on PostgreSQL. BOURSE_KILLS says how often; a release is tested with 20.
"""

import time
from collections import Counter
from random import Random

from django.db import connection

from config.tests.faults.processes import KILLS, SEED, ProcessesTestCase, Workers, workers
from trade.models import Order, OrderEvent


class Kills(ProcessesTestCase):
    left_pending = 0

    def test_nothing_is_lost_or_matched_twice(self) -> None:
        rng = Random(SEED)
        # The last one is not killed: it lives to recover what the others left.
        task = self.make_task(
            seconds=60, last_seconds=1, rounds=KILLS + 1, threads=4, ways="ENGINE_ONLY", acknowledge=True
        )
        with workers(task) as started:
            for number in range(KILLS):
                with self.subTest(kill=number, seed=SEED):
                    self.kill_one(started, number, rng)
            started.finish(60)
        self.assertEqual(len(started.pids), KILLS + 1)
        self.assertEqual(started.total.unexpected, [])
        self.assert_stored(started.orders)
        self.assert_books_are_right()
        self.assert_books_agree(started, task)
        self.assertEqual(Order.objects.filter(status="PENDING").count(), 0)
        self.assert_matched_once()
        if KILLS >= 10:
            print(
                f"\n{connection.vendor}: {KILLS} kills, {len(started.orders)} orders confirmed, "
                f"{self.left_pending} found pending after a kill"
            )

    def kill_one(self, started: Workers, number: int, rng: Random) -> None:
        confirmed = len(started.orders)
        started.wait_until(lambda: len(started.pids) > number and len(started.orders) > confirmed)
        time.sleep(rng.uniform(0, 0.4))
        started.kill_newest()
        self.left_pending += Order.objects.filter(status="PENDING").count()
        # At once, while the next one already trades.
        self.assert_stored(started.orders[:])
        self.assert_books_are_right()

    def assert_matched_once(self) -> None:
        entered = Counter(
            OrderEvent.objects.filter(kind__in=["entered", "rejected"]).values_list("order_id", flat=True)
        )
        self.assertEqual([order_id for order_id, times in entered.items() if times > 1], [])
