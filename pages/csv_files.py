"""CSV downloads: written piece by piece, bounded, and harmless to a spreadsheet."""

import csv
import io
from collections.abc import AsyncIterator, Iterable, Iterator
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import islice

from asgiref.sync import sync_to_async
from django.core.handlers.asgi import ASGIRequest
from django.db.models import Q
from django.http import HttpRequest, StreamingHttpResponse

from stocks.models import Stock, Tick
from trade.selectors.candles import INTERVALS, candle_page
from users.fields import from_units
from users.inputs import json_time

Cell = str | int | Decimal
Row = Iterable[Cell]

MAX_ROWS = 100_000
# Rows that are read by one query, and sent together.
PIECE = 2_000
# A spreadsheet takes text that begins so for a formula, and runs it.
FORMULA_STARTS = ("=", "+", "-", "@", "\t", "\r", "\n")

_BEGINNING = datetime(1970, 1, 1, tzinfo=UTC)


def csv_response(request: HttpRequest, rows: Iterator[Row], *, name: str) -> StreamingHttpResponse:
    """The first row and `MAX_ROWS` more, as a file to save. `name` is made of letters, digits, dots and dashes."""
    pieces = _pieces(rows)
    # Under ASGI an ordinary iterator would be read to its end before anything is sent.
    content = _asynchronously(pieces) if isinstance(request, ASGIRequest) else pieces
    return StreamingHttpResponse(
        content,
        content_type="text/csv; charset=utf-8",
        headers={"Content-Disposition": f'attachment; filename="{name}.csv"'},
    )


def defused(cell: Cell) -> Cell:
    """Text that a spreadsheet would take for a formula, with an apostrophe before it; all else as it is."""
    return f"'{cell}" if isinstance(cell, str) and cell.startswith(FORMULA_STARTS) else cell


def tick_rows(stock: Stock, from_date: datetime | None, to_date: datetime | None) -> Iterator[Row]:
    """A header, and the ticks of an inclusive range in the order of time."""
    yield ("stock_id", "name", "time", "price", "availability", "late")
    ticks = Tick.objects.filter(stock=stock).order_by("timestamp", "id")
    if from_date is not None:
        ticks = ticks.filter(timestamp__gte=from_date)
    if to_date is not None:
        ticks = ticks.filter(timestamp__lte=to_date)
    piece = list(ticks[:PIECE])
    while piece:
        for tick in piece:
            late = "yes" if tick.is_late else "no"
            yield (
                stock.pk,
                stock.name,
                json_time(tick.timestamp),
                tick.price,
                tick.availability,
                late,
            )
        last = piece[-1]
        later = Q(timestamp__gt=last.timestamp) | Q(timestamp=last.timestamp, id__gt=last.pk)
        piece = list(ticks.filter(later, timestamp__gte=last.timestamp)[:PIECE])


def candle_rows(
    stock: Stock, interval: str, from_date: datetime | None, to_date: datetime | None
) -> Iterator[Row]:
    """A header, and the candles of an inclusive range in the order of time."""
    yield ("stock_id", "name", "time", "open", "high", "low", "close", "volume", "ticks")
    step = timedelta(seconds=INTERVALS[interval])
    begin = from_date or _BEGINNING
    while True:
        page = candle_page(stock.pk, interval, from_date=begin, to_date=to_date, limit=PIECE)
        for candle in page.candles:
            prices = (from_units(price) for price in candle[1:5])
            yield (stock.pk, stock.name, json_time(candle.start), *prices, candle.volume, candle.ticks)
        if not page.has_more:
            return
        begin = page.candles[-1].start + step


def _pieces(rows: Iterator[Row]) -> Iterator[bytes]:
    left = MAX_ROWS + 1
    while left > 0 and (piece := list(islice(rows, min(PIECE, left)))):
        left -= len(piece)
        text = io.StringIO()
        csv.writer(text).writerows([defused(cell) for cell in row] for row in piece)
        yield text.getvalue().encode()


async def _asynchronously(pieces: Iterator[bytes]) -> AsyncIterator[bytes]:
    next_piece = sync_to_async(lambda: next(pieces, None))
    while (piece := await next_piece()) is not None:
        yield piece
