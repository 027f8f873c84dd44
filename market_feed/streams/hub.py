"""The hub: one per event loop, started by its first connection, ended with the loop.

It brings every batch to its desks (`trades`, `ticks`, `candles`, `books`, `prices`, `private`), and once a
second, while anybody listens, compares what they know with the stock rows: one query, whatever the number of stocks.
"""

import asyncio
import logging
import threading
from collections import deque
from collections.abc import Callable, Coroutine, Iterable
from contextlib import suppress
from typing import Any, TypeVar
from weakref import WeakKeyDictionary

from channels.layers import get_channel_layer
from django.db import Error as DatabaseError

from market_feed.streams.admission import Admission
from market_feed.streams.books import BookDesk
from market_feed.streams.candles import CandleDesk
from market_feed.streams.news import GROUP, crosses_processes, decode_batches, this_process
from market_feed.streams.prices import PriceDesk
from market_feed.streams.private import PrivateDesk
from market_feed.streams.sockets import Socket
from market_feed.streams.stored import StockPosition, StoredMarket
from market_feed.streams.ticks import TickDesk
from market_feed.streams.trades import TradeDesk
from trade.engine.database_threads import DatabaseThreads
from trade.signals import CommittedBatch

logger = logging.getLogger(__name__)

COMPARE_INTERVAL_S = 1.0
LAYER_RETRY_S = 2.0
# Batches handed over and not yet taken. Beyond that they are dropped here and read from the database.
MAX_INBOX = 10_000
GOING_AWAY = 1001
# Those in which a hub reads.
DATABASE_THREADS = 3

T = TypeVar("T")
_hubs: WeakKeyDictionary[asyncio.AbstractEventLoop, "Hub"] = WeakKeyDictionary()


class UnknownStock(Exception):
    """There is no stock with this id."""


class Hub:
    def __init__(self, market: Any = None) -> None:
        self.loop = asyncio.get_running_loop()
        self.market = market or StoredMarket()
        self.sockets: set[Socket] = set()
        self.stock_ids: set[str] = set()
        self.trades = TradeDesk(self)
        self.ticks = TickDesk(self)
        self.candles = CandleDesk(self)
        self.books = BookDesk(self)
        self.prices = PriceDesk(self)
        self.private = PrivateDesk(self)
        self._desks = (self.trades, self.ticks, self.candles, self.books, self.prices, self.private)
        self.admission = Admission(self)
        self._database = DatabaseThreads(DATABASE_THREADS, "streams")
        self._inbox: deque[CommittedBatch] = deque()
        self._inbox_lock = threading.Lock()
        # Whether the loop has been told of what is in the inbox.
        self._awake = False
        self._tasks: set[asyncio.Task[Any]] = set()
        self._refreshing = asyncio.Lock()
        self._started = False

    # --- from any thread ---

    def hand_over(self, batch: CommittedBatch) -> None:
        """Take a batch from another thread, without waiting."""
        with self._inbox_lock:
            if len(self._inbox) < MAX_INBOX:
                self._inbox.append(batch)
            if self._awake:
                return
            self._awake = True
        # The loop may have been closed: then nobody listens.
        with suppress(RuntimeError):
            self.loop.call_soon_threadsafe(self._take_inbox)

    # --- from the event loop ---

    async def resolve(self, stock_ids: Iterable[str] | None) -> list[str]:
        """These stocks, or all there are, with up-to-date positions. Raises UnknownStock."""
        if not self._started:
            self._started = True
            self.spawn(self._compare_every_second())
            if crosses_processes():
                self.spawn(self._listen())
        if not self.sockets:
            # Nobody listened until now, so nothing was compared.
            await self.refresh()
        if stock_ids is None:
            return list(self.stock_ids)
        wanted = list(dict.fromkeys(stock_ids))
        if not self.stock_ids.issuperset(wanted):
            await self.refresh()
        for stock_id in wanted:
            if stock_id not in self.stock_ids:
                raise UnknownStock(stock_id)
        return wanted

    async def refresh(self) -> dict[str, StockPosition]:
        """Compare everything with the stock rows now; what they say."""
        async with self._refreshing:
            positions = await self.read(self.market.positions)
            for position in positions:
                self._know(position.stock_id)
                for desk in self._desks:
                    desk.compare(position)
            return {position.stock_id: position for position in positions}

    async def read(self, function: Callable[..., T], *args: Any) -> T:
        """The answer of a query, run in one of the hub's threads."""
        return await self._database.run(function, *args)

    def spawn(self, coroutine: Coroutine[Any, Any, T]) -> asyncio.Task[T]:
        """Run something beside; its failure is logged, and cured by the next comparison."""
        task = self.loop.create_task(coroutine)
        self._tasks.add(task)
        task.add_done_callback(self._done)
        return task

    def leave(self, socket: Socket) -> None:
        socket.closed = True
        self.sockets.discard(socket)
        self.admission.leave(socket)
        for desk in self._desks:
            desk.leave(socket)

    def close_sockets(self, reason: str) -> None:
        for socket in self.sockets:
            socket.close(GOING_AWAY, reason)

    async def stop(self) -> None:
        self.close_sockets("the server stops")
        _hubs.pop(self.loop, None)
        tasks = list(self._tasks)
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await asyncio.to_thread(self._database.close)

    def status(self) -> dict[str, int]:
        """Figures for health and metrics."""
        return {
            "sockets": len(self.sockets),
            "trade_frames": self.trades.frames,
            "book_frames": self.books.frames,
            "tick_frames": self.ticks.frames,
            "candle_frames": self.candles.frames,
            "price_frames": self.prices.frames,
            "private_frames": self.private.frames,
            "trades_healed": self.trades.healed,
        }

    # --- inside ---

    def _take_inbox(self) -> None:
        with self._inbox_lock:
            batches, self._inbox, self._awake = self._inbox, deque(), False
        for batch in batches:
            self._take(batch)

    def _take(self, batch: CommittedBatch) -> None:
        self._know(batch.stock_id)
        for desk in self._desks:
            desk.take(batch)

    def _know(self, stock_id: str) -> None:
        if stock_id not in self.stock_ids:
            self.stock_ids.add(stock_id)
            for desk in (self.trades, self.ticks, self.candles, self.books, self.private):
                desk.open(stock_id)

    async def _compare_every_second(self) -> None:
        while True:
            await asyncio.sleep(COMPARE_INTERVAL_S)
            if self.sockets:
                # It must not end: whatever fails now is tried again in a second.
                for work in (self.refresh, self.admission.look_again):
                    with suppress(Exception):
                        await self.spawn(work())

    async def _listen(self) -> None:
        """Take the batches of other processes from the channel layer, for ever."""
        while True:
            try:
                layer = get_channel_layer()
                channel = await layer.new_channel()
                await layer.group_add(GROUP, channel)
                while True:
                    self._take_message(await layer.receive(channel))
            except Exception as error:
                logger.warning("The channel layer cannot be heard, trying again: %s", error)
                await asyncio.sleep(LAYER_RETRY_S)

    def _take_message(self, message: dict[str, Any]) -> None:
        if message.get("from") == this_process():
            return
        try:
            batches = decode_batches(message["batches"])
        except (KeyError, TypeError, ValueError) as error:
            logger.warning("Unreadable news on the channel layer: %s", error)
            return
        for batch in batches:
            self._take(batch)

    def _done(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            trace = None if isinstance(error, DatabaseError) else error
            logger.warning("The streams could not read the market: %s", error, exc_info=trace)


def get_hub() -> Hub:
    """The hub of the running event loop."""
    loop = asyncio.get_running_loop()
    hub = _hubs.get(loop)
    if hub is None:
        hub = _hubs[loop] = Hub()
    return hub


def hubs() -> list[Hub]:
    """The hubs of this process. From any thread."""
    return list(_hubs.values())
