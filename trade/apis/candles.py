"""Candles, for charts."""

from datetime import timedelta
from typing import Any

import orjson
from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.utils.urls import replace_query_param
from rest_framework.views import APIView

from stocks.apis import STOCK_ID
from stocks.selectors import find_stock
from trade.selectors.candles import DEFAULT_INTERVAL, INTERVALS, CandlePage, CandleRow, candle_page
from users.inputs import QuantityField, RangeQuery, json_time, json_units, validated
from users.permissions import StaffWrites

DEFAULT_CANDLES = 500
MAX_CANDLES = 5_000


class CandleQuery(RangeQuery):
    """GET stocks/<stock_id>/candles/"""

    interval = serializers.ChoiceField(list(INTERVALS), default=DEFAULT_INTERVAL)
    page_size = QuantityField(
        limit=MAX_CANDLES, default=DEFAULT_CANDLES, help_text=f"How many at once, at most {MAX_CANDLES}."
    )


class CandleOut(serializers.Serializer):
    time = serializers.DateTimeField(help_text="Its beginning, in UTC.")
    open = serializers.FloatField(help_text="Of ticks and trades, as high, low and close are.")
    high = serializers.FloatField()
    low = serializers.FloatField()
    close = serializers.FloatField()
    volume = serializers.IntegerField(help_text="Shares traded, in the book and with the outside market.")
    ticks = serializers.IntegerField(help_text="0: there were trades only.")


class CandlesOut(serializers.Serializer):
    next = serializers.URLField(allow_null=True, help_text="With from_date: the candles after these.")
    previous = serializers.URLField(allow_null=True, help_text="Without: the candles before these.")
    results = CandleOut(many=True)


class CandlesView(APIView):
    """A stock's candles."""

    permission_classes = [StaffWrites]

    @extend_schema(
        operation_id="stocks_candles",
        summary="List candles",
        description=(
            "Oldest first, as a chart draws them. With `from_date` from there on, and `next` leads on to the end of "
            "the range; without it the newest ones (up to `to_date`), and `previous` leads back. A candle is in the "
            "range when its `time` is. Intervals in which nothing happened have none. The newest candle still "
            "changes, and a late tick may correct an older one."
        ),
        parameters=[STOCK_ID, CandleQuery],
        responses=CandlesOut,
    )
    def get(self, request: Request, stock_id: str) -> HttpResponse:
        query = validated(CandleQuery, request.query_params)
        stock = find_stock(stock_id)
        page = candle_page(
            stock.pk,
            query["interval"],
            from_date=query.get("from_date"),
            to_date=query.get("to_date"),
            limit=query["page_size"],
        )
        is_forward = "from_date" in query
        link = (
            _link(request.build_absolute_uri(), page, query["interval"], is_forward)
            if page.has_more
            else None
        )
        body = {
            "next": link if is_forward else None,
            "previous": None if is_forward else link,
            "results": [render_candle(candle) for candle in page.candles],
        }
        return HttpResponse(orjson.dumps(body, option=orjson.OPT_UTC_Z), content_type="application/json")


def render_candle(candle: CandleRow) -> dict[str, Any]:
    """The fields of API.md; `time` is left a datetime, which orjson writes."""
    start, opened, high, low, close, volume, ticks = candle
    return {
        "time": start,
        "open": json_units(opened),
        "high": json_units(high),
        "low": json_units(low),
        "close": json_units(close),
        "volume": volume,
        "ticks": ticks,
    }


def _link(url: str, page: CandlePage, interval: str, is_forward: bool) -> str:
    """Where the range goes on: time is the cursor, so that it stays right however many candles come."""
    step = timedelta(seconds=INTERVALS[interval])
    if is_forward:
        return replace_query_param(url, "from_date", json_time(page.candles[-1].start + step))
    return replace_query_param(url, "to_date", json_time(page.candles[0].start - step))
