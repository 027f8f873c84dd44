"""A stock's past over a chosen range, to look at and to take along as CSV."""

import json
from collections.abc import Mapping
from typing import Any
from urllib.parse import urlencode

from django.conf import settings
from django.http import Http404, HttpRequest, HttpResponse, StreamingHttpResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe
from rest_framework import serializers
from rest_framework.exceptions import ValidationError
from rest_framework.serializers import as_serializer_error

from pages.csv_files import MAX_ROWS, candle_rows, csv_response, tick_rows
from pages.rendering import render_page
from pages.selectors import watched_stocks
from stocks.models import Stock
from stocks.selectors import StockPage, find_stock, stock_page, ticks_of
from stocks.services.ticks import UnknownStock
from trade.apis.candles import render_candle
from trade.selectors.candles import DEFAULT_INTERVAL, INTERVALS, CandlePage, CandleRow, candle_page
from users.fields import from_units
from users.inputs import RangeQuery, json_time, validated

MAX_CANDLES = 300
MAX_TICKS = 100
REFRESH_S = 10


class HistoryQuery(RangeQuery):
    """?from_date= &to_date= &interval="""

    interval = serializers.ChoiceField(list(INTERVALS), default=DEFAULT_INTERVAL)


@never_cache
@require_safe
def stocks(request: HttpRequest) -> HttpResponse:
    """All stocks, each with the way to its history."""
    context = {"stocks": watched_stocks(timezone.now()), "refresh_s": REFRESH_S}
    return render_page(request, "pages/reports/stocks.html", context)


@never_cache
@require_safe
def history(request: HttpRequest, stock_id: str) -> HttpResponse:
    """One stock. A range that makes no sense is said at its field, and the newest is shown."""
    stock = _stock(stock_id)
    query, errors = _query(request)
    from_date, to_date = query.get("from_date"), query.get("to_date")
    candles = candle_page(
        stock_id, query["interval"], from_date=from_date, to_date=to_date, limit=MAX_CANDLES
    )
    context = {
        **_shown(stock_page(stock_id, from_date=from_date, to_date=to_date), candles),
        "ticks": ticks_of(stock_id, from_date=from_date, to_date=to_date)[:MAX_TICKS],
        "interval": query["interval"],
        "intervals": INTERVALS,
        "errors": errors,
        "dates": {name: request.GET.get(name, "")[:10] for name in ("from_date", "to_date")},
        "range": urlencode(_bounds(query)),
        "is_newest": from_date is None,
        "decimals": decimals_of(stock),
        "market_collar_bps": int(settings.MARKET_ORDER_COLLAR * 10_000),
        "max_rows": MAX_ROWS,
        "max_ticks": MAX_TICKS,
        # What is over does not change.
        "refresh_s": 0 if errors or to_date else REFRESH_S,
    }
    return render_page(request, "pages/reports/history.html", context, status=400 if errors else 200)


@never_cache
@require_safe
def ticks_csv(request: HttpRequest, stock_id: str) -> HttpResponse | StreamingHttpResponse:
    """Every tick of the range, oldest first."""
    stock = _stock(stock_id)
    query, errors = _query(request)
    if errors:
        return _refused(errors)
    rows = tick_rows(stock, query.get("from_date"), query.get("to_date"))
    return csv_response(request, rows, name=f"{stock_id}-ticks{_range_text(query)}")


@never_cache
@require_safe
def candles_csv(request: HttpRequest, stock_id: str) -> HttpResponse | StreamingHttpResponse:
    """Every candle of the range, oldest first."""
    stock = _stock(stock_id)
    query, errors = _query(request)
    if errors:
        return _refused(errors)
    rows = candle_rows(stock, query["interval"], query.get("from_date"), query.get("to_date"))
    return csv_response(request, rows, name=f"{stock_id}-{query['interval']}{_range_text(query)}")


def decimals_of(stock: Stock) -> int:
    """How many places the stock's prices have: two, or as many as its increment."""
    places = f"{stock.price_increment:.4f}".rstrip("0").partition(".")[2]
    return max(2, len(places))


def _stock(stock_id: str) -> Stock:
    try:
        return find_stock(stock_id)
    except UnknownStock as unknown:
        raise Http404(unknown.detail) from None


def _query(request: HttpRequest) -> tuple[dict[str, Any], dict[str, str]]:
    """What was asked for, or the newest of all, and what was wrong with it by field."""
    known = HistoryQuery().fields
    asked = {name: value for name, value in request.GET.items() if name in known and value != ""}
    try:
        return validated(HistoryQuery, asked), {}
    except ValidationError as error:
        by_field: Mapping[str, list[Any]] = as_serializer_error(error)
        errors = {name: " ".join(map(str, details)) for name, details in by_field.items()}
        return {"interval": DEFAULT_INTERVAL}, errors


def _shown(page: StockPage, candles: CandlePage) -> dict[str, Any]:
    return {
        "stock": page.stock,
        "figures": page.figures,
        "candles": [_priced(candle) for candle in reversed(candles.candles)],
        "bars": json.dumps([_bar(candle) for candle in candles.candles]),
        "volume": sum(candle.volume for candle in candles.candles),
        "has_more": candles.has_more,
    }


def _priced(candle: CandleRow) -> dict[str, Any]:
    """A candle with its prices in the currency."""
    prices = {name: from_units(getattr(candle, name)) for name in ("open", "high", "low", "close")}
    return {**candle._asdict(), **prices}


def _bar(candle: CandleRow) -> list[Any]:
    shown = render_candle(candle)
    names = ("open", "high", "low", "close", "volume")
    return [json_time(candle.start), *(shown[name] for name in names)]


def _bounds(query: Mapping[str, Any]) -> dict[str, str]:
    """The range as the links to CSV repeat it."""
    return {name: json_time(query[name]) for name in ("from_date", "to_date") if name in query}


def _range_text(query: Mapping[str, Any]) -> str:
    """The range as a part of a file's name, by the day."""
    days = {name: f"{query[name]:%Y-%m-%d}" for name in ("from_date", "to_date") if name in query}
    since = f"-from-{days['from_date']}" if "from_date" in days else ""
    until = f"-to-{days['to_date']}" if "to_date" in days else ""
    return since + until


def _refused(errors: Mapping[str, str]) -> HttpResponse:
    text = "".join(f"{name}: {detail}\n" for name, detail in errors.items())
    return HttpResponse(text, status=400, content_type="text/plain; charset=utf-8")
