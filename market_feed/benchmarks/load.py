"""Ticks for a benchmark, sent with next to no work.

The packets are made beforehand and written to a plain socket, so that on a small machine what is measured
is the consumer. No more than `window` ticks are ahead of it: a broker whose queue is bounded drops none.
"""

import json
import socket
import struct
import threading
from collections.abc import Callable, Sequence
from datetime import datetime, timedelta
from random import Random

from market_feed.link import BrokerAddress

CHUNK = 100
PUBLISH_QOS_1 = 0x32


def tick_payloads(
    stock_ids: Sequence[str], count: int, start: datetime, *, availability: int, seed: int = 1
) -> list[bytes]:
    """Ticks around 100, a millisecond apart, in the order of time."""
    rng = Random(seed)
    return [
        json.dumps(
            {
                "stock_id": (stock_id := rng.choice(stock_ids)),
                "name": stock_id,
                "price": round(100 + rng.gauss(0, 1), 2),
                "availability": availability,
                "timestamp": str((start + timedelta(milliseconds=number)).replace(tzinfo=None)),
            }
        ).encode()
        for number in range(count)
    ]


class Load(threading.Thread):
    """Publishes payloads on a topic, `window` ahead of what `applied()` says is done."""

    def __init__(
        self, url: str, topic: str, payloads: Sequence[bytes], applied: Callable[[], int], window: int
    ) -> None:
        super().__init__(name="load", daemon=True)
        self.error: Exception | None = None
        self._applied = applied
        self._window = window
        self._packets = [
            b"".join(
                _publish(topic, payload, number)
                for number, payload in enumerate(payloads[at : at + CHUNK], at)
            )
            for at in range(0, len(payloads), CHUNK)
        ]
        self._stream = _connected(BrokerAddress.parse(url), f"load-{topic.split('/')[1]}")
        self._stopping = threading.Event()

    def stop(self) -> None:
        self._stopping.set()
        self.join(5)

    def run(self) -> None:
        try:
            with self._stream as stream:
                for number, packets in enumerate(self._packets):
                    while number * CHUNK + CHUNK - self._applied() > self._window:
                        if self._stopping.wait(0.001):
                            return
                    stream.sendall(packets)
                    _take_acknowledgements(stream)
                while not self._stopping.wait(0.05):
                    _take_acknowledgements(stream)
        except OSError as error:
            self.error = error


def _connected(address: BrokerAddress, client_id: str) -> socket.socket:
    stream = socket.create_connection((address.host, address.port), timeout=5)
    stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    fields = [client_id] + [text for text in (address.username, address.password) if text]
    flags = 0x02 | (0x80 if address.username else 0) | (0x40 if address.password else 0)
    body = _text("MQTT") + bytes([4, flags]) + struct.pack(">H", 0) + b"".join(map(_text, fields))
    stream.sendall(bytes([0x10]) + _length(len(body)) + body)
    if stream.recv(4)[3:] != b"\x00":
        raise ConnectionError("the broker refuses the load's connection")
    return stream


def _take_acknowledgements(stream: socket.socket) -> None:
    stream.setblocking(False)
    try:
        while stream.recv(65_536):
            pass
    except BlockingIOError:
        pass
    finally:
        stream.setblocking(True)


def _publish(topic: str, payload: bytes, number: int) -> bytes:
    body = _text(topic) + struct.pack(">H", number % 65_000 + 1) + payload
    return bytes([PUBLISH_QOS_1]) + _length(len(body)) + body


def _text(text: str) -> bytes:
    encoded = text.encode()
    return struct.pack(">H", len(encoded)) + encoded


def _length(count: int) -> bytes:
    out = bytearray()
    while True:
        count, low = divmod(count, 128)
        out.append(low | (0x80 if count else 0))
        if not count:
            return bytes(out)
