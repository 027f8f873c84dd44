"""Brings the news of this process to the hubs: its own, and over the channel layer those of the others.

Receives `batch_committed` in the engine's threads, so it never waits: a batch goes into the hub's inbox and
into a bounded queue. A thread with an event loop of its own takes from that queue, so that a process
without a web server can send as well. What is lost here is healed by the hubs.
"""

import asyncio
import logging
import os
import threading
from collections import deque
from contextlib import suppress
from typing import Any

from channels.layers import get_channel_layer

from market_feed.streams.hub import hubs
from market_feed.streams.news import GROUP, crosses_processes, message_of
from trade.signals import CommittedBatch, batch_committed

logger = logging.getLogger(__name__)

MAX_QUEUE = 5_000
# Batches in one message.
MAX_MESSAGE = 100
SEND_TIMEOUT_S = 5.0
RETRY_S = 1.0


class Broadcaster:
    """Sends batches to the other processes from a thread of its own, started by the first batch."""

    def __init__(self) -> None:
        self.dropped = 0
        self._is_cut_off = False
        self._queue: deque[CommittedBatch] = deque(maxlen=MAX_QUEUE)
        self._lock = threading.Lock()
        self._thread: threading.Thread | None = None
        self._pid = 0
        self._loop: asyncio.AbstractEventLoop | None = None
        self._wake: asyncio.Event | None = None

    def send(self, batch: CommittedBatch) -> None:
        """Queue a batch; the oldest one is forgotten when the queue is full."""
        with self._lock:
            self.dropped += len(self._queue) == MAX_QUEUE
            self._queue.append(batch)
            if self._thread is None or self._pid != os.getpid():
                self._start()
            elif self._loop is not None and self._wake is not None:
                with suppress(RuntimeError):
                    self._loop.call_soon_threadsafe(self._wake.set)

    def stop(self) -> None:
        """End the thread; what is still queued is dropped."""
        with self._lock:
            thread, self._thread = self._thread, None
            loop, wake = self._loop, self._wake
        if thread is not None and loop is not None and wake is not None:
            loop.call_soon_threadsafe(wake.set)
            thread.join(timeout=SEND_TIMEOUT_S)

    def _start(self) -> None:
        # After a fork the thread is in the other process.
        self._pid, self._loop, self._wake = os.getpid(), None, None
        self._thread = threading.Thread(target=self._run, name="broadcaster", daemon=True)
        self._thread.start()

    def _run(self) -> None:
        asyncio.run(self._send_for_ever())

    async def _send_for_ever(self) -> None:
        wake = asyncio.Event()
        with self._lock:
            self._loop, self._wake = asyncio.get_running_loop(), wake
        while self._thread is threading.current_thread():
            if not await self._send_next():
                await wake.wait()
            wake.clear()

    async def _send_next(self) -> bool:
        """Send what is queued as one message; False when there was nothing."""
        with self._lock:
            batches = [self._queue.popleft() for _ in range(min(len(self._queue), MAX_MESSAGE))]
        if not batches:
            return False
        try:
            async with asyncio.timeout(SEND_TIMEOUT_S):
                await get_channel_layer().group_send(GROUP, message_of(batches))
        except Exception as error:
            if not self._is_cut_off:
                logger.warning("News of the market does not reach other processes: %s", error)
            self._is_cut_off = True
            await asyncio.sleep(RETRY_S)
        else:
            if self._is_cut_off:
                logger.warning("News of the market reaches other processes again.")
            self._is_cut_off = False
        return True


broadcaster = Broadcaster()


def on_batch_committed(*, batch: CommittedBatch, **_: Any) -> None:
    for hub in hubs():
        hub.hand_over(batch)
    if crosses_processes():
        broadcaster.send(batch)


def connect() -> None:
    batch_committed.connect(on_batch_committed, dispatch_uid="market_feed.streams")
