"""Stocks for everybody, shares for their owners. Translation only: parse, one call, render.

Trading adds to `StockView` what it knows: the newest trades, and halting and resuming.
"""

from typing import Any

from django.utils import timezone
from drf_spectacular.utils import OpenApiParameter, extend_schema
from rest_framework import status
from rest_framework.generics import GenericAPIView
from rest_framework.permissions import IsAdminUser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from stocks.selectors import find_stock, holdings_of, listed_stocks, stock_page, ticks_of
from stocks.serializers import (
    BalanceOut,
    GrantInput,
    HoldingOut,
    StockChangeInput,
    StockInput,
    StockOut,
    StockPageOut,
    TickOut,
    render_balance,
    render_holding,
    render_stock,
    render_stock_page,
    render_tick,
)
from stocks.services import grant_shares, list_stock, update_stock
from users.apis import USER_ID
from users.inputs import RangeQuery, date_range, validated
from users.pagination import TimeCursor
from users.permissions import StaffWrites
from users.selectors import account_of, visible_user

STOCK_ID = OpenApiParameter("stock_id", str, OpenApiParameter.PATH)


class StocksView(GenericAPIView):
    """All stocks."""

    permission_classes = [StaffWrites]

    @extend_schema(
        operation_id="stocks_list",
        summary="List stocks",
        description="With their figures of all time, by stock_id.",
        responses=StockOut(many=True),
    )
    def get(self, request: Request) -> Response:
        stocks = self.paginate_queryset(listed_stocks())
        return self.get_paginated_response([render_stock(stock) for stock in stocks])

    @extend_schema(
        operation_id="stocks_create",
        summary="List a new stock (staff)",
        request=StockInput,
        responses={201: StockOut},
    )
    def post(self, request: Request) -> Response:
        stock = list_stock(**validated(StockInput, request.data))
        return Response(render_stock(stock), status=status.HTTP_201_CREATED)


class StockView(APIView):
    """One stock."""

    permission_classes = [StaffWrites]

    @extend_schema(
        operation_id="stocks_retrieve",
        summary="Look at a stock",
        description="All figures are over the range when one is given; a range without ticks reads null.",
        parameters=[STOCK_ID, RangeQuery],
        responses=StockPageOut,
    )
    def get(self, request: Request, stock_id: str) -> Response:
        from_date, to_date = date_range(request.query_params)
        return Response(render_stock_page(stock_page(stock_id, from_date=from_date, to_date=to_date)))

    @extend_schema(
        operation_id="stocks_update",
        summary="Change a stock (staff)",
        description="A new price increment or lot size holds for new orders; those in the book stay.",
        parameters=[STOCK_ID],
        request=StockChangeInput,
        responses=StockOut,
    )
    def patch(self, request: Request, stock_id: str) -> Response:
        find_stock(stock_id)
        return Response(
            render_stock(update_stock(stock_id=stock_id, **validated(StockChangeInput, request.data)))
        )


class TicksView(GenericAPIView):
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
        ticks = self.paginate_queryset(ticks_of(stock.pk, from_date=from_date, to_date=to_date))
        return self.get_paginated_response([render_tick(tick) for tick in ticks])


class BalanceView(APIView):
    """A user's cash and shares at a glance."""

    @extend_schema(
        operation_id="users_balance",
        summary="Look at cash and shares",
        parameters=[USER_ID],
        responses=BalanceOut,
    )
    def get(self, request: Request, user_id: str) -> Response:
        user = visible_user(request.user, user_id)
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
        user = visible_user(request.user, user_id)
        grant: dict[str, Any] = validated(GrantInput, request.data)
        grant_shares(user_id=user.pk, granted_by_id=request.user.pk, now=timezone.now(), **grant)
        holding = user.holdings.select_related("stock").get(stock_id=grant["stock_id"])
        return Response(render_holding(holding))
