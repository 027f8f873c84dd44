"""Candles of every interval over any range: minutes, hours and days as they are stored, the others made of parts.

5m and 15m are made of minutes, 1s of the ticks and trades themselves: a candle a second would be another row
for nearly every tick, and nobody looks at seconds of last year. Whatever the range, a page reads at most some
ten thousand rows. Prices are units.
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from operator import itemgetter
from typing import Any, NamedTuple

from stocks.models import Candle
from users.rows import Row, fetch_rows, read_time, stored_time

# Seconds of each interval there is, by its name.
INTERVALS = {"1s": 1, "1m": 60, "5m": 300, "15m": 900, "1h": 3_600, "1d": 86_400}
DEFAULT_INTERVAL = "1m"
# Rows that a page of candles made of parts reads, unless a single candle has more.
MAX_PARTS = 10_000
# How many are read at first for a candle of a second.
PRINTS_PER_SECOND = 2

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# On a day, and with room for one behind it.
_END = datetime(9999, 12, 30, tzinfo=UTC)
_COLUMNS = '"start", open, high, low, close, volume, ticks'
_STORED = frozenset(Candle.Interval.values)


class CandleRow(NamedTuple):
    """What ticks and trades did in the interval that begins at `start`; `volume` in shares."""

    start: datetime
    open: int
    high: int
    low: int
    close: int
    volume: int
    ticks: int


class CandlePage(NamedTuple):
    """Candles, oldest first; whether the range has more of them on the side that was not reached."""

    candles: list[CandleRow]
    has_more: bool


class _Window(NamedTuple):
    """Starts of candles: `first` <= start < `end`, each None where it is open. Read from which end?"""

    interval: timedelta
    first: datetime | None
    end: datetime | None
    forward: bool

    @property
    def direction(self) -> str:
        return "ASC" if self.forward else "DESC"


def candle_page(
    stock_id: str,
    interval: str,
    *,
    from_date: datetime | None = None,
    to_date: datetime | None = None,
    limit: int,
) -> CandlePage:
    """Up to `limit` candles whose starts lie in an inclusive range: its first ones, or without `from_date` its last.

    A page may be shorter than `limit` and yet have more: when its candles have very many parts.
    """
    seconds = INTERVALS[interval]
    window = _window(seconds, from_date, to_date)
    if seconds in _STORED:
        candles = _stored(stock_id, seconds, window, limit + 1)
        has_more = False
    else:
        candles, has_more = _made(stock_id, seconds, window, limit + 1)
    has_more = has_more or len(candles) > limit
    candles = candles[:limit]
    return CandlePage(candles if window.forward else candles[::-1], has_more)


def start_of(moment: datetime, interval: str) -> datetime:
    """The start of the candle that a moment belongs to."""
    return _floor(moment, timedelta(seconds=INTERVALS[interval]))


def _window(seconds: int, from_date: datetime | None, to_date: datetime | None) -> _Window:
    interval = timedelta(seconds=seconds)
    first = None if from_date is None else _ceil(min(from_date, _END), interval)
    end = None if to_date is None else _floor(min(to_date, _END), interval) + interval
    return _Window(interval, first, end, from_date is not None)


def _floor(moment: datetime, interval: timedelta) -> datetime:
    return moment - (moment - _EPOCH) % interval


def _ceil(moment: datetime, interval: timedelta) -> datetime:
    return moment + (_EPOCH - moment) % interval


# --- As they are stored -----------------------------------------------------------------------------------


def _stored(stock_id: str, seconds: int, window: _Window, limit: int) -> list[CandleRow]:
    rows = _stored_rows(stock_id, seconds, window, limit)
    return [CandleRow(_aware(start), *figures) for start, *figures in rows]


def _stored_rows(stock_id: str, seconds: int, window: _Window, limit: int) -> list[Row]:
    """Rows as of `CandleRow`, in the order in which the window is read; times as the driver gives them."""
    condition, parameters = _condition(window, '"start"')
    return fetch_rows(
        f'SELECT {_COLUMNS} FROM stocks_candle WHERE stock_id = %s AND "interval" = %s {condition} '
        f'ORDER BY "start" {window.direction} LIMIT %s',
        [stock_id, seconds, *parameters, limit],
    )


def _condition(window: _Window, column: str) -> tuple[str, list[object]]:
    """What a WHERE says about `column`, and its parameters."""
    sql, parameters = "", []
    for operator, moment in ((">=", window.first), ("<", window.end)):
        if moment is not None:
            sql += f" AND {column} {operator} %s"
            parameters.append(stored_time(moment))
    return sql, parameters


def _aware(value: datetime) -> datetime:
    moment = read_time(value)
    assert moment is not None
    return moment


# --- Made of parts ----------------------------------------------------------------------------------------


def _made(stock_id: str, seconds: int, window: _Window, limit: int) -> CandlePage:
    """Candles made of minutes or of single prices, in the order in which the window is read."""
    max_parts = min(MAX_PARTS, limit * (PRINTS_PER_SECOND if seconds == 1 else seconds // 60))
    while True:
        read = _prints if seconds == 1 else _minutes
        parts, is_cut = read(stock_id, window, max_parts)
        candles = _joined(parts if window.forward else parts[::-1], window.interval)
        if not window.forward:
            candles.reverse()
        if not is_cut:
            return CandlePage(candles, False)
        # There may be more of the last one.
        candles = candles[:-1]
        if len(candles) >= limit or (candles and max_parts >= MAX_PARTS):
            return CandlePage(candles, True)
        max_parts *= 2


def _joined(parts: Iterable[Row], interval: timedelta) -> list[CandleRow]:
    """The candles of parts in the order of time. Parts are many: each is looked at once."""
    candles: list[list[Any]] = []
    end: Any = None
    for moment, opened, high, low, close, volume, ticks in parts:
        if end is None or moment >= end:
            known = _aware(moment)
            start = _floor(known, interval)
            end = moment + (start + interval - known)
            candle = [start, opened, high, low, close, volume, ticks]
            candles.append(candle)
            continue
        if high > candle[2]:
            candle[2] = high
        if low < candle[3]:
            candle[3] = low
        candle[4] = close
        candle[5] += volume
        candle[6] += ticks
    return [CandleRow(*candle) for candle in candles]


def _minutes(stock_id: str, window: _Window, limit: int) -> tuple[list[Row], bool]:
    """Up to `limit` minutes of the window, and whether there are more."""
    rows = _stored_rows(stock_id, Candle.Interval.MINUTE.value, window, limit + 1)
    return rows[:limit], len(rows) > limit


def _prints(stock_id: str, window: _Window, limit: int) -> tuple[list[Row], bool]:
    """Ticks and trades of the window as candles of a moment each, up to where both are complete."""
    sources = [
        _prints_of(stock_id, "stocks_tick", '"timestamp"', "0, 1", window, limit + 1),
        _prints_of(stock_id, "trade_trade", "executed_at", "quantity, 0", window, limit + 1),
    ]
    reach = [rows[-1][0] for rows in sources if len(rows) > limit]
    rows = sorted([row for rows in sources for row in rows], key=itemgetter(0, 1), reverse=not window.forward)
    if reach:
        until = min(reach) if window.forward else max(reach)
        rows = [row for row in rows if (row[0] <= until if window.forward else row[0] >= until)]
    prints = [(moment, price, price, price, price, volume, ticks) for moment, _, price, volume, ticks in rows]
    return prints, bool(reach)


def _prints_of(
    stock_id: str, table: str, column: str, volume_and_ticks: str, window: _Window, limit: int
) -> list[Row]:
    condition, parameters = _condition(window, column)
    return fetch_rows(
        f"SELECT {column}, sequence, price, {volume_and_ticks} FROM {table} WHERE stock_id = %s {condition} "
        f"ORDER BY {column} {window.direction}, sequence {window.direction} LIMIT %s",
        [stock_id, *parameters, limit],
    )
