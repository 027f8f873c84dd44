"""Sends a source's ticks to the broker at the pace of their times, faster, or as fast as it goes."""

import threading
import time
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

from market_feed.link import Message
from market_feed.sources.ticks import SourceTick, tick_message

# Ticks handed over together when nothing has to wait.
MAX_CHUNK = 100
DELIVERY_TIMEOUT_S = 60.0


class Outlet(Protocol):
    """What the feeder needs of the link to the broker."""

    def publish(self, messages: Sequence[Message]) -> None: ...
    def wait_until_delivered(self, timeout_s: float | None = None) -> bool: ...


@dataclass(frozen=True, slots=True)
class FeedReport:
    """What was sent, in how long, and whether the broker acknowledged all of it."""

    sent: int
    seconds: float
    is_delivered: bool

    @property
    def rate(self) -> float:
        return self.sent / self.seconds if self.seconds else 0.0


def feed(
    ticks: Iterable[SourceTick],
    outlet: Outlet,
    *,
    topic: str,
    stop: threading.Event,
    speed: float = 1.0,
    restamp_to: datetime | None = None,
    duration_s: float | None = None,
    on_sent: Callable[[int], object] = lambda _: None,
    clock: Callable[[], float] = time.monotonic,
) -> FeedReport:
    """Send ticks until there are no more, or `stop`, or `duration_s` is over.

    `speed` 1 keeps the times between ticks, 10 takes a tenth of them, 0 does not wait. `restamp_to`
    moves all times so that the first tick is then.
    """
    started = clock()
    chunk: list[Message] = []
    sent = 0
    first: datetime | None = None
    shift: timedelta | None = None

    def hand_over() -> None:
        nonlocal sent
        if chunk:
            outlet.publish(chunk)
            sent += len(chunk)
            on_sent(len(chunk))
            chunk.clear()

    for tick in ticks:
        if first is None:
            first = tick.timestamp
            shift = restamp_to - first if restamp_to is not None else None
        if speed:
            due = started + (tick.timestamp - first).total_seconds() / speed
            if (wait_s := due - clock()) > 0:
                hand_over()
                stop.wait(wait_s if duration_s is None else min(wait_s, started + duration_s - clock()))
        if stop.is_set() or (duration_s is not None and clock() - started >= duration_s):
            break
        chunk.append(tick_message(tick, topic, shift))
        if len(chunk) >= MAX_CHUNK:
            hand_over()
    hand_over()
    is_delivered = outlet.wait_until_delivered(DELIVERY_TIMEOUT_S)
    return FeedReport(sent, clock() - started, is_delivered)
