"""The engine of one process: threads that reserve, match and answer.

A caller's order goes through the entry lane (RESERVE, many users' orders in one transaction) to the lane of
its stock (MATCH, one batch at a time); the caller's future is done after the second commit. Any number of
processes may run an engine on the same database: the rows' locks and sequences keep them apart.

What may go wrong, and what then happens:
    a refusal                        the caller gets it; the rest of the batch goes on
    another process was here unseen  the book is dropped, the batch runs again and looks before it acts
    the database is away             the batch is tried again until it is back; nothing is forgotten
    a command that cannot be stored  its batch is tried again one by one; the culprit gets the error
    this process dies                what it had reserved is PENDING, and any engine lets it in a little later
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import datetime, timedelta
from datetime import time as time_of_day
from decimal import Decimal
from typing import Any

from django.db import connection
from django.utils import timezone

from trade.engine.batch import Command
from trade.engine.commands import ExpireDayOrders, ExpireDueOrders, FreePendingChanges, Recover
from trade.engine.entry import EntryItem, EntryStage
from trade.engine.lanes import MAX_BATCH, Lanes
from trade.engine.matching import MatchStage
from trade.engine.trading_day import latest_closing
from trade.engine.trouble import Trouble, close_connection, stopping
from trade.selectors import resting

logger = logging.getLogger(__name__)

# No stock has this for an id.
ENTRY_LANE = None
# Orders left behind that one sweep looks for; the next goes on.
MAX_SWEPT = 20 * MAX_BATCH
# Orders that are good till a time end within a second of it.
EXPIRY_INTERVAL_S = 0.5


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """What the engine is told by the settings. `threads=0`: the caller's own thread does the work."""

    threads: int
    market_order_collar: Decimal
    orphan_age_s: float
    max_price_ratio: int
    # What trades bring lies unsettled until somebody settles it.
    defers_settlement: bool = False
    # In UTC; None: day orders are good until somebody closes the day.
    day_closes_at: time_of_day | None = None


@dataclass(slots=True)
class Duty:
    """Something that one of the threads does every so often."""

    run: Callable[[], None]
    interval_s: float
    next_at: float = 0.0


class Engine:
    """Runs the lanes. Thread-safe; see `trade.engine` for the calls that users of it make."""

    def __init__(self, options: EngineOptions) -> None:
        self.options = options
        self._stopping = threading.Event()
        self._trouble = Trouble(self._stopping)
        self._lanes = Lanes()
        self._entry = EntryStage(
            collar=options.market_order_collar, put=self._lanes.put, trouble=self._trouble
        )
        self._matching = MatchStage(
            max_price_ratio=options.max_price_ratio,
            defers_settlement=options.defers_settlement,
            trouble=self._trouble,
        )
        self._threads: list[threading.Thread] = []
        self._duties = [
            Duty(self.sweep_orphans, options.orphan_age_s),
            Duty(self.expire_due_orders, EXPIRY_INTERVAL_S),
            Duty(self.close_trading_day, EXPIRY_INTERVAL_S),
        ]
        self._on_duty = threading.Lock()
        self._batches = 0

    # --- Life ---------------------------------------------------------------------------------------

    def start(self) -> None:
        """Start the threads."""
        for number in range(self.options.threads):
            thread = threading.Thread(target=self._work, name=f"engine-{number}", daemon=True)
            thread.start()
            self._threads.append(thread)

    def stop(self, timeout_s: float = 10.0) -> None:
        """Finish the batches under way and end the threads. What waits is refused, or stays PENDING."""
        self._stopping.set()
        for waiting in self._lanes.close():
            waiting.give_up(stopping())
        for thread in self._threads:
            thread.join(timeout_s)

    def status(self) -> dict[str, Any]:
        """How it is doing, for health checks."""
        return {
            "threads": len(self._threads),
            "threads_alive": sum(thread.is_alive() for thread in self._threads),
            "waiting": sum(self._lanes.waiting().values()),
            "batches": self._batches,
            "books": len(self._matching.books),
            "last_error": self._trouble.last_error,
        }

    def refused(self) -> dict[str, int]:
        """How many orders this process did not take, by the code of their refusal."""
        return dict(self._entry.refused)

    # --- Putting work in ----------------------------------------------------------------------------

    def submit_entry(self, items: Sequence[EntryItem]) -> None:
        """Queue what has to be paid for first, all or none (EngineBusy)."""
        self._lanes.put(ENTRY_LANE, *items)
        self._work_inline()

    def submit(self, stock_id: str, command: Command) -> "Future[Any]":
        """Queue a command for a stock (EngineBusy when its lane is full)."""
        self._lanes.put(stock_id, command)
        self._work_inline()
        return command.future

    # --- Steps --------------------------------------------------------------------------------------

    def step(self, timeout_s: float = 0.0) -> bool:
        """Do one batch of whatever waits. False when nothing did."""
        taken = self._lanes.take(timeout_s)
        if taken is None:
            return False
        lane, commands = taken
        try:
            if lane.name is ENTRY_LANE:
                self._entry.run(commands)
            else:
                self._matching.run(lane.name, commands)
            self._batches += 1
        except Exception as error:
            # Whatever it is, the callers must hear of it and the thread must go on.
            logger.exception("a batch failed")
            self._trouble.note(error)
            for command in commands:
                command.give_up(error)
        finally:
            self._lanes.release(lane)
        return True

    def sweep_orphans(self) -> None:
        """Queue what other processes left behind: pending orders, and holds for changes."""
        created_before = timezone.now() - timedelta(seconds=self.options.orphan_age_s)
        for stock_id, order_id in resting.pending_orders(created_before=created_before, limit=MAX_SWEPT):
            if order_id not in self._entry.entering:
                self._entry.let_in(stock_id, order_id, Recover(Future(), order_id))
        for stock_id in resting.stocks_with_pending_changes(created_before=created_before):
            self._lanes.put(stock_id, FreePendingChanges(Future(), created_before))

    def expire_due_orders(self) -> None:
        """Queue the end of orders whose time is over."""
        now = timezone.now()
        for stock_id in resting.stocks_with_due_orders(now):
            self._lanes.put(stock_id, ExpireDueOrders(Future(), now))

    def close_trading_day(self, now: datetime | None = None) -> None:
        """Queue the end of the day orders that were placed before the latest closing time.

        Whether that was a moment ago or while nobody was there: what is due is in the rows alone.
        """
        if self.options.day_closes_at is None:
            return
        closing = latest_closing(self.options.day_closes_at, now or timezone.now())
        for stock_id in resting.stocks_with_day_orders(placed_before=closing, limit=MAX_SWEPT):
            self._lanes.put(stock_id, ExpireDayOrders(Future(), closing))

    def _work(self) -> None:
        try:
            while not self._stopping.is_set():
                self._do_duties()
                self.step(timeout_s=EXPIRY_INTERVAL_S / 2)
        finally:
            connection.close()

    def _work_inline(self) -> None:
        if not self.options.threads:
            while self.step():
                pass

    def _do_duties(self) -> None:
        if not self._on_duty.acquire(blocking=False):
            return
        try:
            for duty in self._duties:
                if time.monotonic() >= duty.next_at:
                    duty.next_at = time.monotonic() + duty.interval_s
                    duty.run()
        except Exception as error:
            # A duty comes round again; the thread must go on.
            logger.warning("looking after orders failed: %r", error)
            self._trouble.note(error)
            close_connection()
        finally:
            self._on_duty.release()
