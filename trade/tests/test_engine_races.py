"""Eight threads at one account and one stock, and the control: without the locks, the same must fail.

The same with processes, which share nothing but the database, is `config/tests/test_faults_races.py`.
"""

import logging
import os
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from unittest import mock

from django.db import connection, connections
from django.test import TransactionTestCase, override_settings

from stocks.models import Holding
from trade.engine import get_engine, reset_engine
from trade.models import Order
from trade.selectors.audit import run_audit
from trade.tests.hammer import Hammer, Report, make_market
from users.models import CashAccount

THREADS = 8
SECONDS = float(os.environ.get("BOURSE_HAMMER_S", "2"))
SEED = int(os.environ.get("BOURSE_SEED", "1"))


class EightThreads(TransactionTestCase):
    def setUp(self) -> None:
        reset_engine()
        self.addCleanup(reset_engine)
        self.enterContext(override_settings(ORPHAN_AGE_S=0.5))

    def hammer(self, seconds: float) -> Report:
        user_ids, stock_ids = make_market()
        hammers = [
            Hammer(get_engine(), user_ids=user_ids, stock_ids=stock_ids, seed=SEED * 100 + number)
            for number in range(THREADS)
        ]
        threads = [threading.Thread(target=self.swing, args=[hammer, seconds]) for hammer in hammers]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
        reset_engine()
        total = Report()
        for hammer in hammers:
            total.add(hammer.report)
        return total

    @staticmethod
    def swing(hammer: Hammer, seconds: float) -> None:
        try:
            hammer.run(seconds)
        finally:
            connection.close()

    def test_it_keeps_the_books_right(self) -> None:
        report = self.hammer(SECONDS)
        self.assertEqual(report.unexpected, [])
        self.assertEqual([str(finding) for finding in run_audit() if not finding.holds], [])
        self.assertEqual(CashAccount.objects.filter(balance__lt=0).count(), 0)
        self.assertEqual(Holding.objects.filter(quantity__lt=0).count(), 0)
        stored = {order_id.hex for order_id in Order.objects.values_list("order_id", flat=True)}
        self.assertLessEqual(set(report.orders), stored)
        # It did meet: the same money was asked for more often than it was there.
        self.assertGreater(report.refused["insufficient_funds"] + report.refused["insufficient_shares"], 0)
        self.assertGreater(report.done["limit"], 10)
        if SECONDS >= 10:
            rate = len(report.orders) / SECONDS
            print(
                f"\n{connection.vendor}: {len(report.orders)} orders ({rate:.0f}/s) from {THREADS} threads, "
                f"{dict(report.done)}, refused {dict(report.refused)}"
            )

    def test_it_fails_without_the_locks(self) -> None:
        # What the engine says of it is many pages long.
        logging.disable(logging.CRITICAL)
        self.addCleanup(logging.disable, logging.NOTSET)
        with locks_off():
            report = self.hammer(2)
        broken = [str(finding) for finding in run_audit() if not finding.holds]
        self.assertTrue(report.unexpected or broken, "the locks are not what keeps the books right")


@contextmanager
def locks_off() -> Iterator[None]:
    """Rows are read without being locked: on PostgreSQL by SELECT, on SQLite at BEGIN."""
    if connection.vendor == "postgresql":
        with (
            mock.patch("users.services.cash.lock_clause", return_value=""),
            mock.patch("stocks.services.holdings.lock_clause", return_value=""),
            mock.patch("stocks.services.ticks.lock_clause", return_value=""),
        ):
            yield
    else:
        with mock.patch.dict(connections.settings["default"]["OPTIONS"], transaction_mode="DEFERRED"):
            yield
