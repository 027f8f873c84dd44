"""A WebSocket client that does next to nothing, so that what is measured is the server.

It writes text frames with an all-zero mask, which leaves the text as it is, and hands on whole payloads.
"""

import asyncio
import struct
from collections.abc import Callable

TEXT, CLOSE, PING = 1, 8, 9
_HANDSHAKE = (
    "GET {path} HTTP/1.1\r\nHost: {host}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
    "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n{headers}\r\n"
)


class FrameProtocol(asyncio.Protocol):
    """`taken(payload)` is called with every message; `opened` is done once the server has accepted."""

    def __init__(self, host: str, path: str, taken: Callable[[bytes], None], headers: str = "") -> None:
        self.opened: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.close_code: int | None = None
        self.is_lost = False
        self._handshake = _HANDSHAKE.format(path=path, host=host, headers=headers).encode()
        self._taken = taken
        self._buffer = b""
        self._transport: asyncio.Transport

    def send(self, payload: bytes) -> None:
        self._transport.write(_frame(TEXT, payload))

    def close(self) -> None:
        self._transport.close()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport
        transport.write(self._handshake)

    def connection_lost(self, error: Exception | None) -> None:
        self.is_lost = True
        if not self.opened.done():
            self.opened.set_exception(error or ConnectionError("the server does not accept the stream"))

    def data_received(self, data: bytes) -> None:
        buffer = self._buffer + data if self._buffer else data
        if not self.opened.done():
            head, end, buffer = buffer.partition(b"\r\n\r\n")
            if not end:
                self._buffer = head
                return
            if b" 101 " not in head:
                self.opened.set_exception(ConnectionError(head.decode("latin1")))
                return
            self.opened.set_result(None)
        self._buffer = self._take_frames(buffer)

    def _take_frames(self, buffer: bytes) -> bytes:
        """Take the whole frames off the buffer; what is left of it."""
        at, size = 0, len(buffer)
        while size - at >= 2:
            length, start = buffer[at + 1], at + 2
            if length == 126:
                start += 2
            elif length == 127:
                start += 8
            if start > size:
                break
            if length >= 126:
                length = int.from_bytes(buffer[at + 2 : start], "big")
            end = start + length
            if end > size:
                break
            self._take(buffer[at] & 15, buffer[start:end])
            at = end
        return buffer[at:]

    def _take(self, kind: int, payload: bytes) -> None:
        if kind == TEXT:
            self._taken(payload)
        elif kind == PING:
            self._transport.write(_frame(PING + 1, payload))
        elif kind == CLOSE:
            self.close_code = int.from_bytes(payload[:2], "big")
            self._transport.close()


def _frame(kind: int, payload: bytes) -> bytes:
    size = len(payload)
    head = (
        struct.pack("!BB", 0x80 | kind, 0x80 | size)
        if size < 126
        else struct.pack("!BBH", 0x80 | kind, 254, size)
    )
    return head + b"\0\0\0\0" + payload
