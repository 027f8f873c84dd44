"""A resume: what a client missed, read from the database, and then the live stream again, without a seam.

A connection was sent everything from where it joined to where the stream is. So a resume has something to
send when it starts before the join: from there to the join. From within what was sent there is nothing to
send, unless the client asks to see it again. A client may also be ahead of this process's stream, because
it was at another one before: then its live stream waits until this process knows as much as it does.
"""

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Protocol

from market_feed.streams.frames import Frame, error_frame
from market_feed.streams.sockets import Socket

if TYPE_CHECKING:
    from market_feed.streams.stored import StockPosition

TRY_AGAIN_LATER = 4013
# How often to look whether the stream has come to where the client is.
POLL_S = 0.02


class Resumable(Protocol):
    """One stock's part of a stream whose messages must not be lost."""

    stock_id: str

    def position(self) -> int:
        """Everything up to this sequence has been written to the sockets that are not paused."""

    def has_reached(self, stored: "StockPosition") -> bool:
        """Whether everything that was stored then has been written."""

    def pause(self, socket: Socket) -> None: ...

    def rejoin(self, socket: Socket) -> None: ...

    async def missed(self, socket: Socket, since: int, until: int) -> tuple[list[Frame], int]:
        """The next frames after `since`, none beyond `until`, and the sequence they reach."""

    async def stored(self) -> "StockPosition":
        """Where the stock stands in the database now."""


def catch_up(
    stream: Resumable, socket: Socket, since: int, *, rewind: bool = False
) -> Coroutine[Any, Any, None]:
    """Send `socket` what it was not sent after `since`, with `rewind` everything after it, then go on live.

    The live stream stops at once, not when the coroutine is first run, and waits meanwhile, so that everything
    comes in order. One at a time for a socket and a stock.
    """
    position = stream.position()
    stream.pause(socket)
    socket.catching_up.add(stream.stock_id)
    return _catch_up(stream, socket, since, position, rewind)


async def _catch_up(stream: Resumable, socket: Socket, since: int, position: int, rewind: bool) -> None:
    joined = socket.joined[stream.stock_id]
    try:
        if since > position:
            position = await _wait_for_stream(stream, socket, since, position)
        elif rewind or since < joined:
            await _send_range(stream, socket, since, position if rewind else joined)
            socket.joined[stream.stock_id] = min(since, joined)
        while not socket.closed and (target := stream.position()) > position:
            await _send_range(stream, socket, position, target)
            position = target
    except BaseException:
        # There is a hole now that the client cannot see: it must resume again.
        socket.close(TRY_AGAIN_LATER, "the market cannot be read: try again later")
        raise
    finally:
        socket.catching_up.discard(stream.stock_id)
    if not socket.closed:
        stream.rejoin(socket)


async def _wait_for_stream(stream: Resumable, socket: Socket, since: int, position: int) -> int:
    """Wait until the stream knows what the client does. Where the client goes on from."""
    stored = await stream.stored()
    if stored.sequence < since:
        detail = f"{stream.stock_id} is only at sequence {stored.sequence}"
        socket.deliver(error_frame("ahead", detail))
        return position
    while not socket.closed and not stream.has_reached(stored):
        await asyncio.sleep(POLL_S)
    return since


async def _send_range(stream: Resumable, socket: Socket, since: int, until: int) -> None:
    while since < until and await socket.drained():
        frames, since = await stream.missed(socket, since, until)
        for frame in frames:
            socket.deliver(frame)
