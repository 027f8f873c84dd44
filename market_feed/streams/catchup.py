"""A resume: what a client missed, read from the database, and then the live stream again, without a seam."""

from typing import Protocol

from market_feed.streams.frames import Frame
from market_feed.streams.sockets import Socket

TRY_AGAIN_LATER = 4013


class Resumable(Protocol):
    """One stock's part of a stream whose messages must not be lost."""

    stock_id: str

    def position(self) -> int:
        """Everything up to this sequence has been written to the sockets that are not paused."""

    def pause(self, socket: Socket) -> None: ...

    def rejoin(self, socket: Socket) -> None: ...

    async def missed(self, socket: Socket, since: int, until: int) -> tuple[list[Frame], int]:
        """The next frames after `since`, none beyond `until`, and the sequence they reach."""


async def catch_up(stream: Resumable, socket: Socket, since: int) -> None:
    """Send `socket` everything after `since` that it was not sent on this connection, then go on live.

    Where `since` lies within what this connection was sent already, the client asks to see that again: the
    stream is rewound to `since`. Live news waits meanwhile, so that everything comes in order.
    """
    base, position = socket.joined[stream.stock_id], stream.position()
    stream.pause(socket)
    try:
        await _send_range(stream, socket, since, base if since < base else position)
        socket.joined[stream.stock_id] = min(base, since)
        while not socket.closed and (target := stream.position()) > position:
            await _send_range(stream, socket, position, target)
            position = target
    except BaseException:
        # There is a hole now that the client cannot see: it must resume again.
        socket.close(TRY_AGAIN_LATER, "the market cannot be read: try again later")
        raise
    if not socket.closed:
        stream.rejoin(socket)


async def _send_range(stream: Resumable, socket: Socket, since: int, until: int) -> None:
    while since < until and await socket.drained():
        frames, since = await stream.missed(socket, since, until)
        for frame in frames:
            socket.deliver(frame)
