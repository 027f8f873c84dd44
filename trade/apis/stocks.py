"""A stock with its newest trades; and what staff change of it, its market opened and halted included."""

from drf_spectacular.utils import extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from stocks.apis import STOCK_ID
from stocks.models import Stock
from stocks.selectors import find_stock, stock_page
from stocks.serializers import StockChangeInput, StockOut, render_stock, render_stock_page
from stocks.services import update_stock
from trade.apis.rendering import render_stock_fill
from trade.apis.schemas import MarketStockOut
from trade.engine import get_engine
from trade.selectors.fills import newest_fills_of_stock
from users.inputs import RangeQuery, date_range, validated
from users.permissions import StaffWrites

RECENT_TRANSACTIONS = 5


class MarketStockChangeInput(StockChangeInput):
    """PATCH stocks/<stock_id>/"""

    status = serializers.ChoiceField(Stock.Status.choices, required=False)


class MarketStockView(APIView):
    """One stock."""

    permission_classes = [StaffWrites]

    @extend_schema(
        operation_id="stocks_retrieve",
        summary="Look at a stock",
        description=(
            "With its newest ticks and transactions. All of it is over the range when one is given; a range "
            "without ticks reads null. A transaction's `user` is told to that user and to staff."
        ),
        parameters=[STOCK_ID, RangeQuery],
        responses=MarketStockOut,
    )
    def get(self, request: Request, stock_id: str) -> Response:
        from_date, to_date = date_range(request.query_params)
        page = stock_page(stock_id, from_date=from_date, to_date=to_date)
        fills = newest_fills_of_stock(
            stock_id, limit=RECENT_TRANSACTIONS, from_date=from_date, to_date=to_date
        )
        viewer = request.user
        transactions = [
            render_stock_fill(fill, viewer_id=viewer.pk, sees_all=viewer.is_staff) for fill in fills
        ]
        return Response({**render_stock_page(page), "transactions": transactions})

    @extend_schema(
        operation_id="stocks_update",
        summary="Change, halt or open a stock (staff)",
        description=(
            "A halted stock takes cancels only. A new rule or fee holds for new orders; those in the book stay. "
            "Null takes a bound away."
        ),
        parameters=[STOCK_ID],
        request=MarketStockChangeInput,
        responses=StockOut,
    )
    def patch(self, request: Request, stock_id: str) -> Response:
        find_stock(stock_id)
        changes = validated(MarketStockChangeInput, request.data)
        status = changes.pop("status", None)
        if changes:
            update_stock(stock_id=stock_id, **changes)
        if status == Stock.Status.HALTED:
            get_engine().halt(stock_id)
        elif status == Stock.Status.OPEN:
            get_engine().resume(stock_id)
        return Response(render_stock(find_stock(stock_id)))
