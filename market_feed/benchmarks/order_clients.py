"""A process full of clients that place orders, by REST or by stream, each connection with so many on the way.

python -m market_feed.benchmarks.order_clients
"""

import asyncio
import time
from collections.abc import Iterator
from itertools import count
from typing import Any

from market_feed.benchmarks.children import Answer, serve
from market_feed.benchmarks.frame_protocol import FrameProtocol

ORDER = '{{"stock_id": "{stock_id}", "side": "{side}", "type": "limit", "quantity": 1, "price": {price}}}'
LOWEST, PRICES = {"buy": 90, "sell": 101}, 10


def orders(stock_id: str, side: str) -> Iterator[bytes]:
    """Orders that wait in the book: what is measured is how they come in. The same ones for everybody."""
    for number in count():
        yield ORDER.format(stock_id=stock_id, side=side, price=LOWEST[side] + number % PRICES).encode()


class RestLoad:
    """One connection that is kept open, one request after the other."""

    def __init__(self, host: str, port: int, token: str, orders: Iterator[bytes], window: int) -> None:
        self._host, self._port, self._orders = host, port, orders
        self._head = (
            f"POST /api/orders/ HTTP/1.1\r\nHost: {host}:{port}\r\nAuthorization: Token {token}\r\n"
            "Content-Type: application/json\r\nContent-Length: "
        ).encode()

    async def run(self, until: float) -> int:
        """How many orders were placed."""
        reader, writer = await asyncio.open_connection(self._host, self._port)
        placed = 0
        while time.monotonic() < until:
            body = next(self._orders)
            writer.write(b"%s%d\r\n\r\n%s" % (self._head, len(body), body))
            head = await reader.readuntil(b"\r\n\r\n")
            length = int(head.lower().partition(b"content-length:")[2].partition(b"\r\n")[0])
            answer = await reader.readexactly(length)
            if b" 201 " not in head[:16]:
                raise ConnectionError(answer.decode())
            placed += 1
        writer.close()
        return placed


class StreamLoad:
    """One stream, with `window` requests unanswered."""

    def __init__(self, host: str, port: int, token: str, orders: Iterator[bytes], window: int) -> None:
        self._host, self._port, self._token = host, port, token
        self._orders, self._window = orders, window
        self._until = 0.0
        self._sent = self._placed = 0
        self._stream: FrameProtocol
        self._done: asyncio.Future[int]

    async def run(self, until: float) -> int:
        loop = asyncio.get_running_loop()
        self._until, self._done = until, loop.create_future()
        _, self._stream = await loop.create_connection(
            lambda: FrameProtocol(
                f"{self._host}:{self._port}",
                "/ws/orders/?events=false",
                self._take,
                f"Authorization: Token {self._token}\r\n",
            ),
            self._host,
            self._port,
        )
        await self._stream.opened
        for _ in range(self._window):
            self._place()
        try:
            return await self._done
        finally:
            self._stream.close()

    def _place(self) -> None:
        self._sent += 1
        self._stream.send(b'{"type": "place", "id": %d, "order": %s}' % (self._sent, next(self._orders)))

    def _take(self, message: bytes) -> None:
        if message.startswith(b'{"type":"placed"'):
            self._placed += 1
            if time.monotonic() < self._until:
                self._place()
            elif self._placed == self._sent and not self._done.done():
                self._done.set_result(self._placed)
        elif not message.startswith((b'{"type":"order"', b'{"type":"fill"')) and not self._done.done():
            self._done.set_exception(ConnectionError(message.decode()))


LOADS: dict[str, Any] = {"rest": RestLoad, "stream": StreamLoad}


def load(
    by: str,
    host: str,
    port: int,
    stock_id: str,
    tokens: dict[str, list[str]],
    connections: int,
    window: int,
    seconds: float,
) -> Answer:
    """Place orders for so long; `tokens` of traders by the side on which they trade."""
    traders = [
        (side, token)
        for pair in zip(tokens["buy"], tokens["sell"], strict=True)
        for side, token in zip(("buy", "sell"), pair, strict=True)
    ]

    async def run() -> int:
        until = time.monotonic() + seconds
        loads = [
            LOADS[by](host, port, token, orders(stock_id, side), window)
            for side, token in (traders[number % len(traders)] for number in range(connections))
        ]
        return sum(await asyncio.gather(*(one.run(until) for one in loads)))

    started = time.monotonic()
    placed = asyncio.run(run())
    return {"orders": placed, "seconds": time.monotonic() - started}


if __name__ == "__main__":
    serve({"load": load})
