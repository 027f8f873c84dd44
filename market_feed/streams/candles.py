"""The candles, live: the current one when a client joins, and every one that changed since, up to five times a second.

News says that a stock has new prices, and which older candles late ticks have corrected. What a candle is now is
read from the database: one that closed between two messages comes once more, as it closed. A reader that is busy
gets what it missed in one message, each candle in its newest state.
"""

import asyncio
from collections import defaultdict
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING

from market_feed.streams.frames import Frame, encode
from market_feed.streams.sockets import TOO_SLOW, Socket
from trade.apis.candles import render_candle
from trade.selectors.candles import CandleRow, start_of
from trade.signals import CommittedBatch

if TYPE_CHECKING:
    from market_feed.streams.hub import Hub
    from market_feed.streams.stored import StockPosition, StoredCandles

MIN_INTERVAL_S = 0.2
# Corrected older candles that are read in one round; the others wait for the next.
MAX_CORRECTED = 100
# Candles that are kept for a busy reader. With more it is closed.
MAX_MISSED = 1_000

_BEFORE_ALL = datetime(1970, 1, 1, tzinfo=UTC)


class CandleStream:
    """The candles of one stock and interval, and who listens to them.

    `known` is the sequence of the newest tick or trade heard of, `written` what the messages cover.
    """

    __slots__ = (
        "stock_id",
        "interval",
        "known",
        "written",
        "newest",
        "corrected",
        "sockets",
        "missed",
        "lock",
    )

    def __init__(self, stock_id: str, interval: str) -> None:
        self.stock_id = stock_id
        self.interval = interval
        self.known = self.written = 0
        # The start of the newest candle that was written: it may still change.
        self.newest = _BEFORE_ALL
        self.corrected: set[datetime] = set()
        self.sockets: set[Socket] = set()
        self.missed: dict[Socket, dict[datetime, CandleRow]] = {}
        self.lock = asyncio.Lock()

    @property
    def has_news(self) -> bool:
        return bool(self.sockets) and (self.known > self.written or bool(self.corrected) or bool(self.missed))

    def touch(self, moment: datetime) -> None:
        """Something happened at this moment."""
        start = start_of(moment, self.interval)
        if start < self.newest:
            self.corrected.add(start)

    def write(self, candles: Sequence[CandleRow]) -> int:
        """Write changed candles to every socket; the number of frames written."""
        changed = {candle.start: candle for candle in candles}
        frame = self.frame(candles, self.written)
        count = 0
        for socket in self.sockets:
            wanted = self.missed.pop(socket, {}) | changed
            if not wanted:
                continue
            # Nothing but what changed: the message of everybody.
            is_common = len(wanted) == len(candles)
            if socket.offer(frame if is_common else self.frame(wanted.values(), self.written)):
                count += 1
            elif len(wanted) > MAX_MISSED:
                socket.close(TOO_SLOW, "you read too slowly: reconnect and ask for the candles")
            elif not socket.closed:
                self.missed[socket] = wanted
        return count

    def frame(self, candles: Iterable[CandleRow], sequence: int) -> Frame:
        ordered = [render_candle(candle) for candle in sorted(candles)]
        return encode(
            {
                "type": "candles",
                "stock_id": self.stock_id,
                "interval": self.interval,
                "sequence": sequence,
                "candles": ordered,
            }
        )


class CandleDesk:
    def __init__(self, hub: "Hub") -> None:
        self.frames = 0
        self._hub = hub
        self._streams: dict[str, dict[str, CandleStream]] = defaultdict(dict)
        # Who listens to all stocks, and to which intervals of them.
        self._everything: dict[Socket, list[str]] = {}
        self._joined: dict[Socket, set[CandleStream]] = defaultdict(set)
        self._writing: asyncio.Task[None] | None = None

    async def join(self, socket: Socket, stock_ids: Iterable[str] | None, intervals: Sequence[str]) -> None:
        """Send `socket` the current candles, and from now on what changes. UnknownStock."""
        known = await self._hub.resolve(stock_ids)
        self._hub.sockets.add(socket)
        if stock_ids is None:
            self._everything[socket] = list(intervals)
        for stock_id in known:
            for interval in intervals:
                await self._add(self._stream(stock_id, interval), socket)

    def leave(self, socket: Socket) -> None:
        self._everything.pop(socket, None)
        for stream in self._joined.pop(socket, ()):
            stream.sockets.discard(socket)
            stream.missed.pop(socket, None)

    def open(self, stock_id: str) -> None:
        """A stock that was not known before: whoever listens to all of them gets its first candle too."""
        for socket, intervals in self._everything.items():
            for interval in intervals:
                self._listen(socket, self._stream(stock_id, interval))

    def take(self, batch: CommittedBatch) -> None:
        for stream in self._listened(batch.stock_id):
            for tick in batch.ticks:
                stream.touch(tick.timestamp)
            if batch.trades:
                stream.touch(batch.committed_at)
            self._note(stream, max(batch.tick_sequence, batch.trade_sequence))

    def compare(self, position: "StockPosition") -> None:
        for stream in self._listened(position.stock_id):
            self._note(stream, max(position.tick_sequence, position.trade_sequence))

    def _listened(self, stock_id: str) -> list[CandleStream]:
        return [stream for stream in self._streams[stock_id].values() if stream.sockets]

    def _stream(self, stock_id: str, interval: str) -> CandleStream:
        streams = self._streams[stock_id]
        if interval not in streams:
            streams[interval] = CandleStream(stock_id, interval)
        return streams[interval]

    def _note(self, stream: CandleStream, sequence: int) -> None:
        stream.known = max(stream.known, sequence)
        if stream.has_news and self._writing is None:
            self._writing = self._hub.spawn(self._write_soon())

    async def _add(self, stream: CandleStream, socket: Socket) -> None:
        async with stream.lock:
            stored = await self._read(stream, None)
            if not stream.sockets:
                # Nobody listened: what it knew is of no use.
                stream.known = stream.written = stored.sequence
                stream.newest = stored.candles[-1].start if stored.candles else _BEFORE_ALL
                stream.corrected.clear()
            socket.offer(stream.frame(stored.candles, stored.sequence))
            if not socket.closed:
                self._listen(socket, stream)

    def _listen(self, socket: Socket, stream: CandleStream) -> None:
        self._joined[socket].add(stream)
        stream.sockets.add(socket)

    async def _write_soon(self) -> None:
        """Write all that has news, as long as there is any; at most every MIN_INTERVAL_S."""
        try:
            await asyncio.sleep(MIN_INTERVAL_S)
            while streams := [
                stream
                for by_interval in self._streams.values()
                for stream in by_interval.values()
                if stream.has_news
            ]:
                for stream in streams:
                    async with stream.lock:
                        await self._write(stream)
                await asyncio.sleep(MIN_INTERVAL_S)
        finally:
            # What could not be read now is noted again within a second.
            self._writing = None

    async def _write(self, stream: CandleStream) -> None:
        corrected = set(sorted(stream.corrected, reverse=True)[:MAX_CORRECTED])
        candles: list[CandleRow] = []
        if stream.known > stream.written or corrected:
            for start in corrected:
                candles += (await self._read(stream, start, start)).candles
            stored = await self._read(stream, stream.newest)
            candles += stored.candles
            stream.corrected -= corrected
            if not stored.has_more:
                stream.written = stored.sequence
                stream.known = max(stream.known, stored.sequence)
            if stored.candles:
                stream.newest = stored.candles[-1].start
        self.frames += stream.write(candles)

    async def _read(
        self, stream: CandleStream, since: datetime | None, until: datetime | None = None
    ) -> "StoredCandles":
        return await self._hub.read(self._hub.market.candles, stream.stock_id, stream.interval, since, until)
