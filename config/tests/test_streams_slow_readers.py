"""Readers that stop reading: they are told why they are closed, and cost the server little memory."""

import json
import re
import socket
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from threading import Thread

from django.test import SimpleTestCase
from websockets.sync.client import ClientConnection, connect

from config.tests.web_processes import WebProcess, market

READERS = 8
TRADES = 12_000
# Bytes sent: more than the kernels hold, and more than that and the megabyte that the server holds.
SURELY_SLOW, SURELY_TOO_MUCH = 600_000, 1_800_000


class SlowReaderTests(SimpleTestCase):
    def test_it_closes_a_reader_that_stops_reading_and_stays_small(self) -> None:
        with market() as place, ExitStack() as stack:
            web = place.serve()
            quick = stack.enter_context(connect(web.stream("/ws/trades/"), max_queue=None))
            lazy = [stack.enter_context(lazy_client(web, "/ws/trades/")) for _ in range(READERS)]
            book = stack.enter_context(lazy_client(web, "/ws/orderbook/?mode=delta"))
            before = web.memory_mib()
            trading = Thread(target=place.trade, kwargs={"count": TRADES, "at_once": 200})
            trading.start()
            self.addCleanup(trading.join)
            received = read_until_others_are_closed(quick)
            # Each may leave a megabyte unread.
            self.assertLess(web.memory_mib() - before, 16 + READERS)
            for client in lazy:
                end = read_to_close(client)
                self.assertEqual(int.from_bytes(end[:2], "big"), 4008)
                self.assertIn("too slowly", end[2:].decode())
            while received < TRADES:
                received += len(json.loads(quick.recv(20))["trades"])
            self.assertEqual(received, TRADES)
            # A book is not queued: who reads late reads on.
            self.assertIn(b"orderbook", book.recv(65_536))


def read_until_others_are_closed(quick: ClientConnection) -> int:
    """Read on until who has read nothing must have been closed, and not for long; the trades received."""
    size = received = 0
    slow_since: float | None = None
    while size < SURELY_TOO_MUCH and (slow_since is None or time.monotonic() - slow_since < 7):
        text = quick.recv(20)
        size += len(text)
        received += len(json.loads(text)["trades"])
        if slow_since is None and size > SURELY_SLOW:
            slow_since = time.monotonic()
    return received


@contextmanager
def lazy_client(web: WebProcess, path: str) -> Iterator[socket.socket]:
    """A client that connects to a stream and never reads on its own."""
    host, port = web.url.removeprefix("http://").split(":")
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    client.connect((host, int(port)))
    with client:
        key = "dGhlIHNhbXBsZSBub25jZQ=="
        client.sendall(
            f"GET {path} HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        assert b"101" in client.recv(512)
        yield client


def read_to_close(client: socket.socket) -> bytes:
    """What the client has not read yet, up to the frame that closes the stream; that frame's payload."""
    client.settimeout(5)
    received = b""
    while True:
        if match := re.search(rb"\x88([\x02-\x7d])(\x0f.+)\Z", received[-130:], re.DOTALL):
            return match[2]
        received += client.recv(65_536)
