"""Requests over connections that stay open, from a process of its own, with next to no work for each.

The requests are made beforehand; an answer's head is read for its length, and its body checked. Imports no Django:
the process that runs it starts at once.
"""

import asyncio
import json
import time
from collections.abc import Callable
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from itertools import cycle
from multiprocessing import get_context

WARM_UP_S = 0.3


@dataclass(frozen=True, slots=True)
class Load:
    """What to send: each of `streams` is one connection's requests, sent in turn, over and over.

    With a `rate`, so many a second over all connections, at set times; without, each as soon as it can be.
    Every answer must have status 201 and a JSON object with these `fields`.
    """

    port: int
    streams: list[list[bytes]]
    seconds: float
    rate: float = 0.0
    fields: frozenset[str] = frozenset()


@dataclass(slots=True)
class Outcome:
    """`latencies_s` of the answers in the measured time, and the share of a processor that sending took."""

    latencies_s: list[float] = field(default_factory=list)
    seconds: float = 0.0
    busy: float = 0.0
    wrong: list[str] = field(default_factory=list)

    @property
    def rate(self) -> float:
        return len(self.latencies_s) / self.seconds if self.seconds else 0.0

    def percentile_ms(self, share: float) -> float:
        ordered = sorted(self.latencies_s)
        return 1_000 * ordered[min(len(ordered) - 1, int(share * len(ordered)))]


class Sender:
    """Runs loads in a process of its own. Close it, or use it with `with`."""

    def __init__(self) -> None:
        self._pool = ProcessPoolExecutor(1, mp_context=get_context("spawn"))

    def __enter__(self) -> "Sender":
        return self

    def __exit__(self, *_: object) -> None:
        self._pool.shutdown()

    def send(self, load: Load) -> Outcome:
        """AssertionError with the first wrong answers, when there are any."""
        outcome = self._pool.submit(drive, load).result()
        assert not outcome.wrong, outcome.wrong[:3]
        return outcome


def drive(load: Load) -> Outcome:
    return asyncio.run(_drive(load))


async def _drive(load: Load) -> Outcome:
    loop = asyncio.get_running_loop()
    outcome = Outcome()
    connections = []
    for number, stream in enumerate(load.streams):
        period = len(load.streams) / load.rate if load.rate else 0.0
        make = _maker(load, stream, outcome, period, number / len(load.streams) * period)
        _, connection = await loop.create_connection(make, "127.0.0.1", load.port)
        connections.append(connection)
    started = loop.time()
    for connection in connections:
        connection.begin(started)
    await asyncio.sleep(WARM_UP_S)
    outcome.latencies_s.clear()
    begun, busy = time.perf_counter(), time.process_time()
    await asyncio.sleep(load.seconds)
    outcome.seconds = time.perf_counter() - begun
    outcome.busy = (time.process_time() - busy) / outcome.seconds
    await asyncio.gather(*(connection.end() for connection in connections))
    return outcome


def _maker(
    load: Load, stream: list[bytes], outcome: Outcome, period: float, phase: float
) -> "Callable[[], _Connection]":
    return lambda: _Connection(load, stream, outcome, period, phase)


class _Connection(asyncio.Protocol):
    """One request under way at a time. A late one counts from when it should have been sent."""

    def __init__(
        self, load: Load, stream: list[bytes], outcome: Outcome, period: float, phase: float
    ) -> None:
        self._requests = cycle(stream)
        self._fields = load.fields
        self._outcome = outcome
        self._period = period
        self._due = phase
        self._buffer = b""
        self._loop = asyncio.get_running_loop()
        self._is_over = False
        self._idle = asyncio.Event()
        self._idle.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def begin(self, started: float) -> None:
        self._due += started
        self._next()

    async def end(self) -> None:
        """No further request; wait for the answer to the last."""
        self._is_over = True
        await asyncio.wait_for(self._idle.wait(), 30)
        self._transport.close()

    def _next(self) -> None:
        if self._is_over:
            return
        now = self._loop.time()
        if not self._period:
            self._due = now
        elif self._due > now:
            self._loop.call_at(self._due, self._send)
            return
        self._send()

    def _send(self) -> None:
        if not self._is_over:
            self._idle.clear()
            self._transport.write(next(self._requests))

    def data_received(self, data: bytes) -> None:
        self._buffer += data
        head, found, body = self._buffer.partition(b"\r\n\r\n")
        if not found or len(body) < _length(head):
            return
        self._buffer = b""
        self._outcome.latencies_s.append(self._loop.time() - self._due)
        self._check(head, body)
        self._due += self._period
        self._idle.set()
        self._next()

    def _check(self, head: bytes, body: bytes) -> None:
        if not head.startswith(b"HTTP/1.1 201") or not self._fields <= json.loads(body).keys():
            self._outcome.wrong.append(f"{head[:60]!r} {body[:300]!r}")
            self._is_over = True

    def connection_lost(self, error: Exception | None) -> None:
        if not self._is_over:
            self._outcome.wrong.append(f"connection lost: {error}")
        self._idle.set()


def _length(head: bytes) -> int:
    lower = head.lower()
    at = lower.index(b"content-length:") + len(b"content-length:")
    return int(lower[at:].split(b"\r\n", 1)[0])


def post(path: str, body: bytes, token: str) -> bytes:
    """A POST of JSON, as bytes for the wire."""
    head = (
        f"POST {path} HTTP/1.1\r\nHost: 127.0.0.1\r\nAuthorization: Token {token}\r\n"
        f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\nAccept: */*\r\n\r\n"
    )
    return head.encode() + body
