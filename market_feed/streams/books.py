"""The order books, live: a snapshot at once, on every change up to ten a second, and once a second anyway.

Snapshots replace each other, so nothing is queued: a socket whose reader is busy gets a later one. Batches
bring the best `SNAPSHOT_DEPTH` levels; whoever asked for more is served from the database.
"""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from market_feed.streams.frames import Frame, book_frame
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

    def frame(self, stock_id: str, depth: int) -> Frame:
        return book_frame(stock_id, self.sequence, datetime.now(UTC), self.bids, self.asks, depth)


class BookStream:
    """The book of one stock, as the hub last knew it, and who listens to how much of it."""

    __slots__ = ("stock_id", "book", "groups", "changed", "sent_at", "reading")

    def __init__(self, stock_id: str) -> None:
        self.stock_id = stock_id
        self.book: Book | None = None
        self.groups: dict[int, set[Socket]] = {}
        self.changed = False
        self.sent_at = 0.0
        self.reading: asyncio.Task[Book] | None = None

    def offer(self, book: Book) -> None:
        """Keep `book` unless a newer one, or the same with more levels, is known."""
        old = self.book
        if old is not None and (book.sequence, book.depth) <= (old.sequence, old.depth):
            return
        self.book = book
        if old is None or (old.bids, old.asks) != (book.bids, book.asks):
            self.changed = True

    def due(self) -> float:
        return self.sent_at + (MIN_INTERVAL_S if self.changed else HEARTBEAT_S)

    def send(self, book: Book, depths: Iterable[int]) -> int:
        """Write `book` to the groups of these depths; the number of frames written."""
        count = 0
        for depth in depths:
            frame = book.frame(self.stock_id, depth)
            for socket in self.groups.get(depth, ()):
                count += socket.offer(frame)
        return count


class BookDesk:
    def __init__(self, hub: "Hub") -> None:
        self.streams: dict[str, BookStream] = {}
        self.frames = 0
        self._hub = hub
        self._everything: dict[Socket, int] = {}
        # Those with listeners.
        self._active: dict[str, BookStream] = {}
        self._timer: asyncio.TimerHandle | None = None

    async def join(self, socket: Socket, stock_ids: Iterable[str] | None, depth: int) -> None:
        """Send `socket` snapshots, the first ones now, of these stocks or of all. UnknownStock."""
        known = await self._hub.resolve(stock_ids)
        self._hub.sockets.add(socket)
        if stock_ids is None:
            self._everything[socket] = depth
        for stock_id in known:
            stream = self.streams[stock_id]
            book = stream.book
            if book is None or stock_id not in self._active or not book.covers(depth):
                book = await self._read(stream, depth)
            if socket.closed:
                return
            socket.offer(book.frame(stock_id, depth))
            if stock_id not in self._active:
                # What changed before anybody listened was sent just now.
                stream.changed = stream.book is not book
                stream.sent_at = self._hub.loop.time()
            self._add(stream, socket, depth)

    def leave(self, socket: Socket) -> None:
        self._everything.pop(socket, None)
        for stock_id in list(self._active):
            stream = self._active[stock_id]
            for depth, sockets in list(stream.groups.items()):
                sockets.discard(socket)
                if not sockets:
                    del stream.groups[depth]
            if not stream.groups:
                del self._active[stock_id]

    def open(self, stock_id: str) -> None:
        stream = self.streams[stock_id] = BookStream(stock_id)
        for socket, depth in self._everything.items():
            self._add(stream, socket, depth)

    def take(self, batch: CommittedBatch) -> None:
        stream = self.streams[batch.stock_id]
        stream.offer(Book(batch.sequence, batch.book.bids, batch.book.asks, SNAPSHOT_DEPTH))
        if stream.groups and stream.changed:
            self._arm(stream.due())

    def compare(self, position: "StockPosition") -> None:
        """The stock row of the database says the book has changed up to here."""
        stream = self._active.get(position.stock_id)
        if stream is not None and (stream.book is None or stream.book.sequence < position.sequence):
            self._hub.spawn(self._read(stream, max(stream.groups)))

    def _add(self, stream: BookStream, socket: Socket, depth: int) -> None:
        stream.groups.setdefault(depth, set()).add(socket)
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
            self.frames += stream.send(book, [depth for depth in stream.groups if book.covers(depth)])
        if book is None or not all(book.covers(depth) for depth in stream.groups):
            self._hub.spawn(self._send_deep(stream))

    async def _send_deep(self, stream: BookStream) -> None:
        """Serve those who asked for more levels than the newest batch brought."""
        if stream.reading is not None:
            return
        newest = stream.book
        book = await self._read(stream, max(stream.groups, default=DEFAULT_DEPTH))
        waiting = [depth for depth in stream.groups if newest is None or not newest.covers(depth)]
        self.frames += stream.send(book, [depth for depth in waiting if book.covers(depth)])

    async def _read(self, stream: BookStream, depth: int) -> Book:
        """The book in the database, to at least `depth` levels. One query at a time for a stock."""
        while stream.reading is not None:
            # A query under way may be older than the news that made the caller ask, but not by much; one
            # that reads fewer levels does not help.
            book = await asyncio.shield(stream.reading)
            if book.covers(depth):
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
