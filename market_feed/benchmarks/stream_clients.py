"""A process full of clients that listen, and count what they hear and how late.

    python -m market_feed.benchmarks.stream_clients

A frame is the same bytes for everybody, so it is parsed once for all sockets. Lateness is from the time that the
message carries (of a trade its commit, of the first when there are several; of a book its sending) to its receipt.
"""

import asyncio
import time
from collections import Counter
from dataclasses import dataclass, field
from datetime import datetime
from functools import partial
from typing import Any

import orjson

from market_feed.benchmarks.children import Answer, serve
from market_feed.benchmarks.frame_protocol import FrameProtocol

# Connections that are opened at a time.
AT_ONCE = 50
MAX_PARSED = 256


@dataclass(slots=True)
class Heard:
    """Of one kind of message, since the last report. `late_ms`: how many frames were so late."""

    frames: int = 0
    size: int = 0
    first_at: float = 0.0
    last_at: float = 0.0
    late_ms: Counter[int] = field(default_factory=Counter)

    def as_dict(self) -> dict[str, Any]:
        return {
            "frames": self.frames,
            "size": self.size,
            "first_at": self.first_at,
            "last_at": self.last_at,
            "late_ms": list(self.late_ms.items()),
        }


@dataclass(slots=True)
class Tape:
    """The trades that one socket has got: enough to tell one that is missing, twice there or out of turn."""

    count: int = 0
    total: int = 0
    squares: int = 0
    last: int = 0
    is_in_order: bool = True


class Audience:
    """All sockets of this process."""

    def __init__(self) -> None:
        self.heard: dict[str, Heard] = {}
        self.clients: list[FrameProtocol] = []
        self.tapes: list[Tape] = []
        self._parsed: dict[bytes, tuple[str, float, tuple[int, ...]]] = {}

    async def connect(self, host: str, port: int, paths: dict[str, int]) -> None:
        wanted = [path for path, count in paths.items() for _ in range(count)]
        for start in range(0, len(wanted), AT_ONCE):
            await asyncio.gather(*(self._open(host, port, path) for path in wanted[start : start + AT_ONCE]))

    async def _open(self, host: str, port: int, path: str) -> None:
        tape = Tape()
        _, client = await asyncio.get_running_loop().create_connection(
            lambda: FrameProtocol(f"{host}:{port}", path, partial(self._take, tape)), host, port
        )
        self.clients.append(client)
        if "/trades/" in path:
            self.tapes.append(tape)
        await client.opened

    def report(self) -> Answer:
        """What was heard since the last report, and all trades so far."""
        heard, self.heard = self.heard, {}
        tapes = {(tape.count, tape.total, tape.squares, tape.is_in_order) for tape in self.tapes}
        return {
            "heard": {kind: one.as_dict() for kind, one in heard.items()},
            "tapes": sorted(tapes),
            "lost": sum(client.is_lost for client in self.clients),
        }

    def _take(self, tape: Tape, payload: bytes) -> None:
        now = time.time()
        parsed = self._parsed.get(payload)
        if parsed is None:
            parsed = self._parse(payload)
        kind, sent_at, sequences = parsed
        heard = self.heard.get(kind)
        if heard is None:
            heard = self.heard[kind] = Heard(first_at=now)
        heard.frames += 1
        heard.size += len(payload)
        heard.last_at = now
        if sent_at:
            heard.late_ms[int((now - sent_at) * 1000)] += 1
        for sequence in sequences:
            tape.is_in_order &= sequence > tape.last
            tape.count += 1
            tape.total += sequence
            tape.squares += sequence * sequence
            tape.last = sequence

    def _parse(self, payload: bytes) -> tuple[str, float, tuple[int, ...]]:
        message = orjson.loads(payload)
        kind, text, sequences = message["type"], message.get("timestamp"), ()
        if kind == "trades":
            text = message["trades"][0]["execution_timestamp"]
            sequences = tuple(trade["sequence"] for trade in message["trades"])
        sent_at = datetime.fromisoformat(text).timestamp() if text else 0.0
        if len(self._parsed) >= MAX_PARSED:
            self._parsed.clear()
        parsed = self._parsed[payload] = (kind, sent_at, sequences)
        return parsed


async def main() -> None:
    audience, loop = Audience(), asyncio.get_running_loop()

    def in_loop(work: Any) -> Answer:
        return asyncio.run_coroutine_threadsafe(work, loop).result()

    def connect(host: str, port: int, paths: dict[str, int]) -> Answer:
        in_loop(audience.connect(host, port, paths))
        return {"clients": len(audience.clients)}

    async def report() -> Answer:
        return audience.report()

    await asyncio.to_thread(serve, {"connect": connect, "report": lambda: in_loop(report())})


if __name__ == "__main__":
    asyncio.run(main())
