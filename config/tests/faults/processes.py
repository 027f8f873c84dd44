"""Starting, killing and listening to the processes of `worker`, and what must be true afterwards."""

import json
import os
import signal
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

from django.conf import settings
from django.db import connection
from django.test import TransactionTestCase

from config.tests.faults.worker import Task, as_text
from trade.engine import reset_engine
from trade.models import Order
from trade.selectors.audit import run_audit
from trade.selectors.book import order_book
from trade.tests.hammer import Report, make_market

# Longer, for who has the time: 60 and 20 are what a release is tested with.
HAMMER_S = float(os.environ.get("BOURSE_HAMMER_S", "2"))
KILLS = int(os.environ.get("BOURSE_KILLS", "4"))
SEED = int(os.environ.get("BOURSE_SEED", "1"))
ORPHAN_AGE_S = 0.3


class Workers:
    """The processes of one task, and what they have said so far."""

    def __init__(self, task: Task, log: Any) -> None:
        self.pids: list[int] = []
        self.orders: list[str] = []
        self.books: list[dict[str, Any]] = []
        self.errors: list[str] = []
        self.total = Report()
        self._log = log
        # A session of its own, so that all of it can be ended together.
        self.process = subprocess.Popen(
            [sys.executable, "-m", "config.tests.faults.worker", as_text(task)],
            stdout=subprocess.PIPE,
            stderr=log,
            cwd=settings.BASE_DIR,
            env={
                **os.environ,
                "DATABASE_URL": database_url(),
                "DJANGO_SETTINGS_MODULE": "config.settings",
                "ORPHAN_AGE_S": str(ORPHAN_AGE_S),
                "LOG_LEVEL": "ERROR",
            },
            start_new_session=True,
        )
        self._listener = threading.Thread(target=self._listen, daemon=True)
        self._listener.start()

    def _listen(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            for key, value in json.loads(line).items():
                self._take(key, value)

    def _take(self, key: str, value: Any) -> None:
        if key == "pid":
            self.pids.append(value)
        elif key == "order":
            self.orders.append(value)
        elif key == "books":
            self.books.append(value)
        else:
            self.total.add(Report.from_dict(value))
            self.errors += [value["last_error"]] if value["last_error"] else []

    def wait_until(self, condition: Callable[[], bool], timeout_s: float = 60) -> None:
        until = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > until or self.process.poll() is not None:
                raise AssertionError(f"the processes did not get there:\n{self.log_tail()}")
            time.sleep(0.01)

    def kill_newest(self) -> None:
        os.kill(self.pids[-1], signal.SIGKILL)

    def finish(self, timeout_s: float) -> None:
        """Wait for all of them to end by themselves."""
        try:
            self.process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise AssertionError(f"the processes hang:\n{self.log_tail()}") from None
        self._listener.join(10)

    def log_tail(self) -> str:
        self._log.seek(0)
        return self._log.read().decode(errors="replace")[-4000:]


@contextmanager
def workers(task: Task) -> Iterator[Workers]:
    with tempfile.TemporaryFile() as log:
        started = Workers(task, log)
        try:
            yield started
        finally:
            if started.process.poll() is None:
                os.killpg(started.process.pid, signal.SIGKILL)
                started.process.wait()


def database_url() -> str:
    """The database of this test run, as another process is told of it."""
    database = connection.settings_dict
    if connection.vendor == "sqlite":
        return f"sqlite:///{database['NAME']}"
    words = {name: database[name] for name in ("USER", "PASSWORD", "HOST", "PORT", "NAME")}
    return "postgres://{USER}:{PASSWORD}@{HOST}:{PORT}/{NAME}".format(**words)


class ProcessesTestCase(TransactionTestCase):
    """A market, and processes that trade in it. The test itself has no engine."""

    def setUp(self) -> None:
        reset_engine()

    def make_task(self, *, stocks: int = 1, **words: Any) -> Task:
        user_ids, stock_ids = make_market(stocks)
        return Task(user_ids=user_ids, stock_ids=stock_ids, **{"seed": SEED, "seconds": HAMMER_S, **words})

    def run_task(self, task: Task) -> Workers:
        with workers(task) as started:
            started.finish(task.seconds + 90)
            self.assertEqual(started.process.returncode, 0, started.log_tail())
        return started

    def assert_books_are_right(self) -> None:
        self.assertEqual([str(finding) for finding in run_audit() if not finding.holds], [])

    def assert_stored(self, orders: list[str]) -> None:
        """Every order that was confirmed is there."""
        stored = {order_id.hex for order_id in Order.objects.values_list("order_id", flat=True)}
        self.assertEqual(set(orders) - stored, set())

    def assert_books_agree(self, started: Workers, task: Task) -> None:
        """Every process has the same book in memory, and it is the one in the database."""
        self.assertEqual(len(started.books), task.processes)
        for stock_id in task.stock_ids:
            stored = order_book(stock_id, 500)
            rows = Order.objects.filter(stock_id=stock_id, remaining_quantity__gt=0).exclude(status="PENDING")
            columns = ("order_id", "remaining_quantity", "traded_quantity", "priority", "sequence")
            expected = {
                "sequence": stored.sequence,
                "orders": {order_id.hex: numbers for order_id, *numbers in rows.values_list(*columns)},
                "bids": [[level.price, level.quantity, level.orders] for level in stored.bids],
                "asks": [[level.price, level.quantity, level.orders] for level in stored.asks],
            }
            for books in started.books:
                self.assertEqual(books[stock_id], expected)


def deadlocks() -> int:
    """How many PostgreSQL has had to break in this database. Ended processes have reported theirs."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pg_stat_clear_snapshot(), deadlocks FROM pg_stat_database WHERE datname = current_database()"
        )
        return cursor.fetchone()[1]
