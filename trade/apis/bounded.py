"""Bounded orders: bought from and sold to the feed, when its price lies within the bounds."""

from typing import ClassVar

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from trade.apis.inputs import BoundedInput, new_bounded_order
from trade.apis.rendering import render_order
from trade.apis.schemas import PlacedOut
from trade.apis.viewers import trader_id
from trade.engine import get_engine
from trade.models import Order
from users.apis import USER_ID
from users.exceptions import Refusal
from users.inputs import validated

PLACED = "your order is being placed"


class _BoundedView(APIView):
    side: ClassVar[Order.Side]

    def place(self, request: Request, user_id: str) -> Response:
        new_order = new_bounded_order(
            trader_id(request, user_id), self.side, validated(BoundedInput, request.data)
        )
        try:
            order = get_engine().place_order(new_order)
        except Refusal as refusal:
            # The quantity is called "total" here.
            refusal.field = "total" if refusal.field == "quantity" else refusal.field
            raise
        return Response({"message": PLACED, "order": render_order(order)})


class BuyView(_BoundedView):
    """Buy from the feed."""

    side = Order.Side.BUY

    @extend_schema(
        operation_id="users_buy",
        summary="Buy from the feed within bounds",
        description=(
            "Waits for ticks whose price lies within the bounds and buys at their price, in as many parts "
            "as it takes. Until then it reserves total x upper_bound."
        ),
        parameters=[USER_ID],
        request=BoundedInput,
        responses=PlacedOut,
    )
    def post(self, request: Request, user_id: str) -> Response:
        return self.place(request, user_id)


class SellView(_BoundedView):
    """Sell to the feed."""

    side = Order.Side.SELL

    @extend_schema(
        operation_id="users_sell",
        summary="Sell to the feed within bounds",
        description=(
            "Waits for ticks whose price lies within the bounds and sells at their price, in as many parts "
            "as it takes. Until then it reserves the shares."
        ),
        parameters=[USER_ID],
        request=BoundedInput,
        responses=PlacedOut,
    )
    def post(self, request: Request, user_id: str) -> Response:
        return self.place(request, user_id)
