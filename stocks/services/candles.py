"""Candles: what ticks and trades did in each minute, hour and day, kept as they arrive.

A batch is summed up in memory and merged into the stored rows by one statement. What comes late corrects
the candle of its own time: `opened_at` and `closed_at` say whether it replaces the open or the close. Of
two at one time the one with the lower sequence opens and the other closes.
"""

from collections.abc import Iterable
from copy import copy
from datetime import UTC, datetime, timedelta
from typing import NamedTuple

from stocks.models import Candle
from users.rows import Row, upsert_rows

EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
MINUTE = timedelta(minutes=1)


class Print(NamedTuple):
    """One price of a stock, at its time: a tick, or a trade of `volume` shares. The price is in units."""

    sequence: int
    price: int
    timestamp: datetime
    volume: int = 0

    @property
    def is_tick(self) -> bool:
        """A trade is never of nothing."""
        return not self.volume


class _Bucket:
    """What some prints did in one interval."""

    __slots__ = (
        *("open", "high", "low", "close", "opened_at", "closed_at"),
        *("volume", "tick_high", "tick_low", "price_sum", "ticks"),
    )

    tick_high: int | None
    tick_low: int | None

    def __init__(self, first: Print) -> None:
        self.open = self.high = self.low = self.close = first.price
        self.opened_at = self.closed_at = first.timestamp
        self.volume = first.volume
        self.tick_high = self.tick_low = first.price if first.is_tick else None
        self.price_sum, self.ticks = (first.price, 1) if first.is_tick else (0, 0)

    def add(self, one: Print) -> None:
        """Take in a print with a higher sequence."""
        _, price, timestamp, volume = one
        self.high = max(self.high, price)
        self.low = min(self.low, price)
        if timestamp < self.opened_at:
            self.open, self.opened_at = price, timestamp
        if timestamp >= self.closed_at:
            self.close, self.closed_at = price, timestamp
        if volume:
            self.volume += volume
            return
        self.ticks += 1
        self.price_sum += price
        self.tick_high = max(price, self.tick_high or price)
        self.tick_low = min(price, self.tick_low or price)

    def merge(self, other: "_Bucket") -> None:
        """Take in a bucket of another time."""
        self.high = max(self.high, other.high)
        self.low = min(self.low, other.low)
        self.volume += other.volume
        self.price_sum += other.price_sum
        self.ticks += other.ticks
        if other.opened_at < self.opened_at:
            self.open, self.opened_at = other.open, other.opened_at
        if other.closed_at > self.closed_at:
            self.close, self.closed_at = other.close, other.closed_at
        if other.tick_high is not None and other.tick_low is not None:
            self.tick_high = max(other.tick_high, self.tick_high or other.tick_high)
            self.tick_low = min(other.tick_low, self.tick_low or other.tick_low)


_CANDLE_COLUMNS = ("stock_id", "interval", "start", *_Bucket.__slots__)


def _on_candle_conflict() -> str:
    def better(column: str, condition: str) -> str:
        return (
            f'"{column}" = CASE WHEN {condition} THEN excluded."{column}" ELSE stocks_candle."{column}" END'
        )

    def added(column: str) -> str:
        return f'"{column}" = stocks_candle."{column}" + excluded."{column}"'

    earlier = "excluded.opened_at < stocks_candle.opened_at"
    later = "excluded.closed_at >= stocks_candle.closed_at"
    assignments = [
        better("high", "excluded.high > stocks_candle.high"),
        better("low", "excluded.low < stocks_candle.low"),
        better("open", earlier),
        better("opened_at", earlier),
        better("close", later),
        better("closed_at", later),
        # A NULL on the stored side gives way; one on the other side makes the condition NULL, so it stays.
        better(
            "tick_high", "stocks_candle.tick_high IS NULL OR excluded.tick_high > stocks_candle.tick_high"
        ),
        better("tick_low", "stocks_candle.tick_low IS NULL OR excluded.tick_low < stocks_candle.tick_low"),
        *map(added, ("volume", "price_sum", "ticks")),
    ]
    return f'ON CONFLICT (stock_id, "interval", "start") DO UPDATE SET {", ".join(assignments)}'


_ON_CANDLE_CONFLICT = _on_candle_conflict()


def merge_candles(stock_id: str, prints: Iterable[Print]) -> None:
    """Take prints of one stock into its candles. They come in the order of their sequences."""
    minutes: dict[int, _Bucket] = {}
    for one in prints:
        start = (one.timestamp - EPOCH) // MINUTE * 60
        if (minute := minutes.get(start)) is None:
            minutes[start] = _Bucket(one)
        else:
            minute.add(one)
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
    values = (getattr(bucket, name) for name in _Bucket.__slots__)
    return (stock_id, interval, EPOCH + timedelta(seconds=start), *values)
