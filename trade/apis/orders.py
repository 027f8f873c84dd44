"""Place, list, look at and cancel orders."""

from uuid import UUID

from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import status
from rest_framework.exceptions import PermissionDenied
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from trade.apis.inputs import CancelQuery, OrderInput, OrderQuery, new_order
from trade.apis.rendering import render_order
from trade.apis.schemas import CANCELLED_COUNT, OrderOut
from trade.apis.viewers import own_id, owner_filter, viewer_of
from trade.engine import get_engine
from trade.selectors.orders import find_order, orders_of
from trade.services.refusals import UnknownOrder
from users.inputs import validated


class OrdersView(GenericAPIView):
    """A user's orders."""

    @extend_schema(
        operation_id="orders_place",
        summary="Place an order",
        description=(
            "Answers after the match. With a `client_order_id` it is safe to repeat: the same request again "
            "is answered 200 with the order as it is now, another request under the same id 409."
        ),
        request=OrderInput,
        responses={
            201: OpenApiResponse(OrderOut, "Placed."),
            200: OpenApiResponse(OrderOut, "Placed before, under the same client_order_id."),
        },
    )
    def post(self, request: Request) -> Response:
        started = timezone.now()
        order = get_engine().place_order(new_order(own_id(request), validated(OrderInput, request.data)))
        # An order older than this request was there before it.
        is_new = order.created_at >= started
        return Response(render_order(order), status=status.HTTP_201_CREATED if is_new else status.HTTP_200_OK)

    @extend_schema(
        operation_id="orders_list",
        summary="List your orders",
        description="Newest first. The dates are those of placing.",
        parameters=[OrderQuery],
        responses=OrderOut(many=True),
    )
    def get(self, request: Request) -> Response:
        viewer = viewer_of(request)
        query = validated(OrderQuery, request.query_params)
        user_id = query.pop("user_id", viewer.pk)
        if user_id != viewer.pk and not viewer.is_staff:
            raise PermissionDenied("Only staff may look at other users' orders.")
        orders = orders_of(user_id, is_open=query.pop("open", None), **query)
        page = self.paginate_queryset(orders) or []
        return self.get_paginated_response([render_order(order) for order in page])

    @extend_schema(
        operation_id="orders_cancel_all",
        summary="Cancel all your open orders",
        description="Or those of one stock, or of one side.",
        parameters=[CancelQuery],
        responses=CANCELLED_COUNT,
    )
    def delete(self, request: Request) -> Response:
        query = validated(CancelQuery, request.query_params or request.data)
        return Response({"cancelled": get_engine().cancel_orders(own_id(request), **query)})


class OrderView(APIView):
    """One order."""

    @extend_schema(operation_id="orders_retrieve", summary="Look at an order", responses=OrderOut)
    def get(self, request: Request, order_id: str) -> Response:
        order = find_order(UUID(order_id), user_id=owner_filter(request))
        if order is None:
            raise UnknownOrder("there is no such order")
        return Response(render_order(order))

    @extend_schema(
        operation_id="orders_cancel",
        summary="Cancel an order",
        description="What it still reserves is free at once. 409 `order_not_open` when it is finished.",
        responses=OrderOut,
    )
    def delete(self, request: Request, order_id: str) -> Response:
        order = get_engine().cancel_order(UUID(order_id), owner_filter(request))
        return Response(render_order(order))
