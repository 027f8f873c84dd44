"""An engine, a link and an outlet that remember what they were given and fail when told to."""

import json
from collections.abc import Sequence
from concurrent.futures import Future
from typing import Any

from market_feed.link import Message
from stocks.services import FeedTick
from trade.engine import TickReport


class FakeEngine:
    """Applies ticks at once, unless `manual`: then each batch waits for `commit`. `errors` come first."""

    def __init__(self, *, manual: bool = False) -> None:
        self.applied: list[FeedTick] = []
        self.batches: list[list[FeedTick]] = []
        self.errors: list[Exception] = []
        self.poison: set[str] = set()
        self._manual = manual
        self._waiting: list[tuple[Future[TickReport], list[FeedTick]]] = []

    def apply_ticks(self, ticks: Sequence[FeedTick]) -> "Future[TickReport]":
        self.batches.append(list(ticks))
        future: Future[TickReport] = Future()
        self._waiting.append((future, list(ticks)))
        if not self._manual:
            self.commit()
        return future

    def commit(self) -> None:
        """Let the batch that waits be committed, or fail."""
        future, ticks = self._waiting.pop(0)
        if self.errors:
            future.set_exception(self.errors.pop(0))
        elif any(tick.stock_id in self.poison for tick in ticks):
            future.set_exception(ValueError("this tick cannot be stored"))
        else:
            self.applied += ticks
            future.set_result(TickReport(stored=len(ticks)))


class FakeLink:
    """Remembers acknowledgements."""

    def __init__(self) -> None:
        self.acknowledged: list[tuple[int, int]] = []
        self.wakes = 0

    def acknowledge(self, generation: int, mids: Sequence[int]) -> None:
        self.acknowledged += [(generation, mid) for mid in mids]

    def wake(self) -> None:
        self.wakes += 1


class FakeOutlet:
    """A broker's door. `is_away`: it takes messages and never acknowledges them."""

    def __init__(self) -> None:
        self.messages: list[Message] = []
        self.is_away = False
        self.delivered = 0

    def publish(self, messages: Sequence[Message]) -> None:
        self.messages += messages

    def wait_until_delivered(self, timeout_s: float | None = None) -> bool:
        if not self.is_away:
            self.delivered = len(self.messages)
        return not self.is_away

    def on(self, topic: str) -> list[dict[str, Any]]:
        """The bodies published on a topic, oldest first."""
        return [json.loads(message.payload) for message in self.messages if message.topic == topic]
