"""The order books, live: a snapshot at once, on every change up to ten a second, and once a second anyway.

Nothing is queued: a socket whose reader is busy gets a later state. Batches bring the best `SNAPSHOT_DEPTH`
levels; whoever asked for more is served from the database. What changed is always the difference of two
whole books, each as it was at its sequence: so it does not matter which news was lost on the way.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING

from market_feed.streams.book_groups import BookGroups
from market_feed.streams.sockets import Socket
from trade.engine.batch import SNAPSHOT_DEPTH
from trade.signals import BookLevel, CommittedBatch

if TYPE_CHECKING:
    from market_feed.streams.hub import Hub
    from market_feed.streams.stored import StockPosition

DEFAULT_DEPTH = 5
MAX_DEPTH = 500
MIN_INTERVAL_S = 0.1
# Less than the second promised: the loop may be late.
HEARTBEAT_S = 0.8


@dataclass(frozen=True, slots=True)
class Book:
    """The best `depth` levels a side, best first, at `sequence`; fewer when there are no more."""

    sequence: int
    bids: tuple[BookLevel, ...]
    asks: tuple[BookLevel, ...]
    depth: int

    def covers(self, depth: int) -> bool:
        return depth <= self.depth or max(len(self.bids), len(self.asks)) < self.depth

    def top(self, depth: int) -> "Book":
        """The book with no more than `depth` levels."""
        if max(len(self.bids), len(self.asks)) <= depth:
            return self
        return Book(self.sequence, self.bids[:depth], self.asks[:depth], depth)

    def is_same(self, other: "Book", depth: int) -> bool:
        """Whether both are known, and equal, to this depth."""
        if not (self.covers(depth) and other.covers(depth)):
            return False
        return (self.bids[:depth], self.asks[:depth]) == (other.bids[:depth], other.asks[:depth])


class BookStream:
    """The book of one stock, as the hub last knew it, and who listens to how much of it."""

    __slots__ = ("stock_id", "book", "groups", "changed", "sent_at", "reading", "is_sending_deep")

    def __init__(self, stock_id: str) -> None:
        self.stock_id = stock_id
        self.book: Book | None = None
        self.groups = BookGroups(stock_id)
        self.changed = False
        self.sent_at = 0.0
        self.reading: asyncio.Task[Book] | None = None
        self.is_sending_deep = False

    def offer(self, book: Book) -> None:
        """Keep `book` unless a newer one, or the same with more levels, is known."""
        old = self.book
        if old is not None and (book.sequence, book.depth) <= (old.sequence, old.depth):
            return
        self.book = book
        if old is None or (book.sequence > old.sequence and not book.is_same(old, self.groups.deepest())):
            self.changed = True

    def due(self) -> float:
        return self.sent_at + (MIN_INTERVAL_S if self.changed else HEARTBEAT_S)


class BookDesk:
    def __init__(self, hub: "Hub") -> None:
        self.streams: dict[str, BookStream] = {}
        self.frames = 0
        self._hub = hub
        # Who listens to all stocks: (mode, depth).
        self._everything: dict[Socket, tuple[str, int]] = {}
        # Those with listeners.
        self._active: dict[str, BookStream] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def join(
        self, socket: Socket, stock_ids: Iterable[str] | None, depth: int, mode: str = "snapshot"
    ) -> None:
        """Send `socket` the books of these stocks, or of all, snapshots first. UnknownStock.

        `mode` says what follows: "snapshot" or "delta".
        """
        known = await self._hub.resolve(stock_ids)
        self._hub.sockets.add(socket)
        if stock_ids is None:
            self._everything[socket] = (mode, depth)
        for stock_id in known:
            stream = self.streams[stock_id]
            book = stream.book
            if book is None or stock_id not in self._active or not book.covers(depth):
                book = await self._read(stream, depth)
            if socket.closed:
                return
            if stock_id not in self._active:
                # What changed before anybody listened is sent just now.
                stream.changed = stream.book is not book
                stream.sent_at = self._hub.loop.time()
            self._add(stream, socket, mode, depth, book)

    def leave(self, socket: Socket) -> None:
        self._everything.pop(socket, None)
        for stock_id in list(self._active):
            stream = self._active[stock_id]
            stream.groups.discard(socket)
            if not stream.groups:
                del self._active[stock_id]

    def open(self, stock_id: str) -> None:
        stream = self.streams[stock_id] = BookStream(stock_id)
        for socket, (mode, depth) in self._everything.items():
            self._add(stream, socket, mode, depth, None)

    def take(self, batch: CommittedBatch) -> None:
        stream = self.streams[batch.stock_id]
        stream.offer(Book(batch.sequence, batch.book.bids, batch.book.asks, SNAPSHOT_DEPTH))
        if stream.groups and stream.changed:
            self._arm(stream.due())

    def compare(self, position: "StockPosition") -> None:
        """The stock row of the database says the book has changed up to here."""
        stream = self._active.get(position.stock_id)
        if stream is not None and (stream.book is None or stream.book.sequence < position.sequence):
            self._hub.spawn(self._read(stream, stream.groups.deepest()))

    def _add(self, stream: BookStream, socket: Socket, mode: str, depth: int, book: Book | None) -> None:
        stream.groups.add(socket, mode, depth, book)
        self._active[stream.stock_id] = stream
        self._arm(stream.due())

    def _arm(self, at: float) -> None:
        if self._timer is not None:
            if self._timer.when() <= at:
                return
            self._timer.cancel()
        self._timer = self._hub.loop.call_at(at, self._tick)

    def _tick(self) -> None:
        self._timer = None
        now = self._hub.loop.time()
        for stream in self._active.values():
            # The loop may ring a timer by its resolution too early.
            if stream.due() <= now + 0.001:
                self._send(stream, now)
        if self._active:
            self._arm(min(stream.due() for stream in self._active.values()))

    def _send(self, stream: BookStream, now: float) -> None:
        stream.sent_at = now
        stream.changed = False
        book = stream.book
        if book is not None:
            self.frames += stream.groups.write(book)
        if (book is None or not book.covers(stream.groups.deepest())) and not stream.is_sending_deep:
            stream.is_sending_deep = True
            self._hub.spawn(self._send_deep(stream))

    async def _send_deep(self, stream: BookStream) -> None:
        """Serve those who asked for more levels than the newest batch brought."""
        newest = stream.book
        try:
            book = await self._read(stream, stream.groups.deepest())
        finally:
            stream.is_sending_deep = False
        self.frames += stream.groups.write(book, deeper_than=newest)
        if stream.book is not None and stream.book.sequence > book.sequence and stream.groups:
            # It went on meanwhile, and whoever it was sent to then has had no part of it.
            stream.changed = True
            self._arm(stream.due())

    async def _read(self, stream: BookStream, depth: int) -> Book:
        """The book in the database, to at least `depth` levels. One query at a time for a stock."""
        known = -1 if stream.book is None else stream.book.sequence
        while stream.reading is not None:
            # A query under way does when it reads enough levels and is no older than what is known.
            book = await asyncio.shield(stream.reading)
            if book.covers(depth) and book.sequence >= known:
                return book
        stream.reading = self._hub.spawn(self._query(stream, max(depth, SNAPSHOT_DEPTH)))
        return await asyncio.shield(stream.reading)

    async def _query(self, stream: BookStream, depth: int) -> Book:
        try:
            book = await self._hub.read(self._hub.market.book, stream.stock_id, depth)
            stream.offer(book)
            if stream.groups and stream.changed:
                self._arm(stream.due())
            return book
        finally:
            stream.reading = None
