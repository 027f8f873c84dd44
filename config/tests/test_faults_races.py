"""Eight processes at one account and one stock on PostgreSQL, and the control with the row locks off."""

from django.test import tag

from config.tests.faults.processes import SEED, ProcessesTestCase, deadlocks, workers
from stocks.models import Holding
from trade.models import Order
from trade.selectors.audit import run_audit
from users.models import CashAccount


@tag("postgresql")
class EightProcesses(ProcessesTestCase):
    """Each has an engine, three engine threads and two callers; nothing is shared but the database."""

    def test_they_keep_the_books_right(self) -> None:
        task = self.make_task(processes=8)
        before = deadlocks()
        started = self.run_task(task)
        report = started.total
        self.assertEqual((report.unexpected, started.errors), ([], []))
        self.assert_books_are_right()
        self.assert_stored(report.orders)
        self.assert_books_agree(started, task)
        self.assertEqual(deadlocks() - before, 0)
        self.assertEqual(Order.objects.filter(status="PENDING").count(), 0)
        self.assertEqual(CashAccount.objects.filter(balance__lt=0).count(), 0)
        self.assertEqual(Holding.objects.filter(quantity__lt=0).count(), 0)
        # They did meet: more was asked for than was there.
        self.assertGreater(report.refused["insufficient_funds"] + report.refused["insufficient_shares"], 0)
        self.assertGreater(report.done["limit"], 10)
        if task.seconds >= 10:
            rate = len(report.orders) / task.seconds
            print(f"\n{len(report.orders)} orders ({rate:.0f}/s), {report.done}, refused {report.refused}")

    def test_they_do_not_deadlock_over_several_stocks(self) -> None:
        task = self.make_task(stocks=3, processes=8, seed=SEED + 1)
        before = deadlocks()
        started = self.run_task(task)
        self.assertEqual((started.total.unexpected, started.errors), ([], []))
        self.assert_books_are_right()
        self.assert_books_agree(started, task)
        self.assertEqual(deadlocks() - before, 0)


@tag("postgresql")
class TheControl(ProcessesTestCase):
    """Without any one of the locks the same must fail, or the test above proves nothing."""

    def assert_it_fails_without(self, lock: str) -> None:
        task = self.make_task(processes=8, seconds=30, locks_off=(lock,))
        with workers(task) as started:
            # Not long: it fails within a second of trading.
            started.wait_until(lambda: any(not finding.holds for finding in run_audit()))

    def test_it_fails_without_the_locks_of_accounts(self) -> None:
        self.assert_it_fails_without("accounts")

    def test_it_fails_without_the_locks_of_holdings(self) -> None:
        self.assert_it_fails_without("holdings")

    def test_it_fails_without_the_locks_of_stocks(self) -> None:
        self.assert_it_fails_without("stocks")
