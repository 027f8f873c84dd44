"""The sockets the hub writes to, and what happens to a reader that is too slow.

A *sink* takes frames without waiting and says how many bytes its reader has not taken yet. Under daphne
that is the TCP transport itself: a frame is written to the kernel at once (8 us a frame; 32 us through the
ASGI `send`, which encodes and frames the text again for each socket). Under any other server, and in
tests, it is a queue emptied by `send`.
"""

import asyncio
import contextlib
import socket as os_socket
from collections import deque
from functools import partial
from typing import Any, Protocol

from market_feed.streams.frames import Frame

TOO_SLOW = 4008

# Bytes not yet taken by the reader: above the first, books are skipped and trades are tolerated for a
# while; above the second the trade stream is closed at once.
SLOW_BYTES = 128 * 1024
MAX_BYTES = 1024 * 1024
SLOW_SECONDS = 5.0
# How long a closed reader may take to come and read why.
CLOSE_SECONDS = 10.0
# What the kernel holds for one socket, else up to 4 MB of stale books.
KERNEL_BYTES = 128 * 1024


class Sink(Protocol):
    @property
    def backlog(self) -> int: ...

    def write(self, *frames: Frame) -> None: ...

    def close(self, code: int, reason: str) -> None: ...


class Socket:
    """One connection to one stream."""

    __slots__ = ("sink", "closed", "joined", "catching_up", "_clock", "_slow_since")

    def __init__(self, sink: Sink | None = None, *, clock: Any = None) -> None:
        """Without a sink, frames are held until `open`: a client joins before it is told that it is connected."""
        self.sink = sink or HoldingSink()
        self.closed = False
        # Per stock: everything after this sequence was sent, or will be, without being asked for.
        self.joined: dict[str, int] = {}
        # The stocks whose live stream waits for a resume to end.
        self.catching_up: set[str] = set()
        self._clock = clock or asyncio.get_running_loop().time
        self._slow_since: float | None = None

    def open(self, sink: Sink) -> None:
        """Write to `sink` from now on, first of all what was held."""
        held, self.sink = self.sink, sink
        if isinstance(held, HoldingSink):
            for frame in held.frames:
                sink.write(frame)
            if held.closed_with is not None:
                sink.close(*held.closed_with)

    def deliver(self, *frames: Frame) -> None:
        """Write frames that must not be lost; the reader that is too slow for them is closed with 4008."""
        if self.closed:
            return
        backlog = self.sink.backlog
        if backlog <= SLOW_BYTES:
            self._slow_since = None
        elif self._is_too_slow(backlog):
            self.close(TOO_SLOW, "you read too slowly: reconnect and resume")
            return
        self.sink.write(*frames)

    def offer(self, frame: Frame) -> bool:
        """Write a frame that a newer one will replace; False when the reader is busy with older ones."""
        if self.closed or self.sink.backlog > SLOW_BYTES:
            return False
        self.sink.write(frame)
        return True

    def close(self, code: int, reason: str = "") -> None:
        if not self.closed:
            self.closed = True
            self.sink.close(code, reason)

    async def drained(self) -> bool:
        """Wait until the reader has caught up; False when it is gone or was closed for being too slow."""
        deadline = self._clock() + SLOW_SECONDS
        while not self.closed and self.sink.backlog > SLOW_BYTES:
            if self._clock() > deadline:
                self.close(TOO_SLOW, "you read too slowly: reconnect and resume")
            await asyncio.sleep(0.02)
        return not self.closed

    def _is_too_slow(self, backlog: int) -> bool:
        now = self._clock()
        if self._slow_since is None:
            self._slow_since = now
        return backlog > MAX_BYTES or now - self._slow_since > SLOW_SECONDS


class HoldingSink:
    """Frames for a client whose connection is not accepted yet."""

    def __init__(self) -> None:
        self.backlog = 0
        self.frames: list[Frame] = []
        self.closed_with: tuple[int, str] | None = None

    def write(self, *frames: Frame) -> None:
        self.backlog += sum(len(frame.wire) for frame in frames)
        self.frames += frames

    def close(self, code: int, reason: str) -> None:
        self.closed_with = (code, reason)


class QueueSink:
    """Frames wait here until the server's `send` has taken them."""

    def __init__(self, send: Any) -> None:
        self.backlog = 0
        self._send = send
        self._events: deque[tuple[int, dict[str, Any]]] = deque()
        self._task: asyncio.Task[None] | None = None

    def write(self, *frames: Frame) -> None:
        for frame in frames:
            self._put(len(frame.wire), {"type": "websocket.send", "text": frame.payload.decode()})

    def close(self, code: int, reason: str) -> None:
        if self.backlog > SLOW_BYTES:
            # Nobody reads it, and it would keep the reason from being read.
            self._events.clear()
            self.backlog = 0
        self._put(0, {"type": "websocket.close", "code": code, "reason": reason})

    def _put(self, size: int, event: dict[str, Any]) -> None:
        self._events.append((size, event))
        self.backlog += size
        if self._task is None or self._task.done():
            self._task = asyncio.ensure_future(self._run())

    async def _run(self) -> None:
        # A server raises what it likes when the client has gone; its disconnect event says so too.
        with contextlib.suppress(Exception):
            while self._events:
                size, event = self._events.popleft()
                await self._send(event)
                self.backlog = max(0, self.backlog - size)


class DaphneSink:
    """Writes whole WebSocket frames to daphne's TCP connection, past its text encoding and event queue."""

    def __init__(self, protocol: Any) -> None:
        self._protocol = protocol
        self._transport = protocol.transport
        with contextlib.suppress(AttributeError, OSError):
            self._transport.socket.setsockopt(os_socket.SOL_SOCKET, os_socket.SO_SNDBUF, KERNEL_BYTES)

    @property
    def backlog(self) -> int:
        transport = self._transport
        return len(transport.dataBuffer) - transport.offset + transport._tempDataLen

    def write(self, *frames: Frame) -> None:
        protocol, transport = self._protocol, self._transport
        # Together: each call of the kernel lets go of the interpreter, and other threads want it.
        wire = frames[0].wire if len(frames) == 1 else b"".join(frame.wire for frame in frames)
        if protocol.state != protocol.STATE_OPEN or not transport.connected or transport.disconnecting:
            return
        if transport.dataBuffer or transport._tempDataLen:
            transport.write(wire)
            return
        # Nothing waits before it: straight to the kernel, without a round through epoll.
        written = transport.writeSomeData(wire)
        if not isinstance(written, int):
            transport.abortConnection()
        elif written < len(wire):
            transport.write(wire[written:])

    def close(self, code: int, reason: str) -> None:
        protocol = self._protocol
        if protocol.state == protocol.STATE_OPEN:
            protocol.closeHandshakeTimeout = CLOSE_SECONDS
            # Not `sendClose`: it knows no 1001. A close frame has room for 123 bytes of reason.
            short = reason.encode()[:123].decode(errors="ignore").encode()
            protocol.sendCloseFrame(code=code, reasonUtf8=short, isReply=False)


def sink_for(send: Any) -> Sink:
    """The fastest sink for the server behind an ASGI `send`."""
    protocol = send.args[0] if isinstance(send, partial) and send.args else None
    if protocol is not None and _is_plain_daphne(protocol):
        return DaphneSink(protocol)
    return QueueSink(send)


def _is_plain_daphne(protocol: Any) -> bool:
    """Whether frames may be written past `protocol`: an uncompressed WebSocket on a TCP connection."""
    from daphne.ws_protocol import WebSocketProtocol
    from twisted.internet.tcp import Connection

    return (
        isinstance(protocol, WebSocketProtocol)
        and isinstance(protocol.transport, Connection)
        and not protocol.transport.TLS
        and protocol._perMessageCompress is None
        and hasattr(protocol.transport, "_tempDataLen")
    )
