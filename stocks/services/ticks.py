"""The stock row under lock, and what a batch of ticks leaves behind.

Whoever holds a stock's row lock is matching that stock: sequences are taken under it. Prices are units.
"""

from collections.abc import Collection, Iterable
from dataclasses import dataclass
from datetime import datetime

from stocks.models import Stock, Tick
from stocks.services.candles import Print, merge_candles
from users.exceptions import Refusal
from users.rows import (
    fetch_rows,
    insert_rows,
    lock_clause,
    marks,
    read_time,
    stored_time,
    update_rows,
)


class UnknownStock(Refusal):
    """There is no stock of that id."""

    code = "unknown_stock"
    status = 404
    field = "stock_id"


@dataclass(frozen=True, slots=True)
class FeedTick:
    """One price update from the feed, decoded and checked. `timestamp` is aware."""

    stock_id: str
    price: int
    availability: int
    timestamp: datetime
    name: str = ""


TickIdentity = tuple[datetime, int, int]
# Times looked up in one statement: SQLite takes only so many parameters.
MAX_TIMES = 5_000
_COLUMNS = (
    "sequence",
    "trade_sequence",
    "tick_sequence",
    "status",
    "last_price",
    "last_tick_at",
    "quote_price",
    "quote_sequence",
    "quote_availability",
    "quote_ask_quantity",
    "quote_bid_quantity",
    "highest_price",
    "lowest_price",
    "tick_price_sum",
    "tick_count",
)


@dataclass(slots=True)
class LockedStock:
    """A stock's row, locked by this transaction. Fields as in `stocks.models.Stock`."""

    stock_id: str
    sequence: int
    trade_sequence: int
    tick_sequence: int
    status: str
    last_price: int | None
    last_tick_at: datetime | None
    quote_price: int | None
    quote_sequence: int
    quote_availability: int
    quote_ask_quantity: int
    quote_bid_quantity: int
    highest_price: int | None
    lowest_price: int | None
    tick_price_sum: int
    tick_count: int

    @property
    def is_halted(self) -> bool:
        return self.status == Stock.Status.HALTED

    def count_tick(self, price: int, timestamp: datetime) -> None:
        """Take one stored tick into the running figures."""
        self.highest_price = price if self.highest_price is None else max(self.highest_price, price)
        self.lowest_price = price if self.lowest_price is None else min(self.lowest_price, price)
        self.tick_price_sum += price
        self.tick_count += 1
        if self.last_tick_at is None or timestamp > self.last_tick_at:
            self.last_tick_at = timestamp


@dataclass(frozen=True, slots=True)
class StoredTick:
    """A tick as it goes into the table."""

    sequence: int
    price: int
    availability: int
    timestamp: datetime
    is_late: bool


def lock_stock(stock_id: str) -> LockedStock:
    """The stock's row, locked until the transaction ends. UnknownStock when there is none."""
    rows = fetch_rows(
        f"SELECT {', '.join(_COLUMNS)} FROM stocks_stock WHERE stock_id = %s {lock_clause()}", [stock_id]
    )
    if not rows:
        raise UnknownStock(f"there is no stock {stock_id}")
    stock = LockedStock(stock_id, *rows[0])
    stock.last_tick_at = read_time(stock.last_tick_at)
    return stock


def write_stock(stock: LockedStock) -> None:
    """Store what a locked stock has become."""
    row = (stock.stock_id, *(getattr(stock, column) for column in _COLUMNS))
    update_rows(Stock, ["stock_id"], _COLUMNS, [row])


def stored_identities(stock: LockedStock, ticks: Collection[FeedTick]) -> set[TickIdentity]:
    """Which of `ticks` are in the table already. Asks only for those that are not newer than all of it."""
    newest = stock.last_tick_at
    if newest is None:
        return set()
    times = sorted({tick.timestamp for tick in ticks if tick.timestamp <= newest})
    identities = set()
    for start in range(0, len(times), MAX_TIMES):
        part = times[start : start + MAX_TIMES]
        rows = fetch_rows(
            f'SELECT "timestamp", price, availability FROM stocks_tick WHERE stock_id = %s '
            f'AND "timestamp" IN ({marks(len(part))})',
            [stock.stock_id, *map(stored_time, part)],
        )
        for timestamp, price, availability in rows:
            read = read_time(timestamp)
            assert read is not None
            identities.add((read, price, availability))
    return identities


def store_prices(stock_id: str, ticks: Collection[StoredTick], trades: Iterable[Print] = ()) -> None:
    """Insert ticks, and take them and the prices of `trades` into the candles."""
    insert_rows(
        Tick,
        ["stock_id", "sequence", "price", "availability", "timestamp", "is_late"],
        [
            (stock_id, tick.sequence, tick.price, tick.availability, tick.timestamp, tick.is_late)
            for tick in ticks
        ],
    )
    prints = [Print(tick.sequence, tick.price, tick.timestamp) for tick in ticks]
    merge_candles(stock_id, sorted([*prints, *trades]))
