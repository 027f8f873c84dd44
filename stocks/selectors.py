"""What is known of stocks: figures over any range of time, ticks, and who holds what.

All-time figures are columns of the stock's row. Over a range they add up from whole candles (days, then
hours and minutes towards the edges) and from the ticks of the two minutes the range cuts through: a few
hundred rows of three queries, however many ticks there are.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.db.models import Count, Max, Min, Q, QuerySet, Sum

from stocks.models import Candle, Holding, Stock, Tick
from stocks.services.ticks import UnknownStock
from users.fields import from_units, to_units

RECENT_TICKS = 5

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
# Both lie on a day: a range without a beginning or an end is whole days all the way.
_BEGINNING = datetime(1, 1, 1, tzinfo=UTC)
_END = datetime(9999, 12, 31, tzinfo=UTC)
_LONGEST_FIRST = (Candle.Interval.DAY, Candle.Interval.HOUR, Candle.Interval.MINUTE)


@dataclass(frozen=True, slots=True)
class Figures:
    """What a stock cost: its newest tick, and the extremes and the mean of all; None without ticks."""

    price: Decimal | None = None
    availability: int | None = None
    highest_price: Decimal | None = None
    lowest_price: Decimal | None = None
    average_price: Decimal | None = None


@dataclass(frozen=True, slots=True)
class StockPage:
    """A stock, its figures and its newest ticks, all of one range of time."""

    stock: Stock
    figures: Figures
    recent_ticks: list[Tick]


def find_stock(stock_id: str) -> Stock:
    """The stock. `UnknownStock` when there is none."""
    stock = Stock.objects.filter(pk=stock_id).first()
    if stock is None:
        raise UnknownStock(f"there is no stock {stock_id}")
    return stock


def stock_page(stock_id: str, *, from_date: datetime | None, to_date: datetime | None) -> StockPage:
    """The stock over a range (both ends inclusive; None is open), or of all time."""
    stock = find_stock(stock_id)
    recent = list(ticks_of(stock_id, from_date=from_date, to_date=to_date)[:RECENT_TICKS])
    if from_date is None and to_date is None:
        return StockPage(stock, all_time_figures(stock), recent)
    newest = recent[0] if recent else None
    return StockPage(stock, figures(stock_id, from_date=from_date, to_date=to_date, newest=newest), recent)


def all_time_figures(stock: Stock) -> Figures:
    """The running figures of a stock's row. The price is that of its newest tick or trade."""
    return Figures(
        price=stock.last_price,
        availability=None if stock.quote_price is None else stock.quote_availability,
        highest_price=stock.highest_price,
        lowest_price=stock.lowest_price,
        average_price=mean(stock.tick_price_sum, stock.tick_count),
    )


def figures(
    stock_id: str, *, from_date: datetime | None, to_date: datetime | None, newest: Tick | None
) -> Figures:
    """The figures of a range, whose newest tick the caller has."""
    if newest is None:
        return Figures()
    parts = [_sum_of_candles(stock_id, from_date, to_date), _sum_of_ticks(stock_id, from_date, to_date)]
    found = [part for part in parts if part["count"]]
    return Figures(
        price=newest.price,
        availability=newest.availability,
        highest_price=max(part["highest"] for part in found),
        lowest_price=min(part["lowest"] for part in found),
        average_price=mean(sum(part["total"] for part in found), sum(part["count"] for part in found)),
    )


def mean(total: Decimal, count: int) -> Decimal | None:
    """`total` per piece to four places, half to even; None of nothing."""
    if not count:
        return None
    units, rest = divmod(to_units(total), count)
    return from_units(units + (2 * rest > count or (2 * rest == count and units % 2 == 1)))


def ticks_of(stock_id: str, *, from_date: datetime | None, to_date: datetime | None) -> QuerySet[Tick]:
    """Stored ticks, newest first; both dates are inclusive."""
    ticks = Tick.objects.filter(stock_id=stock_id).order_by("-timestamp", "-id")
    if from_date is not None:
        ticks = ticks.filter(timestamp__gte=from_date)
    if to_date is not None:
        ticks = ticks.filter(timestamp__lte=to_date)
    return ticks


def listed_stocks() -> QuerySet[Stock]:
    """All stocks, by id."""
    return Stock.objects.order_by("stock_id")


def holdings_of(user_id: int) -> QuerySet[Holding]:
    """What a user holds, unsettled shares too, by stock, each with its stock."""
    held = Holding.objects.filter(Q(quantity__gt=0) | Q(unsettled__gt=0), user_id=user_id)
    return held.select_related("stock").order_by("stock_id")


# --- Ranges ---------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Piece:
    """From `start` up to, without, `end`: whole candles of one interval, or (None) single ticks."""

    interval: Candle.Interval | None
    start: datetime
    end: datetime


def pieces(from_date: datetime | None, to_date: datetime | None) -> list[Piece]:
    """What an inclusive range is made of, in order of time, without a gap or an overlap."""
    start = min(from_date or _BEGINNING, _END)
    end = min(to_date, _END - timedelta.resolution) + timedelta.resolution if to_date else _END
    return list(_covering(start, end, _LONGEST_FIRST))


def _covering(start: datetime, end: datetime, intervals: tuple[Candle.Interval, ...]) -> Iterator[Piece]:
    if start >= end:
        return
    if not intervals:
        yield Piece(None, start, end)
        return
    longest, *shorter = intervals
    first, last = _ceil(start, longest), _floor(end, longest)
    if first >= last:
        yield from _covering(start, end, tuple(shorter))
        return
    yield from _covering(start, first, tuple(shorter))
    yield Piece(longest, first, last)
    yield from _covering(last, end, tuple(shorter))


def _floor(moment: datetime, interval: Candle.Interval) -> datetime:
    return moment - (moment - _EPOCH) % timedelta(seconds=interval)


def _ceil(moment: datetime, interval: Candle.Interval) -> datetime:
    return moment + (_EPOCH - moment) % timedelta(seconds=interval)


def _sum_of_candles(stock_id: str, from_date: datetime | None, to_date: datetime | None) -> dict[str, Any]:
    conditions = [
        Q(stock_id=stock_id, interval=piece.interval, start__gte=piece.start, start__lt=piece.end)
        for piece in pieces(from_date, to_date)
        if piece.interval is not None
    ]
    return _summed(
        Candle.objects,
        conditions,
        {"high": "tick_high", "low": "tick_low", "total": "price_sum", "count": Sum("ticks")},
    )


def _sum_of_ticks(stock_id: str, from_date: datetime | None, to_date: datetime | None) -> dict[str, Any]:
    conditions = [
        Q(stock_id=stock_id, timestamp__gte=piece.start, timestamp__lt=piece.end)
        for piece in pieces(from_date, to_date)
        if piece.interval is None
    ]
    return _summed(
        Tick.objects, conditions, {"high": "price", "low": "price", "total": "price", "count": Count("pk")}
    )


def _summed(rows: Any, conditions: list[Q], columns: dict[str, Any]) -> dict[str, Any]:
    """High, low, total and count of the rows that meet any of `conditions`."""
    if not conditions:
        return {"count": 0}
    any_of = conditions[0]
    for condition in conditions[1:]:
        any_of |= condition
    return rows.filter(any_of).aggregate(
        highest=Max(columns["high"]),
        lowest=Min(columns["low"]),
        total=Sum(columns["total"]),
        count=columns["count"],
    )
