"""What happens to the orders of the users who listen, live and private.

News only says that something happened; what is sent is always read from the database: the orders that
changed and the trades they made after the last sequence sent, with the cash the user has then. So nothing
is lost or repeated however the news arrives, and orders that change many times a second are conflated to
their newest state, while every trade is sent.
"""

import asyncio
from typing import TYPE_CHECKING

from market_feed.streams.catchup import catch_up
from market_feed.streams.frames import Frame, encode
from market_feed.streams.sockets import Socket
from trade.signals import CommittedBatch

if TYPE_CHECKING:
    from market_feed.streams.hub import Hub
    from market_feed.streams.stored import PrivateEvent, StockPosition

# Orders, and trades, of one query.
CHUNK = 1_000


class PrivateStream:
    """One stock's private news: everybody who listens has got what is theirs up to `sent_to`."""

    __slots__ = ("stock_id", "sent_to", "paused", "reading", "asked", "_desk")

    def __init__(self, desk: "PrivateDesk", stock_id: str) -> None:
        self.stock_id = stock_id
        self.sent_to = 0
        self.paused: set[Socket] = set()
        self.reading: asyncio.Task[None] | None = None
        # Something came in while a query was under way.
        self.asked = False
        self._desk = desk

    # --- what a resume needs, see catchup ---

    def position(self) -> int:
        return self.sent_to

    def has_reached(self, stored: "StockPosition") -> bool:
        return self.sent_to >= stored.sequence

    def pause(self, socket: Socket) -> None:
        self.paused.add(socket)

    def rejoin(self, socket: Socket) -> None:
        self.paused.discard(socket)

    async def missed(self, socket: Socket, since: int, until: int) -> tuple[list[Frame], int]:
        user_id = self._desk.users_by_socket[socket]
        events, reached = await self._desk.read(self.stock_id, [user_id], since, until)
        return [encode(message) for _, _, message in events], reached

    async def stored(self) -> "StockPosition":
        return await self._desk.stored(self.stock_id)


class PrivateDesk:
    def __init__(self, hub: "Hub") -> None:
        self.streams: dict[str, PrivateStream] = {}
        self.users_by_socket: dict[Socket, int] = {}
        self.frames = 0
        self._hub = hub
        self._sockets_by_user: dict[int, set[Socket]] = {}

    async def join(self, socket: Socket, user_id: int) -> None:
        await self._hub.resolve(None)
        self._hub.sockets.add(socket)
        if not self._sockets_by_user:
            await self._hub.refresh()
        self.users_by_socket[socket] = user_id
        self._sockets_by_user.setdefault(user_id, set()).add(socket)
        for stock_id, stream in self.streams.items():
            socket.joined[stock_id] = stream.sent_to

    def leave(self, socket: Socket) -> None:
        user_id = self.users_by_socket.pop(socket, None)
        if user_id is None:
            return
        sockets = self._sockets_by_user[user_id]
        sockets.discard(socket)
        if not sockets:
            del self._sockets_by_user[user_id]
        for stream in self.streams.values():
            stream.paused.discard(socket)

    def open(self, stock_id: str) -> None:
        self.streams[stock_id] = PrivateStream(self, stock_id)
        for socket in self.users_by_socket:
            socket.joined[stock_id] = 0

    def take(self, batch: CommittedBatch) -> None:
        stream = self.streams[batch.stock_id]
        if not self._sockets_by_user or batch.sequence <= stream.sent_to:
            stream.sent_to = max(stream.sent_to, batch.sequence)
        elif self._concerns(batch):
            self._ask(stream)
        elif batch.first_sequence <= stream.sent_to + 1 and stream.reading is None:
            stream.sent_to = batch.sequence

    def compare(self, position: "StockPosition") -> None:
        stream = self.streams[position.stock_id]
        if not self._sockets_by_user:
            stream.sent_to = max(stream.sent_to, position.sequence)
        elif position.sequence > stream.sent_to:
            self._ask(stream)

    async def read(
        self, stock_id: str, user_ids: list[int], since: int, until: int | None
    ) -> tuple[list["PrivateEvent"], int]:
        return await self._hub.read(self._hub.market.private_events, stock_id, user_ids, since, until, CHUNK)

    async def stored(self, stock_id: str) -> "StockPosition":
        return (await self._hub.refresh())[stock_id]

    def _concerns(self, batch: CommittedBatch) -> bool:
        users = self._sockets_by_user
        return any(order.user_id in users for order in batch.orders) or any(
            trade.buyer_id in users or trade.seller_id in users for trade in batch.trades
        )

    def _ask(self, stream: PrivateStream) -> None:
        stream.asked = True
        if stream.reading is None:
            stream.reading = self._hub.spawn(self._send(stream))

    async def _send(self, stream: PrivateStream) -> None:
        try:
            while stream.asked and self._sockets_by_user:
                stream.asked = False
                since, users = stream.sent_to, list(self._sockets_by_user)
                events, reached = await self.read(stream.stock_id, users, since, None)
                stream.asked |= len(events) >= CHUNK
                stream.sent_to = max(since, reached)
                self._write(stream, events)
                self._serve_newcomers(stream, set(users), since)
        finally:
            stream.reading = None

    def _serve_newcomers(self, stream: PrivateStream, users: set[int], since: int) -> None:
        """Who joined while the query ran has joined at `since`, and was not in it."""
        for user_id, sockets in self._sockets_by_user.items():
            if user_id not in users:
                for socket in sockets - stream.paused:
                    self._hub.spawn(catch_up(stream, socket, since, rewind=True))

    def _write(self, stream: PrivateStream, events: "list[PrivateEvent]") -> None:
        frames: dict[int, list[Frame]] = {}
        for user_id, _, message in events:
            frames.setdefault(user_id, []).append(encode(message))
        for user_id, theirs in frames.items():
            for socket in self._sockets_by_user.get(user_id, ()):
                if socket not in stream.paused:
                    socket.deliver(*theirs)
                    self.frames += len(theirs)
