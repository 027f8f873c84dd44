"""Candles: what ticks did in each minute, hour and day, kept as they arrive.

A batch is summed up in memory and merged into the stored rows by one statement. A late tick corrects
the candle of its own time: `opened_at` and `closed_at` say whether it replaces the open or the close.
"""

from collections.abc import Iterable
from copy import copy
from datetime import UTC, datetime, timedelta
from typing import Protocol

from stocks.models import Candle
from users.rows import Row, upsert_rows

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


class PricedAt(Protocol):
    """What a candle needs to know of a tick. The price is in units."""

    @property
    def price(self) -> int: ...
    @property
    def timestamp(self) -> datetime: ...


class _Bucket:
    """What some ticks did in one interval."""

    __slots__ = ("close", "closed_at", "high", "low", "open", "opened_at", "price_sum", "ticks")

    def __init__(self, price: int, timestamp: datetime) -> None:
        self.open = self.high = self.low = self.close = self.price_sum = price
        self.opened_at = self.closed_at = timestamp
        self.ticks = 1

    def add(self, price: int, timestamp: datetime) -> None:
        self.high = max(self.high, price)
        self.low = min(self.low, price)
        self.price_sum += price
        self.ticks += 1
        if timestamp < self.opened_at:
            self.open, self.opened_at = price, timestamp
        if timestamp >= self.closed_at:
            self.close, self.closed_at = price, timestamp

    def merge(self, later: "_Bucket") -> None:
        """Take in a bucket of the same interval whose ticks came after these."""
        self.high = max(self.high, later.high)
        self.low = min(self.low, later.low)
        self.price_sum += later.price_sum
        self.ticks += later.ticks
        if later.opened_at < self.opened_at:
            self.open, self.opened_at = later.open, later.opened_at
        if later.closed_at >= self.closed_at:
            self.close, self.closed_at = later.close, later.closed_at


_CANDLE_COLUMNS = (
    "stock_id",
    "interval",
    "start",
    "open",
    "high",
    "low",
    "close",
    "price_sum",
    "ticks",
    "opened_at",
    "closed_at",
)


def _on_candle_conflict() -> str:
    def better(column: str, condition: str) -> str:
        return (
            f'"{column}" = CASE WHEN {condition} THEN excluded."{column}" ELSE stocks_candle."{column}" END'
        )

    earlier = "excluded.opened_at < stocks_candle.opened_at"
    later = "excluded.closed_at >= stocks_candle.closed_at"
    assignments = [
        better("high", "excluded.high > stocks_candle.high"),
        better("low", "excluded.low < stocks_candle.low"),
        better("open", earlier),
        better("opened_at", earlier),
        better("close", later),
        better("closed_at", later),
        "price_sum = stocks_candle.price_sum + excluded.price_sum",
        "ticks = stocks_candle.ticks + excluded.ticks",
    ]
    return f'ON CONFLICT (stock_id, "interval", "start") DO UPDATE SET {", ".join(assignments)}'


_ON_CANDLE_CONFLICT = _on_candle_conflict()


def merge_candles(stock_id: str, ticks: Iterable[PricedAt]) -> None:
    """Take ticks of one stock into its candles."""
    minutes: dict[int, _Bucket] = {}
    for tick in ticks:
        start = (tick.timestamp - EPOCH) // MINUTE * 60
        if (bucket := minutes.get(start)) is None:
            minutes[start] = _Bucket(tick.price, tick.timestamp)
        else:
            bucket.add(tick.price, tick.timestamp)
    rows: list[Row] = []
    for interval in Candle.Interval.values:
        buckets: dict[int, _Bucket] = {}
        for start, minute in minutes.items():
            longer = start // interval * interval
            if longer in buckets:
                buckets[longer].merge(minute)
            else:
                buckets[longer] = copy(minute)
        rows += [_candle_row(stock_id, interval, start, buckets[start]) for start in sorted(buckets)]
    upsert_rows(Candle, _CANDLE_COLUMNS, rows, _ON_CANDLE_CONFLICT)


def _candle_row(stock_id: str, interval: int, start: int, bucket: _Bucket) -> Row:
    return (
        stock_id,
        interval,
        EPOCH + timedelta(seconds=start),
        bucket.open,
        bucket.high,
        bucket.low,
        bucket.close,
        bucket.price_sum,
        bucket.ticks,
        bucket.opened_at,
        bucket.closed_at,
    )
