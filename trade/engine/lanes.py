"""Where commands wait: one lane for order entry, one for each stock.

A lane is worked on by one thread at a time, so what is in it happens in order. Lanes with work take turns.
Whatever waits in a lane is taken together, up to a bound: a batch forms by itself while the one before
it commits, and a lone command waits for nothing.
"""

import threading
from collections import deque
from typing import Any

from trade.services.refusals import EngineBusy

# Commands taken from a lane at once: enough to share a commit, few enough to answer soon.
MAX_BATCH = 500
# Commands waiting in one lane before callers are turned away.
MAX_WAITING = 20_000


class Lane:
    """A queue of commands: of a stock by its id, or, under no name, of order entry.

    All fields are guarded by the `Lanes` that own it.
    """

    __slots__ = ("is_taken", "name", "waiting")

    def __init__(self, name: str | None) -> None:
        self.name = name
        self.waiting: deque[Any] = deque()
        self.is_taken = False


class Lanes:
    """All lanes of an engine. Safe to use from any thread."""

    def __init__(self) -> None:
        self._lanes: dict[str | None, Lane] = {}
        self._ready: deque[Lane] = deque()
        self._changed = threading.Condition()
        self._closed = False

    def put(self, name: str | None, *commands: Any, takes_next: bool = False) -> None:
        """Queue commands. EngineBusy when the lane is full, and nothing is queued.

        A thread that `takes_next` asks for the next lane itself as soon as it is done with this.
        """
        with self._changed:
            lane = self._lanes.get(name)
            if lane is None:
                lane = self._lanes[name] = Lane(name)
            if self._closed or len(lane.waiting) + len(commands) > MAX_WAITING:
                raise EngineBusy("too many orders are waiting: try again in a moment")
            was_idle = not lane.waiting and not lane.is_taken
            lane.waiting.extend(commands)
            if was_idle:
                self._make_ready(lane, takes_next)

    def take(self, timeout_s: float) -> tuple[Lane, list[Any]] | None:
        """The next lane with work and its commands, or None when none came in time. Then call `release`."""
        with self._changed:
            if not self._ready:
                self._changed.wait(timeout_s)
            if not self._ready:
                return None
            lane = self._ready.popleft()
            lane.is_taken = True
            count = min(MAX_BATCH, len(lane.waiting))
            return lane, [lane.waiting.popleft() for _ in range(count)]

    def release(self, lane: Lane) -> None:
        """Let the lane be taken again. The thread that had it takes the next one."""
        with self._changed:
            lane.is_taken = False
            if lane.waiting:
                self._make_ready(lane, takes_next=True)

    def close(self) -> list[Any]:
        """Take no more commands; returns what is still waiting."""
        with self._changed:
            self._closed = True
            self._changed.notify_all()
            left = [command for lane in self._lanes.values() for command in lane.waiting]
            for lane in self._lanes.values():
                lane.waiting.clear()
            self._ready.clear()
            return left

    def _make_ready(self, lane: Lane, takes_next: bool) -> None:
        self._ready.append(lane)
        # To wake a thread for the only lane that is ready would make two of them fight for it.
        if not takes_next or len(self._ready) > 1:
            self._changed.notify()

    def waiting(self) -> dict[str | None, int]:
        """How many commands wait in each lane that has any."""
        with self._changed:
            return {name: len(lane.waiting) for name, lane in self._lanes.items() if lane.waiting}
