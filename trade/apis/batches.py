"""Many orders in one request: a batch, each on its own, or a basket, all or none."""

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from trade.apis.entry import place_batch, read_each
from trade.apis.inputs import MAX_BASKET_ORDERS, OrderInput, order_list
from trade.apis.rendering import render_order
from trade.apis.schemas import BasketOut, BatchResultOut
from trade.apis.viewers import own_id
from trade.engine import get_engine


class BatchView(APIView):
    """Up to 500 orders, each on its own."""

    @extend_schema(
        operation_id="orders_batch",
        summary="Place many orders",
        description="One result for each order, in the same sequence. One that is refused does not hinder the others.",
        request=OrderInput(many=True),
        responses=BatchResultOut(many=True),
    )
    def post(self, request: Request) -> Response:
        code, results = place_batch(own_id(request), request.data)
        return Response(results, status=code)


class BasketView(APIView):
    """Up to 50 orders on any stocks, all reserved or none."""

    @extend_schema(
        operation_id="orders_basket",
        summary="Place orders together",
        description="All are reserved, or none is and the error names the first order in the way: `2.quantity`.",
        request=OrderInput(many=True),
        responses={201: OpenApiResponse(BasketOut)},
    )
    def post(self, request: Request) -> Response:
        user_id = own_id(request)
        legs = []
        for number, item in enumerate(order_list(request.data, MAX_BASKET_ORDERS)):
            leg = read_each(user_id, item)
            if isinstance(leg, ValidationError):
                raise ValidationError({str(number): leg.detail})
            legs.append(leg)
        orders = get_engine().place_basket(legs)
        return Response({"orders": [render_order(order) for order in orders]}, status=status.HTTP_201_CREATED)
