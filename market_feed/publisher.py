"""The market's way out over MQTT: trades, order events and books, published from stored rows.

Outbox        What is committed is in the tables, in the order of its stock's sequence. A cursor per stock
              says how far the broker has acknowledged it.
At least once The cursor moves after the broker's acknowledgement: a crash anywhere in between publishes
              again what it covers, and never loses it.
One at a time A cursor moves only from where this publisher saw it. When another publisher moved it, that is
              noticed, and this one goes on from there.
Books         A stock's book is published, retained, when one of its order events or trades was, at most ten
              times a second: what lies between two snapshots is not seen. Prices and candles likewise: `latest`.
"""

import logging
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Protocol

from django.db import InterfaceError, OperationalError, connection
from django.utils import timezone

from market_feed import metrics
from market_feed.latest import LatestMessages, Marks
from market_feed.link import Message
from market_feed.models import PublishCursor
from market_feed.outgoing import book_message, order_events_after, trades_after
from stocks.models import Stock
from trade.selectors.book import DEFAULT_DEPTH, order_book
from trade.signals import batch_committed

logger = logging.getLogger(__name__)

POLL_S = 0.1
# Trades, and other events, of one stock in a round; messages of all stocks in a round.
MAX_ROWS = 500
MAX_MESSAGES = 2_000
BOOK_EVERY_S = 0.1
_STOCK_COLUMNS = ("stock_id", "sequence", "quote_sequence", "tick_sequence", "trade_sequence")
RETRY_DELAYS_S = (0.1, 0.5, 1.0, 2.0, 5.0)
DATABASE_AWAY = (OperationalError, InterfaceError)


class Outlet(Protocol):
    """What the publisher needs of the link to the broker."""

    def publish(self, messages: Sequence[Message]) -> None: ...
    def wait_until_delivered(self, timeout_s: float | None = None) -> bool: ...


@dataclass(frozen=True, slots=True)
class Part:
    """Messages of one stock, and where its cursor may go when they are delivered."""

    stock_id: str
    messages: list[Message]
    sequence: int


class Publisher:
    """Publishes what is new, step by step. For one thread; `stop` and `hint` may be called from any."""

    def __init__(self, *, outlet: Outlet, clock: Callable[[], float] = time.monotonic) -> None:
        self._outlet = outlet
        self._clock = clock
        self._cursors: dict[str, int] = {}
        # Up to where there is nothing left to publish; ahead of the cursor when only ticks came since.
        self._seen: dict[str, int] = {}
        self._book_due: dict[str, float] = {}
        self._dirty_books: set[str] = set()
        self._latest = LatestMessages(clock)
        self._first = 0
        self._stopping = threading.Event()
        self._hint = threading.Event()

    # --- The loop -----------------------------------------------------------------------------------

    def run(self) -> None:
        """Publish until `stop`."""
        batch_committed.connect(self._on_batch_committed)
        failures = 0
        try:
            while not self._stopping.is_set():
                self._hint.clear()
                try:
                    if not self.publish_next_batch(now=timezone.now()):
                        self._hint.wait(POLL_S)
                    failures = 0
                except DATABASE_AWAY as error:
                    delay = RETRY_DELAYS_S[min(failures, len(RETRY_DELAYS_S) - 1)]
                    logger.warning("the publisher waits %.1f s and tries again: %s", delay, error)
                    failures += 1
                    connection.close()
                    self._forget()
                    self._stopping.wait(delay)
        finally:
            batch_committed.disconnect(self._on_batch_committed)
            connection.close()

    def stop(self) -> None:
        self._stopping.set()
        self._hint.set()

    def _on_batch_committed(self, **_: object) -> None:
        self._hint.set()

    # --- A step -------------------------------------------------------------------------------------

    def publish_next_batch(self, *, now: datetime) -> bool:
        """Publish what is new and move the cursors once the broker has it. False when nothing was new."""
        parts: list[Part] = []
        count = 0
        stocks = self._newest_sequences()
        for position, (stock_id, sequence) in enumerate(stocks):
            if count >= MAX_MESSAGES:
                self._first += position  # the next round begins with those this one left out
                break
            part = self._news(stock_id, sequence)
            if part is not None:
                parts.append(part)
                count += len(part.messages)
        books, prices, candles = self._due_books(now), self._latest.due_prices(), self._latest.due_candles()
        messages = [message for part in parts for message in part.messages] + books + prices + candles
        if not messages:
            return False
        self._outlet.publish(messages)
        if not self._outlet.wait_until_delivered():
            return False  # stopping: what was not acknowledged is published at the next start
        for part in parts:
            self._move_cursor(part, now)
        counts = {"events": count, "books": len(books), "prices": len(prices), "candles": len(candles)}
        for kind, number in counts.items():
            metrics.published.labels(kind).inc(number)
        return True

    def _newest_sequences(self) -> list[tuple[str, int]]:
        rows: list[tuple[str, int]] = []
        for stock_id, sequence, quoted, *priced in Stock.objects.order_by().values_list(*_STOCK_COLUMNS):
            rows.append((stock_id, sequence))
            self._latest.note(stock_id, Marks(quoted, max(priced)))
        if not self._cursors:
            self._cursors = dict(PublishCursor.objects.order_by().values_list("stock_id", "sequence"))
        for stock_id, _ in rows:
            if stock_id not in self._book_due:
                self._book_due[stock_id] = 0.0
                self._dirty_books.add(stock_id)
        self._first %= max(1, len(rows))
        return rows[self._first :] + rows[: self._first]

    def _news(self, stock_id: str, sequence: int) -> Part | None:
        """What happened up to `sequence`, which was read before: what has a lower one is all there."""
        after = max(self._cursors.get(stock_id, 0), self._seen.get(stock_id, 0))
        if sequence <= after:
            return None
        trades = trades_after(stock_id, after, MAX_ROWS)
        events = order_events_after(stock_id, after, MAX_ROWS)
        # Rows that were cut off say nothing about what comes after the last of them.
        for rows in (trades, events):
            if len(rows) == MAX_ROWS:
                sequence = min(sequence, rows[-1][0])
        found = sorted((said for said in (*trades, *events) if said[0] <= sequence), key=itemgetter(0))
        if not found:
            self._seen[stock_id] = sequence
            return None
        self._dirty_books.add(stock_id)
        return Part(stock_id, [message for _, messages in found for message in messages], sequence)

    def _due_books(self, now: datetime) -> list[Message]:
        tick = self._clock()
        due = sorted(stock_id for stock_id in self._dirty_books if self._book_due[stock_id] <= tick)
        for stock_id in due:
            self._book_due[stock_id] = tick + BOOK_EVERY_S
            self._dirty_books.discard(stock_id)
        return [book_message(order_book(stock_id, DEFAULT_DEPTH), now) for stock_id in due]

    # --- Cursors ------------------------------------------------------------------------------------

    def _move_cursor(self, part: Part, now: datetime) -> None:
        before = self._cursors.get(part.stock_id)
        if before is None:
            PublishCursor.objects.get_or_create(stock_id=part.stock_id, defaults={"updated_at": now})
            before = 0
        here = PublishCursor.objects.filter(stock_id=part.stock_id, sequence=before)
        if here.update(sequence=part.sequence, updated_at=now):
            self._cursors[part.stock_id] = part.sequence
            return
        logger.error("another publisher is at work on %s. Run one only.", part.stock_id)
        self._forget()

    def _forget(self) -> None:
        """Read the cursors again before the next round."""
        self._cursors.clear()
        self._seen.clear()
