"""Place, list, look at and cancel orders."""

from uuid import UUID

from drf_spectacular.utils import OpenApiResponse, PolymorphicProxySerializer, extend_schema
from rest_framework.exceptions import PermissionDenied
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from trade.apis.entry import cancel, place, read_order, replace
from trade.apis.inputs import CancelQuery, ChangeInput, OrderInput, OrderQuery, PlaceQuery
from trade.apis.outcomes import render_preview
from trade.apis.rendering import render_order
from trade.apis.schemas import CANCELLED_COUNT, OrderOut, PreviewOut
from trade.apis.viewers import own_id, owner_filter
from trade.engine import get_engine
from trade.selectors.orders import find_order, orders_of
from trade.services.refusals import UnknownOrder
from users.apis import viewer_of
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
        parameters=[PlaceQuery],
        request=OrderInput,
        responses={
            201: OpenApiResponse(OrderOut, "Placed."),
            200: OpenApiResponse(
                PolymorphicProxySerializer("PlacedBeforeOrPreview", [OrderOut, PreviewOut], None),
                "Placed before, under the same client_order_id; or what a dry run found.",
            ),
        },
    )
    def post(self, request: Request) -> Response:
        if request.query_params and validated(PlaceQuery, request.query_params)["dry_run"]:
            (preview,) = get_engine().preview_orders([read_order(own_id(request), request.data)])
            return Response(render_preview(preview))
        code, order = place(own_id(request), request.data)
        return Response(order, status=code)

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
        operation_id="orders_replace",
        summary="Change an order's price or total quantity",
        description=(
            "The same price and no more quantity keeps the order's place in the queue; anything else sends it "
            "to the end, where it may trade at once. A total below what it traded is 409, equal to it ends "
            "the order as FILLED. A refused change changes nothing."
        ),
        request=ChangeInput,
        responses=OrderOut,
    )
    def put(self, request: Request, order_id: str) -> Response:
        code, order = replace(own_id(request), order_id, request.data)
        return Response(order, status=code)

    @extend_schema(
        operation_id="orders_change",
        summary="Change an order's price or total quantity",
        description="The same as PUT.",
        request=ChangeInput,
        responses=OrderOut,
    )
    def patch(self, request: Request, order_id: str) -> Response:
        return self.put(request, order_id)

    @extend_schema(
        operation_id="orders_cancel",
        summary="Cancel an order",
        description="What it still reserves is free at once. 409 `order_not_open` when it is finished.",
        responses=OrderOut,
    )
    def delete(self, request: Request, order_id: str) -> Response:
        code, order = cancel(owner_filter(request), order_id)
        return Response(order, status=code)
