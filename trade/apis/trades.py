"""The public tape and the order book."""

from django.utils import timezone
from drf_spectacular.utils import extend_schema
from rest_framework.exceptions import ErrorDetail, NotFound, ValidationError
from rest_framework.generics import GenericAPIView
from rest_framework.permissions import IsAdminUser
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from trade.apis.inputs import BookQuery, TradeQuery
from trade.apis.rendering import render_book, render_trade
from trade.apis.schemas import BookOut, TradeOut
from trade.selectors.book import only_stock_id, order_book
from trade.selectors.trades import find_trade, public_trades
from trade.services.deferred import settle_trade
from users.inputs import MAX_ID, validated
from users.permissions import StaffWrites


class TradesView(GenericAPIView):
    """All trades, of all users, without saying whose they were."""

    permission_classes = [StaffWrites]

    @extend_schema(
        operation_id="trades_list",
        summary="List trades",
        description=(
            "Newest first. With `stock_id` and `since_sequence`, the trades after that sequence, oldest "
            "first: ask again with the last one's sequence until the list is empty."
        ),
        parameters=[TradeQuery],
        responses=TradeOut(many=True),
    )
    def get(self, request: Request) -> Response:
        trades = public_trades(**validated(TradeQuery, request.query_params))
        page = self.paginate_queryset(trades) or []
        return self.get_paginated_response([render_trade(trade) for trade in page])


class TradeView(APIView):
    """One trade."""

    permission_classes = [StaffWrites]

    @extend_schema(operation_id="trades_retrieve", summary="Look at a trade", responses=TradeOut)
    def get(self, request: Request, trade_id: str) -> Response:
        trade = find_trade(int(trade_id))
        if trade is None:
            raise NotFound("There is no such trade.")
        return Response(render_trade(trade))


class SettleView(APIView):
    """The settlement of one trade."""

    permission_classes = [IsAdminUser]

    @extend_schema(
        operation_id="trades_settle",
        summary="Settle a trade (staff)",
        description=(
            "Frees what the trade brought: the buyer's shares and the seller's proceeds, unsettled until "
            "then. A trade settles once: again it is 409 `trade_settled`."
        ),
        request=None,
        responses=TradeOut,
    )
    def post(self, request: Request, trade_id: str) -> Response:
        trade = settle_trade(trade_id=min(int(trade_id), MAX_ID), now=timezone.now())
        return Response(render_trade(trade))


class OrderBookView(APIView):
    """The order book of one stock."""

    permission_classes = [StaffWrites]

    @extend_schema(
        operation_id="orderbook_retrieve",
        summary="Look at the order book",
        description=(
            "Levels of limit orders, best first, with the outside market's quote. All of it is as it was at "
            "`sequence`. Bounded orders are never shown."
        ),
        parameters=[BookQuery],
        responses=BookOut,
    )
    def get(self, request: Request) -> Response:
        query = validated(BookQuery, request.query_params)
        stock_id = query.get("stock_id") or _only_stock_id()
        now = timezone.now()
        return Response(render_book(order_book(stock_id, query["depth"]), now))


def _only_stock_id() -> str:
    stock_id = only_stock_id()
    if stock_id is None:
        detail = ErrorDetail("The market has not exactly one stock: give its stock_id.", code="required")
        raise ValidationError({"stock_id": [detail]})
    return stock_id
