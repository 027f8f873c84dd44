"""Stocks for everybody, shares for their owners. Translation only: parse, one call, render.

One stock is shown and changed by trading (`trade.apis.stocks`), which knows its newest trades and halts it.
"""

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.permissions import IsAdminUser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from stocks.selectors import find_stock, holdings_of, listed_stocks, ticks_of
from stocks.serializers import (
    BalanceOut,
    GrantInput,
    HoldingOut,
    StockInput,
    StockOut,
    TickOut,
    render_balance,
    render_holding,
    render_stock,
    render_tick,
)
from stocks.services import grant_shares, list_stock
from users.apis import USER_ID, PagedView, viewer_of
from users.inputs import RangeQuery, date_range, validated
from users.pagination import TimeCursor
from users.permissions import StaffWrites
from users.selectors import account_of, visible_user

STOCK_ID = OpenApiParameter("stock_id", str, OpenApiParameter.PATH)


class StocksView(PagedView):
    """All stocks."""

    permission_classes = [StaffWrites]

    @extend_schema(
        operation_id="stocks_list",
        summary="List stocks",
        description="With their figures of all time, by stock_id.",
        responses=StockOut(many=True),
    )
    def get(self, request: Request) -> Response:
        return self.answer_page(listed_stocks(), render_stock)

    @extend_schema(
        operation_id="stocks_create",
        summary="List a new stock (staff)",
        request=StockInput,
        responses={201: StockOut},
    )
    def post(self, request: Request) -> Response:
        stock = list_stock(**validated(StockInput, request.data))
        return Response(render_stock(stock), status=status.HTTP_201_CREATED)


class TicksView(PagedView):
    """A stock's ticks."""

    permission_classes = [StaffWrites]
    pagination_class = TimeCursor

    @extend_schema(
        operation_id="stocks_ticks",
        summary="List ticks",
        description="Every stored tick, newest first. Follow `next` to the end of the history.",
        parameters=[STOCK_ID, RangeQuery],
        responses=TickOut(many=True),
    )
    def get(self, request: Request, stock_id: str) -> Response:
        from_date, to_date = date_range(request.query_params)
        stock = find_stock(stock_id)
        ticks = ticks_of(stock.pk, from_date=from_date, to_date=to_date)
        return self.answer_page(ticks, render_tick)


class BalanceView(APIView):
    """A user's cash and shares at a glance."""

    @extend_schema(
        operation_id="users_balance",
        summary="Look at cash and shares",
        parameters=[USER_ID],
        responses=BalanceOut,
    )
    def get(self, request: Request, user_id: str) -> Response:
        user = visible_user(viewer_of(request), user_id)
        return Response(render_balance(account_of(user), list(holdings_of(user.pk))))


class SharesView(APIView):
    """Grants of shares."""

    permission_classes = [IsAdminUser]

    @extend_schema(
        operation_id="users_grant_shares",
        summary="Grant shares (staff)",
        description="Or, with a negative quantity, take back shares that no open order holds.",
        parameters=[USER_ID],
        request=GrantInput,
        responses=HoldingOut,
    )
    def post(self, request: Request, user_id: str) -> Response:
        user = visible_user(viewer_of(request), user_id)
        grant: dict[str, Any] = validated(GrantInput, request.data)
        grant_shares(user_id=user.pk, granted_by_id=request.user.pk, now=timezone.now(), **grant)
        holding = user.holdings.select_related("stock").get(stock_id=grant["stock_id"])
        return Response(render_holding(holding))
