"""The feed's way in: messages from the broker, checked, applied in batches, acknowledged after the commit.

One thread (`run`) does all of it but receiving. While a batch commits, what arrives is decoded; when
the commit is done the batch's messages are acknowledged and all that waits becomes the next batch.

Order         Messages are applied and acknowledged in the order of arrival, one batch at a time: a batch
              that fails is tried again before anything newer.
Nothing lost  A message is acknowledged when its tick is committed, or when it is malformed. What is not
              acknowledged comes again; a tick that is stored already is neither stored nor traded twice.
Bounded       At most `MAX_WAITING` messages are held; then the broker is not read from.
Bad messages  Counted by kind, logged now and then, acknowledged, dropped.

One consumer per market is meant to run: a second one under the same client id and this one would throw
each other off the broker.
"""

import logging
import threading
import time
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import Future, wait
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import Protocol

from django.db import InterfaceError, OperationalError, connection
from django.utils import timezone

from market_feed import metrics
from market_feed.drop_log import DropLog
from market_feed.known_stocks import KnownStocks
from market_feed.messages import MAX_PAYLOAD_BYTES, MalformedMessage, decode_tick
from market_feed.models import FeedState
from stocks.services.ticks import FeedTick
from trade.engine import TickReport
from trade.services.refusals import EngineBusy, OutcomeUnknown

logger = logging.getLogger(__name__)

MAX_WAITING = 10_000
MAX_BATCH = 2_000
# Failures of the surroundings: the same batch may well succeed later.
PASSING = (OperationalError, InterfaceError, EngineBusy, OutcomeUnknown)
RETRY_DELAYS_S = (0.1, 0.2, 0.5, 1.0, 2.0, 5.0)
LAST_BATCH_TIMEOUT_S = 10.0
STATE_EVERY_S = 1.0


class TickEngine(Protocol):
    """What the consumer needs of the engine."""

    def apply_ticks(self, ticks: Sequence[FeedTick]) -> "Future[TickReport]": ...


class Acknowledger(Protocol):
    """What the consumer needs of the link to the broker."""

    def acknowledge(self, generation: int, mids: Sequence[int]) -> None: ...
    def wake(self) -> None: ...


@dataclass(slots=True)
class Batch:
    """Ticks to apply together, and the messages to acknowledge then, by connection."""

    received_at: float = 0.0
    ticks: list[FeedTick] = field(default_factory=list)
    mids: dict[int, list[int]] = field(default_factory=dict)
    messages: int = 0

    def take(self, generation: int, mid: int, received_at: float) -> None:
        self.messages += 1
        self.received_at = self.received_at or received_at
        if mid:
            self.mids.setdefault(generation, []).append(mid)


class FeedConsumer:
    """Takes messages as a link's `Receiver`, in the link's thread; applies them in the thread of `run`."""

    link: Acknowledger

    def __init__(
        self,
        *,
        engine: TickEngine,
        known_stocks: KnownStocks,
        max_clock_skew: timedelta,
        feed: str = "feed",
        clock: Callable[[], datetime] = timezone.now,
    ) -> None:
        """`feed` is the name under which the time of the newest message is kept."""
        self.dropped = DropLog()
        self._engine = engine
        self._known_stocks = known_stocks
        self._max_clock_skew = max_clock_skew
        self._feed = feed
        self._clock = clock
        self._inbox: deque[tuple[int, int, bytes, float]] = deque()
        self._news = threading.Event()
        self._stopping = threading.Event()
        self._next = Batch()
        self._under_way: tuple[Batch, Future[TickReport]] | None = None
        self._failures = 0
        self._state_due = 0.0

    # --- Receiving: the link's thread ---------------------------------------------------------------

    def is_full(self) -> bool:
        return len(self._inbox) >= MAX_WAITING

    def receive(self, generation: int, mid: int, payload: bytes) -> None:
        if len(payload) > MAX_PAYLOAD_BYTES:
            payload = payload[: MAX_PAYLOAD_BYTES + 1]  # still too large, without holding megabytes
        self._inbox.append((generation, mid, payload, time.monotonic()))

    def end_of_burst(self) -> None:
        self._news.set()

    # --- Applying: the thread of `run` ---------------------------------------------------------------

    def run(self) -> None:
        """Consume until `stop`; then finish and acknowledge the batch under way."""
        try:
            while not self._stopping.is_set():
                self._news.clear()
                if not self.consume_step():
                    self._news.wait(0.5)
            self._finish(LAST_BATCH_TIMEOUT_S)
        except PASSING as error:
            logger.warning("the last batch was not applied, its messages will come again: %s", error)
        finally:
            connection.close()

    def stop(self) -> None:
        self._stopping.set()
        self._news.set()

    def consume_step(self) -> bool:
        """Decode what has come, finish the batch that is committed, start the next. Whether it did any."""
        try:
            decoded = self._decode_waiting()
            finished = self._finish()
            started = self._start_next()
        except PASSING as error:
            self._back_off(error)
            return True
        return decoded or finished or started

    def _decode_waiting(self) -> bool:
        inbox, batch = self._inbox, self._next
        if not inbox or len(batch.ticks) >= MAX_BATCH:
            return False
        was_full = self.is_full()
        latest = self._clock() + self._max_clock_skew
        self._known_stocks.refresh()
        while inbox and len(batch.ticks) < MAX_BATCH:
            # It stays in the inbox until it is decoded: for a new stock, that takes the database.
            generation, mid, payload, received_at = inbox[0]
            try:
                tick = decode_tick(payload, latest=latest, increment_of=self._known_stocks.increment_of)
                batch.ticks.append(tick)
            except MalformedMessage as error:
                self.dropped.add(error.kind, error.detail, payload)
            batch.take(generation, mid, received_at)
            inbox.popleft()
        if was_full:
            self.link.wake()
        metrics.waiting.set(len(inbox))
        return True

    def _start_next(self) -> bool:
        if self._under_way is not None or not self._next.messages:
            return False
        batch = self._next
        self._under_way = (batch, self._apply(batch.ticks))
        self._next = Batch()
        return True

    def _apply(self, ticks: Sequence[FeedTick]) -> "Future[TickReport]":
        future = self._engine.apply_ticks(ticks)
        future.add_done_callback(lambda _: self._news.set())
        return future

    def _finish(self, timeout_s: float = 0.0) -> bool:
        """Settle the batch under way if it is committed within the time. False when there is none."""
        if self._under_way is None:
            return False
        batch, future = self._under_way
        if not wait([future], timeout_s).done:
            return False
        try:
            report = future.result()
        except PASSING as error:
            self._back_off(error)
            self._under_way = (batch, self._apply(batch.ticks))
            return True
        except Exception as error:
            report = self._apply_one_by_one(batch, error)
        self._under_way = None
        self._failures = 0
        self._settle(batch, report)
        return True

    def _apply_one_by_one(self, batch: Batch, error: Exception) -> TickReport:
        """Find the ticks that cannot be applied and drop them; the others are applied, or already are."""
        logger.warning("a batch of %d ticks failed, trying them one by one: %r", len(batch.ticks), error)
        report = TickReport()
        while batch.ticks:
            tick = batch.ticks[0]
            try:
                report = report.plus(self._apply([tick]).result())
            except PASSING as passing:
                self._back_off(passing)
                if self._stopping.is_set():
                    raise
                continue
            except Exception as culprit:
                self.dropped.add("not_applicable", repr(culprit), repr(tick).encode())
            batch.ticks.pop(0)
        return report

    def _settle(self, batch: Batch, report: TickReport) -> None:
        """The batch is committed: acknowledge it and take note."""
        for generation, mids in batch.mids.items():
            self.link.acknowledge(generation, mids)
        now = time.monotonic()
        count_applied(report)
        metrics.batch_size.observe(batch.messages)
        metrics.lag.observe(now - batch.received_at)
        if now >= self._state_due:
            self._state_due = now + STATE_EVERY_S
            keep_time(self._feed, self._clock())

    def _back_off(self, error: Exception) -> None:
        delay = RETRY_DELAYS_S[min(self._failures, len(RETRY_DELAYS_S) - 1)]
        self._failures += 1
        metrics.retries.inc()
        logger.warning("the feed waits %.1f s and tries again: %s", delay, error)
        if not connection.in_atomic_block:
            connection.close()
        self._stopping.wait(delay)


def count_applied(report: TickReport) -> None:
    metrics.ticks.labels("stored").inc(report.stored)
    metrics.ticks.labels("late").inc(report.late)
    metrics.ticks.labels("duplicate").inc(report.duplicate)
    metrics.ticks.labels("refused").inc(report.refused)
    metrics.feed_trades.inc(report.trades)


def keep_time(feed: str, now: datetime) -> None:
    """Remember when the feed was last heard."""
    try:
        if not FeedState.objects.filter(feed=feed).update(received_at=now):
            FeedState.objects.create(feed=feed, received_at=now)
    except (OperationalError, InterfaceError) as error:
        logger.warning("the time of the newest message was not kept: %s", error)
