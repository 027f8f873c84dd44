"""What the tests of the streams share: a market in memory, sinks that remember, and made-up batches."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from typing import Any

import orjson

from market_feed.streams.books import Book
from market_feed.streams.frames import Frame, PublicTrade, public_trades
from market_feed.streams.hub import Hub
from market_feed.streams.sockets import Socket
from market_feed.streams.stored import PrivateEvent, StockPosition, StoredCandles
from market_feed.streams.ticks import PublicTick, public_tick
from stocks.services.ticks import StoredTick
from trade.selectors.candles import CandleRow
from trade.signals import BookLevel, BookSnapshot, ChangedOrder, CommittedBatch, CommittedTrade

NOON = datetime(2026, 1, 5, 12, 0, 0, 250_000, tzinfo=UTC)


def trade(sequence: int, **fields: Any) -> CommittedTrade:
    return CommittedTrade(
        **{
            "trade_id": 1_000 + sequence,
            "sequence": sequence,
            "price": 1_005_000,
            "quantity": 10,
            "bid_order_id": "0123456789abcdef0123456789abcdef",
            "ask_order_id": None,
            "buyer_id": 1,
            "seller_id": None,
            "source": "feed",
            **fields,
        }
    )


def tick(sequence: int, **fields: Any) -> StoredTick:
    """A tick a second after that of the sequence before."""
    at = NOON + timedelta(seconds=sequence)
    return StoredTick(
        **{"sequence": sequence, "price": 200_000, "availability": 5, "timestamp": at, "is_late": False}
        | fields
    )


def book(*prices: int) -> BookSnapshot:
    """Bids at these prices (whole units of currency), ten shares each; no asks."""
    return BookSnapshot(tuple(BookLevel(price * 10_000, 10, 1) for price in prices), ())


def batch(
    sequences: list[int],
    *,
    previous: int,
    stock_id: str = "ACME",
    end: int | None = None,
    levels: BookSnapshot | None = None,
    orders: tuple[ChangedOrder, ...] = (),
    last_price: int | None = 1_005_000,
    ticks: Sequence[StoredTick] = (),
    previous_tick: int = 0,
) -> CommittedBatch:
    """A batch of trades with these sequences, ending at `end` (default: the last of them)."""
    last = sequences[-1] if sequences else previous
    end = end or last
    return CommittedBatch(
        stock_id=stock_id,
        first_sequence=sequences[0] if sequences else end,
        sequence=end,
        previous_trade_sequence=previous,
        trade_sequence=last,
        previous_tick_sequence=previous_tick,
        tick_sequence=ticks[-1].sequence if ticks else previous_tick,
        trades=tuple(trade(sequence) for sequence in sequences),
        ticks=tuple(ticks),
        orders=orders,
        book=levels or BookSnapshot((), ()),
        last_price=last_price,
        committed_at=NOON,
    )


class RecordingSink:
    """Keeps what was written. `backlog` is what its reader has not taken: tests set it."""

    def __init__(self) -> None:
        self.backlog = 0
        self.frames: list[Frame] = []
        self.close_code: int | None = None

    def write(self, *frames: Frame) -> None:
        self.frames += frames

    def close(self, code: int, reason: str) -> None:
        self.close_code = code

    def messages(self, kind: str | None = None) -> list[dict[str, Any]]:
        messages = [orjson.loads(frame.payload) for frame in self.frames]
        return [message for message in messages if kind in (None, message["type"])]

    def sequences(self) -> list[int]:
        """Of all trades received, in the order in which they came."""
        return [one["sequence"] for message in self.messages("trades") for one in message["trades"]]


@dataclass
class MemoryMarket:
    """Stands in for the database: commits are made by hand, with or without news of them."""

    stocks: dict[str, list[PublicTrade]] = field(default_factory=dict)
    books: dict[str, Book] = field(default_factory=dict)
    prices: dict[str, int] = field(default_factory=dict)
    ticks: dict[str, list[PublicTick]] = field(default_factory=dict)
    # Those of any interval.
    stored_candles: dict[str, list[CandleRow]] = field(default_factory=dict)
    # Events of users: (user id, sequence).
    events: list[tuple[int, int]] = field(default_factory=list)
    reads: list[str] = field(default_factory=list)
    # Held shut, it keeps the query for private events from being answered.
    gate: threading.Event = field(default_factory=threading.Event)
    failure: Exception | None = None

    def list_stock(self, stock_id: str) -> None:
        self.stocks[stock_id] = []
        self.ticks[stock_id] = []
        self.books[stock_id] = Book(0, (), (), 500)

    def commit(self, one: CommittedBatch) -> CommittedBatch:
        self.stocks[one.stock_id] += public_trades(one)
        self.ticks[one.stock_id] += [public_tick(tick) for tick in one.ticks]
        self.books[one.stock_id] = Book(one.sequence, one.book.bids, one.book.asks, 500)
        if one.last_price is not None:
            self.prices[one.stock_id] = one.last_price
        return one

    def positions(self) -> list[StockPosition]:
        self._read("positions")
        return [
            StockPosition(
                stock_id,
                self.books[stock_id].sequence,
                trades[-1].sequence if trades else 0,
                self._newest_tick(stock_id),
                self.prices.get(stock_id),
            )
            for stock_id, trades in self.stocks.items()
        ]

    def book(self, stock_id: str, depth: int) -> Book:
        self._read("book")
        stored = self.books[stock_id]
        return Book(stored.sequence, stored.bids[:depth], stored.asks[:depth], depth)

    def trades_between(self, stock_id: str, since: int, until: int | None, limit: int) -> list[PublicTrade]:
        self._read("trades")
        wanted = [
            one
            for one in self.stocks[stock_id]
            if since < one.sequence and (until is None or one.sequence <= until)
        ]
        return wanted[:limit]

    def ticks_between(self, stock_id: str, since: int, until: int | None, limit: int) -> list[PublicTick]:
        self._read("ticks")
        ticks = self.ticks[stock_id]
        wanted = [one for one in ticks if since < one.sequence and (until is None or one.sequence <= until)]
        return wanted[:limit]

    def candles(
        self, stock_id: str, interval: str, since: datetime | None, until: datetime | None
    ) -> StoredCandles:
        self._read("candles")
        trades = self.stocks[stock_id]
        sequence = max(trades[-1].sequence if trades else 0, self._newest_tick(stock_id))
        candles = sorted(self.stored_candles.get(stock_id, []))
        if since is None:
            return StoredCandles(sequence, candles[-1:], False)
        wanted = [one for one in candles if since <= one.start and (until is None or one.start <= until)]
        return StoredCandles(sequence, wanted, False)

    def private_events(
        self, stock_id: str, user_ids: Sequence[int], since: int, until: int | None, limit: int
    ) -> tuple[list[PrivateEvent], int]:
        self._read("private")
        self.gate.wait(3)
        until = self.books[stock_id].sequence if until is None else until
        wanted = [one for one in self.events if one[0] in user_ids and since < one[1] <= until]
        return [
            (user_id, sequence, {"type": "order", "sequence": sequence})
            for user_id, sequence in wanted[:limit]
        ], wanted[limit - 1][1] if len(wanted) >= limit else until

    def _newest_tick(self, stock_id: str) -> int:
        return max((tick.sequence for tick in self.ticks[stock_id]), default=0)

    def _read(self, what: str) -> None:
        self.reads.append(what)
        if self.failure is not None:
            raise self.failure


async def join_trades(hub: Hub, *stock_ids: str) -> RecordingSink:
    sink = RecordingSink()
    await hub.trades.join(Socket(sink), stock_ids or None)
    return sink


async def until(condition: Callable[[], Any], timeout_s: float = 3.0) -> None:
    """Wait until something holds; fails the test when it does not in time."""
    deadline = asyncio.get_running_loop().time() + timeout_s
    while not condition():
        if asyncio.get_running_loop().time() > deadline:
            raise AssertionError("it did not come to hold in time")
        await asyncio.sleep(0.005)


def with_hub(
    test: Callable[[Any, Hub, MemoryMarket], Awaitable[None]],
) -> Callable[[Any], Awaitable[None]]:
    """Give an async test a hub on a market in memory with two stocks, and stop it afterwards."""

    async def wrapped(self: Any) -> None:
        market = MemoryMarket()
        market.gate.set()
        for stock_id in ("ACME", "BOLT"):
            market.list_stock(stock_id)
        hub = Hub(market)
        try:
            await test(self, hub, market)
        finally:
            await hub.stop()

    wrapped.__name__ = test.__name__
    return wrapped
