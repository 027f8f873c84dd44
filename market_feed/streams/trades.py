"""The public trades, live: every socket of a stock gets every trade once, in order.

What is done for trades here is right for whatever comes in the order of its sequences and must not be lost:
a desk says what its events are, and how they are read and encoded. `ticks` is another.

Trades that arrive while frames are being written leave together in the next frame. After writing, the
desk rests for a third of the time that took. So it writes at once for a few clients and in larger steps for
thousands, and leaves a quarter of the event loop to others.
"""

import asyncio
from collections.abc import Iterable, Sequence
from typing import TYPE_CHECKING, Any

from market_feed.streams.frames import Frame, public_trades, trades_frames
from market_feed.streams.sockets import Socket
from market_feed.streams.tape import Numbered, TradeTape
from trade.signals import CommittedBatch

if TYPE_CHECKING:
    from market_feed.streams.hub import Hub
    from market_feed.streams.stored import StockPosition

# A batch of another process may overtake one of ours: it is on its way, and rarely worth a query.
GRACE_S = 0.02
# The desk's rest after writing, as a part of the time it took.
REST = 0.3
MAX_REST_S = 0.1
# Trades of one query.
CHUNK = 1_000


class TradeStream:
    """The trades of one stock and who listens to them."""

    __slots__ = ("stock_id", "tape", "sockets", "outgoing", "healing", "_desk")

    def __init__(self, desk: "TradeDesk", stock_id: str) -> None:
        self.stock_id = stock_id
        self.tape = TradeTape(0)
        self.sockets: set[Socket] = set()
        # Given out by the tape, not yet written.
        self.outgoing: list[Numbered] = []
        self.healing: asyncio.Task[None] | None = None
        self._desk = desk

    def write(self) -> int:
        """Write what is outgoing to every socket; the number of frames written."""
        if not self.outgoing:
            return 0
        trades, self.outgoing = self.outgoing, []
        count = 0
        for frame in self._desk.frames_of(self.stock_id, trades):
            for socket in self.sockets:
                socket.deliver(frame)
            count += len(self.sockets)
        self.sockets = {socket for socket in self.sockets if not socket.closed}
        return count

    # --- what a resume needs, see catchup ---

    def position(self) -> int:
        self.write()
        return self.tape.delivered

    def has_reached(self, stored: "StockPosition") -> bool:
        self.write()
        return self.tape.delivered >= self._desk.newest_of(stored)

    def pause(self, socket: Socket) -> None:
        self.sockets.discard(socket)

    def rejoin(self, socket: Socket) -> None:
        self.sockets.add(socket)

    async def missed(self, socket: Socket, since: int, until: int) -> tuple[list[Frame], int]:
        trades = await self._desk.read(self.stock_id, since, until, limit=CHUNK)
        reached = trades[-1].sequence if len(trades) == CHUNK else until
        return list(self._desk.frames_of(self.stock_id, trades)), reached

    async def stored(self) -> "StockPosition":
        return await self._desk.stored(self.stock_id)


class TradeDesk:
    def __init__(self, hub: "Hub") -> None:
        self.streams: dict[str, TradeStream] = {}
        self.frames = 0
        self.healed = 0
        self._hub = hub
        self._everything: set[Socket] = set()
        self._dirty: set[TradeStream] = set()
        self._write_handle: asyncio.Handle | None = None
        self._next_write = 0.0

    async def join(self, socket: Socket, stock_ids: Iterable[str] | None) -> None:
        """Send `socket` every trade from now on, of these stocks or of all. UnknownStock."""
        known = await self._hub.resolve(stock_ids)
        self._hub.sockets.add(socket)
        if stock_ids is None:
            self._everything.add(socket)
        for stock_id in known:
            self._add(self.streams[stock_id], socket)

    def leave(self, socket: Socket) -> None:
        self._everything.discard(socket)
        for stock_id in socket.joined:
            self.streams[stock_id].sockets.discard(socket)

    def open(self, stock_id: str) -> None:
        """A stock that was not known before: whoever listens to all of them gets its first trade too."""
        stream = self.streams[stock_id] = TradeStream(self, stock_id)
        for socket in self._everything:
            self._add(stream, socket)

    def take(self, batch: CommittedBatch) -> None:
        stream = self.streams[batch.stock_id]
        tape = stream.tape
        if not stream.sockets:
            tape.skip_to(self.newest_of(batch))
            return
        if self.newest_of(batch) > tape.delivered:
            self._give_out(stream, tape.offer(self.previous_of(batch), self.events_of(batch)))
        tape.note(self.newest_of(batch))
        if tape.has_gap:
            self._heal(stream)

    def compare(self, position: "StockPosition") -> None:
        """The stock row of the database says there are trades up to here."""
        stream = self.streams[position.stock_id]
        if not stream.sockets:
            stream.tape.skip_to(self.newest_of(position))
            return
        stream.tape.note(self.newest_of(position))
        if stream.tape.has_gap:
            self._heal(stream)

    # --- what the events of this desk are ---

    def newest_of(self, news: "CommittedBatch | StockPosition") -> int:
        return news.trade_sequence

    def previous_of(self, batch: CommittedBatch) -> int:
        return batch.previous_trade_sequence

    def events_of(self, batch: CommittedBatch) -> Sequence[Numbered]:
        return public_trades(batch)

    def frames_of(self, stock_id: str, events: Sequence[Any]) -> Iterable[Frame]:
        return trades_frames(stock_id, events)

    async def read(self, stock_id: str, since: int, until: int | None, *, limit: int) -> Sequence[Numbered]:
        return await self._hub.read(self._hub.market.trades_between, stock_id, since, until, limit)

    async def stored(self, stock_id: str) -> "StockPosition":
        return (await self._hub.refresh())[stock_id]

    # --- inside ---

    def _add(self, stream: TradeStream, socket: Socket) -> None:
        socket.joined[stream.stock_id] = stream.position()
        stream.sockets.add(socket)

    def _give_out(self, stream: TradeStream, trades: list[Numbered]) -> None:
        if not trades:
            return
        stream.outgoing += trades
        self._dirty.add(stream)
        if self._write_handle is None:
            self._write_handle = self._hub.loop.call_at(self._next_write, self._write)

    def _write(self) -> None:
        self._write_handle = None
        started = self._hub.loop.time()
        for stream in self._dirty:
            self.frames += stream.write()
        self._dirty.clear()
        ended = self._hub.loop.time()
        self._next_write = ended + min(REST * (ended - started), MAX_REST_S)

    def _heal(self, stream: TradeStream) -> None:
        if stream.healing is None:
            stream.healing = self._hub.spawn(self._read_gap(stream))

    async def _read_gap(self, stream: TradeStream) -> None:
        """Read what did not arrive. What cannot be read now is asked for again within a second."""
        try:
            await asyncio.sleep(GRACE_S)
            while stream.tape.has_gap and stream.sockets:
                trades = await self.read(stream.stock_id, stream.tape.delivered, None, limit=CHUNK)
                if not trades:
                    break
                self.healed += len(trades)
                self._give_out(stream, stream.tape.fill(trades))
        finally:
            stream.healing = None
