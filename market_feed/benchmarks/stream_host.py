"""What a benchmark asks of the server that it measures, in that server's process.

`trade` makes trades at a steady rate through the engine; `direct` writes one frame, encoded beforehand, straight to
the sockets of all streams: what the server could do if nothing had to be thought of.
"""

import asyncio
import threading
import time
from collections.abc import Iterable
from urllib.parse import urlsplit

from market_feed.benchmarks.children import Answer, serve, tell
from market_feed.streams.frames import Frame, encode
from market_feed.streams.hub import Hub, hubs
from trade.engine import get_engine
from trade.services.order_rules import NewOrder

PRICE, FAR_PRICE = 1_000_000, 900_000
# One in so many trades brings an order that stays in the book.
BOOK_CHANGES_EVERY = 20
# How far the frames may be ahead of the readers, in bytes of one of them.
AHEAD = 64 * 1024
LOOKED_AT = 20


def obey(url: str) -> None:
    """Tell where the server is, and do what is asked from then on, in a thread. For `run_server`'s on_start."""
    address = urlsplit(url)
    tell({"host": address.hostname, "port": address.port})
    threading.Thread(target=serve, args=({"trade": trade, "direct": direct},), daemon=True).start()


def trade(stock_id: str, buyer: int, seller: int, per_second: int, seconds: float) -> Answer:
    """One share changes hands so many times a second, each time on its own."""
    engine, started = get_engine(), time.monotonic()
    for number in range(int(per_second * seconds)):
        if (ahead_s := started + number / per_second - time.monotonic()) > 0:
            time.sleep(ahead_s)
        placements = engine.submit_orders(list(_orders(number, stock_id, buyer, seller)))
    for placement in placements:
        placement.future.result(30)
    return {"seconds": time.monotonic() - started}


def _orders(number: int, stock_id: str, buyer: int, seller: int) -> Iterable[NewOrder]:
    yield NewOrder(seller, stock_id, "sell", "limit", 1, price=PRICE)
    yield NewOrder(buyer, stock_id, "buy", "limit", 1, price=PRICE)
    if number % BOOK_CHANGES_EVERY == 0:
        yield NewOrder(buyer, stock_id, "buy", "limit", 1, price=FAR_PRICE)


def direct(size: int, seconds: float) -> Answer:
    (hub,) = hubs()
    frame = encode({"type": "direct", "filling": "x" * max(0, size - 32)})
    return asyncio.run_coroutine_threadsafe(_send_directly(hub, frame, seconds), hub.loop).result()


async def _send_directly(hub: Hub, frame: Frame, seconds: float) -> Answer:
    sinks = [socket.sink for socket in hub.sockets]
    some = sinks[:: max(1, len(sinks) // LOOKED_AT)]
    started, rounds = time.monotonic(), 0
    while time.monotonic() < started + seconds:
        for sink in sinks:
            sink.write(frame)
        rounds += 1
        await asyncio.sleep(0)
        while any(sink.backlog > AHEAD for sink in some):
            await asyncio.sleep(0.002)
    return {"frames": rounds * len(sinks)}
