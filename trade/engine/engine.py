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
import sqlite3
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.db import InterfaceError, OperationalError, connection
from django.utils import timezone

from trade.engine.batch import Command, Done, answer, run_batch
from trade.engine.books import Books
from trade.engine.commands import Enter, Recover
from trade.engine.lanes import MAX_BATCH, Lanes
from trade.selectors.resting import pending_orders
from trade.services.refusals import EngineBusy
from trade.services.reservation import (
    NewOrder,
    Reservation,
    Reserved,
    new_order_id,
    reserve_orders,
)
from trade.services.settlement import StaleBook
from trade.signals import batch_committed
from users.exceptions import Refusal

logger = logging.getLogger(__name__)

# No stock has this for an id.
ENTRY_LANE = None
RETRY_DELAYS_S = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
# A book just built from the database cannot be stale: more than this is a defect, not a race.
MAX_STALE = 3
DATABASE_AWAY = (OperationalError, InterfaceError)
QUERY_CANCELED = "57014"
# Orders left behind that one sweep looks for; the next goes on.
MAX_SWEPT = 20 * MAX_BATCH


@dataclass(frozen=True, slots=True)
class EngineOptions:
    """What the engine is told by the settings. `threads=0`: the caller's own thread does the work."""

    threads: int
    market_order_collar: Decimal
    orphan_age_s: float
    max_price_ratio: int


@dataclass(slots=True)
class Placement:
    """An order on its way to the reserve stage."""

    order_id: str
    new_order: NewOrder
    future: "Future[Any]"

    def give_up(self, error: Exception) -> None:
        """Answer that nothing was stored."""
        answer(self.future, error)


class Engine:
    """Runs the lanes. Thread-safe; see `trade.engine` for the calls that users of it make."""

    def __init__(self, options: EngineOptions) -> None:
        self.options = options
        self._lanes = Lanes()
        self._books = Books()
        self._stopping = threading.Event()
        self._threads: list[threading.Thread] = []
        self._sweep = threading.Lock()
        self._next_sweep = 0.0
        # Orders whose match waits in a lane of this engine: not left behind, however long it takes.
        self._entering: set[str] = set()
        self._batches = 0
        self._last_error = ""

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
            waiting.give_up(_stopping())
        for thread in self._threads:
            thread.join(timeout_s)

    def status(self) -> dict[str, Any]:
        """How it is doing, for health checks."""
        return {
            "threads": len(self._threads),
            "threads_alive": sum(thread.is_alive() for thread in self._threads),
            "waiting": sum(self._lanes.waiting().values()),
            "batches": self._batches,
            "books": len(self._books),
            "last_error": self._last_error,
        }

    # --- Putting work in ----------------------------------------------------------------------------

    def submit_orders(self, new_orders: Sequence[NewOrder]) -> list[Placement]:
        """Queue orders for reservation, all or none (EngineBusy)."""
        now = timezone.now()
        placements = [Placement(new_order_id(now), new_order, Future()) for new_order in new_orders]
        self._lanes.put(ENTRY_LANE, *placements)
        self._work_inline()
        return placements

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
                self._reserve(commands)
            else:
                self._match(lane.name, commands)
            self._batches += 1
        except Exception as error:
            # Whatever it is, the callers must hear of it and the thread must go on.
            logger.exception("a batch failed")
            self._last_error = repr(error)
            for command in commands:
                command.give_up(error)
        finally:
            self._lanes.release(lane)
        return True

    def sweep_orphans(self) -> None:
        """Queue what other processes left PENDING for too long."""
        created_before = timezone.now() - timedelta(seconds=self.options.orphan_age_s)
        for stock_id, order_id in pending_orders(created_before=created_before, limit=MAX_SWEPT):
            if order_id not in self._entering:
                self._let_in(stock_id, order_id, Recover(Future(), order_id))

    def _work(self) -> None:
        try:
            while not self._stopping.is_set():
                self._sweep_when_due()
                self.step(timeout_s=0.5)
        finally:
            connection.close()

    def _work_inline(self) -> None:
        if not self.options.threads:
            while self.step():
                pass

    def _sweep_when_due(self) -> None:
        if time.monotonic() < self._next_sweep or not self._sweep.acquire(blocking=False):
            return
        try:
            self._next_sweep = time.monotonic() + self.options.orphan_age_s
            self.sweep_orphans()
        except Exception as error:
            logger.warning("looking for orders left behind failed: %s", error)
            self._last_error = repr(error)
            _close_broken_connection()
        finally:
            self._sweep.release()

    # --- Reserve ------------------------------------------------------------------------------------

    def _reserve(self, placements: list[Placement]) -> None:
        placements = [item for item in placements if item.future.set_running_or_notify_cancel()]
        if placements:
            self._reserve_running(placements)

    def _reserve_running(self, placements: list[Placement]) -> None:
        try:
            reservations = self._reserve_surely(placements)
        except Exception as error:
            self._try_apart(placements, error, lambda placement: self._reserve_running([placement]))
            return
        for placement, reservation in zip(placements, reservations, strict=True):
            if isinstance(reservation, Reserved):
                enter = Enter(placement.future, reservation)
                self._let_in(placement.new_order.stock_id, reservation.order_id, enter)
            else:
                answer(placement.future, reservation)

    def _let_in(self, stock_id: str, order_id: str, command: Enter | Recover) -> None:
        """Queue an order for its match, and remember until then that it is on its way."""
        self._entering.add(order_id)
        command.future.add_done_callback(lambda _: self._entering.discard(order_id))
        try:
            self._lanes.put(stock_id, command)
        except EngineBusy as busy:
            command.give_up(busy)

    def _reserve_surely(self, placements: list[Placement]) -> list[Reservation]:
        for delay_s in self._retry_delays():
            try:
                return reserve_orders(
                    new_orders=[item.new_order for item in placements],
                    order_ids=[item.order_id for item in placements],
                    collar=self.options.market_order_collar,
                    now=timezone.now(),
                    is_retry=delay_s is not None,
                )
            except DATABASE_AWAY as error:
                self._database_away(error, delay_s)
        raise _stopping()

    # --- Match --------------------------------------------------------------------------------------

    def _match(self, stock_id: str, commands: list[Command]) -> None:
        try:
            done = self._run_surely(stock_id, commands)
        except Exception as error:
            self._books.drop(stock_id)
            self._try_apart(commands, error, lambda command: self._match(stock_id, [command]))
            return
        _tell(done)

    def _run_surely(self, stock_id: str, commands: list[Command]) -> Done:
        is_retry, stale = False, 0
        for delay_s in self._retry_delays():
            try:
                return run_batch(
                    books=self._books,
                    stock_id=stock_id,
                    commands=commands,
                    now=timezone.now(),
                    is_retry=is_retry,
                    max_price_ratio=self.options.max_price_ratio,
                )
            except StaleBook as error:
                stale += 1
                if stale > MAX_STALE:
                    raise
                logger.info("the book of %s was stale: %s", stock_id, error)
            except DATABASE_AWAY as error:
                self._database_away(error, delay_s)
            self._books.drop(stock_id)
            is_retry = True
        raise _stopping()

    # --- Trouble ------------------------------------------------------------------------------------

    def _retry_delays(self) -> Any:
        """None for the first attempt, then how long to wait before each other, until the engine stops."""
        yield None
        attempt = 0
        while not self._stopping.is_set():
            yield RETRY_DELAYS_S[min(attempt, len(RETRY_DELAYS_S) - 1)]
            attempt += 1

    def _database_away(self, error: Exception, delay_s: float | None) -> None:
        """Wait before the next attempt; raises `error` when another would end like this one."""
        if connection.in_atomic_block or not _may_pass(error):
            raise error
        logger.warning("the database does not answer, trying again: %s", error)
        self._last_error = repr(error)
        _close_broken_connection()
        self._stopping.wait(delay_s or 0.0)

    def _try_apart(self, waiting: list[Any], error: Exception, again: Callable[[Any], None]) -> None:
        """After a batch failed for good: each on its own, so that only the culprit hears of it."""
        if len(waiting) > 1 and not isinstance(error, Refusal):
            logger.warning("a batch failed, trying its %d commands one by one: %r", len(waiting), error)
            for one in waiting:
                again(one)
            return
        if not isinstance(error, Refusal):
            logger.error("%s cannot be stored", waiting[0], exc_info=error)
            self._last_error = repr(error)
        for one in waiting:
            one.give_up(error)


def _may_pass(error: Exception) -> bool:
    """Whether the same statements may succeed later: the server is away, or somebody holds a lock."""
    cause = error.__cause__
    # "No such table", "too many variables": SQLite calls operational what others call wrong.
    is_wrong = getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR
    # A statement that took longer than statement_timeout will again.
    return not is_wrong and getattr(cause, "pgcode", None) != QUERY_CANCELED


def _close_broken_connection() -> None:
    if not connection.in_atomic_block:
        connection.close()


def _stopping() -> EngineBusy:
    return EngineBusy("the engine is stopping: try again in a moment")


def _tell(done: Done) -> None:
    """Answer the callers, then the news."""
    for future, result in done.answers:
        answer(future, result)
    if done.news is not None:
        # Robust: a listener that fails is logged, and must not undo what is committed.
        batch_committed.send_robust(sender=Engine, batch=done.news)
