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
from collections.abc import Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from datetime import timedelta
from decimal import Decimal
from typing import Any

from django.db import InterfaceError, OperationalError, connection
from django.utils import timezone

from trade.engine.batch import Command, Done, run_batch
from trade.engine.books import Books
from trade.engine.commands import Enter, Recover
from trade.engine.lanes import Lane, Lanes
from trade.selectors.resting import stocks_with_pending_orders
from trade.services.refusals import EngineBusy
from trade.services.reservation import (
    NewOrder,
    Repeated,
    Reservation,
    Reserved,
    new_order_id,
    reserve_orders,
    stored_order_ids,
)
from trade.services.settlement import StaleBook
from trade.signals import batch_committed
from users.exceptions import Refusal

logger = logging.getLogger(__name__)

ENTRY_LANE = ""
RETRY_DELAYS_S = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
# A book just built from the database cannot be stale: more than this is a defect, not a race.
MAX_STALE = 3
DATABASE_AWAY = (OperationalError, InterfaceError)


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
        for command in self._lanes.close():
            _fail(command.future, EngineBusy("the engine is stopping: try again in a moment"))
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
            if lane.name == ENTRY_LANE:
                self._reserve(commands)
            else:
                self._match(lane, commands)
            self._batches += 1
        except Exception as error:
            # Whatever it is, the callers must hear of it and the thread must go on.
            logger.exception("a batch failed")
            self._last_error = repr(error)
            for command in commands:
                _fail(command.future, error)
        finally:
            self._lanes.release(lane)
        return True

    def sweep_orphans(self) -> None:
        """Queue what other processes left PENDING for too long."""
        created_before = timezone.now() - timedelta(seconds=self.options.orphan_age_s)
        for stock_id in stocks_with_pending_orders(created_before=created_before):
            self._lanes.put(stock_id, Recover(Future(), created_before))

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
        if not placements:
            return
        reservations = self._reserve_surely(placements)
        for placement, reservation in zip(placements, reservations, strict=True):
            if isinstance(reservation, Refusal):
                placement.future.set_exception(reservation)
            elif isinstance(reservation, Repeated):
                placement.future.set_result(reservation)
            else:
                self._enter(reservation, placement.future)

    def _enter(self, reserved: Reserved, future: "Future[Any]") -> None:
        try:
            self._lanes.put(reserved.new_order.stock_id, Enter(future, reserved))
        except EngineBusy:
            # It is stored and paid for; the sweep lets it in when there is room.
            future.set_result(Repeated(reserved.order_id))

    def _reserve_surely(self, placements: list[Placement]) -> list[Reservation]:
        for delay_s in self._retry_delays():
            try:
                return self._reserve_once(placements, is_retry=delay_s is not None)
            except DATABASE_AWAY as error:
                self._database_away(error, delay_s)
        raise EngineBusy("the database does not answer: try again in a moment")

    def _reserve_once(self, placements: list[Placement], *, is_retry: bool) -> list[Reservation]:
        stored = stored_order_ids(item.order_id for item in placements) if is_retry else set()
        fresh = [item for item in placements if item.order_id not in stored]
        reservations = iter(
            reserve_orders(
                new_orders=[item.new_order for item in fresh],
                order_ids=[item.order_id for item in fresh],
                collar=self.options.market_order_collar,
                now=timezone.now(),
            )
        )
        # Stored by an attempt whose commit was not confirmed: the sweep lets it in.
        return [
            Repeated(item.order_id) if item.order_id in stored else next(reservations) for item in placements
        ]

    # --- Match --------------------------------------------------------------------------------------

    def _match(self, lane: Lane, commands: list[Command]) -> None:
        try:
            done = self._run_surely(lane.name, commands)
        except Exception as error:
            self._books.drop(lane.name)
            if len(commands) == 1:
                self._give_up(commands[0], error)
                return
            logger.warning("a batch on %s failed, trying its commands one by one: %r", lane.name, error)
            for command in commands:
                self._match(lane, [command])
            return
        _tell(done)

    def _give_up(self, command: Command, error: Exception) -> None:
        if not isinstance(error, Refusal):
            logger.error("%s cannot be stored", command, exc_info=error)
            self._last_error = repr(error)
        _fail(command.future, error)

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
        raise EngineBusy("the engine is stopping: try again in a moment")

    # --- Trouble ------------------------------------------------------------------------------------

    def _retry_delays(self) -> Any:
        """None for the first attempt, then how long to wait before each other, until the engine stops."""
        yield None
        attempt = 0
        while not self._stopping.is_set():
            yield RETRY_DELAYS_S[min(attempt, len(RETRY_DELAYS_S) - 1)]
            attempt += 1

    def _database_away(self, error: Exception, delay_s: float | None) -> None:
        if connection.in_atomic_block:
            raise error
        logger.warning("the database does not answer, trying again: %s", error)
        self._last_error = repr(error)
        _close_broken_connection()
        self._stopping.wait(delay_s or 0.0)


def _close_broken_connection() -> None:
    if not connection.in_atomic_block:
        connection.close()


def _tell(done: Done) -> None:
    """Answer the callers, then the news."""
    for future, answer in done.answers:
        if future.done():
            continue
        if isinstance(answer, Refusal):
            future.set_exception(answer)
        else:
            future.set_result(answer)
    if done.news is not None:
        # Robust: a listener that fails is logged, and must not undo what is committed.
        batch_committed.send_robust(sender=Engine, batch=done.news)


def _fail(future: "Future[Any]", error: BaseException) -> None:
    if not future.done():
        future.set_exception(error)
