"""What a user owns and did: `users.apis.UserView` with holdings and fills."""

from typing import Any

from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework.generics import GenericAPIView
from rest_framework.request import Request
from rest_framework.response import Response

from stocks.selectors import holdings_of
from stocks.serializers import render_holding
from trade.apis.inputs import FillQuery
from trade.apis.rendering import render_recent_fill, render_user_fill
from trade.apis.schemas import FillOut, PortfolioOut
from trade.engine import get_engine
from trade.selectors.fills import Fill, UserFills
from users.apis import USER_ID, UserView, viewer_of
from users.inputs import validated
from users.selectors import visible_user
from users.serializers import render_account

RECENT_TRANSACTIONS = 5


class PortfolioView(UserView):
    """One user, with what is theirs."""

    @extend_schema(
        operation_id="users_retrieve",
        summary="Look at a user's cash, shares and newest transactions",
        parameters=[USER_ID],
        responses=PortfolioOut,
    )
    def get(self, request: Request, user_id: str) -> Response:
        user = visible_user(viewer_of(request), user_id)
        recent = UserFills(user.pk)[:RECENT_TRANSACTIONS]
        answer: dict[str, Any] = {
            **render_account(user),
            "stocks": [render_holding(holding) for holding in holdings_of(user.pk)],
            "recent_transactions": [render_recent_fill(fill) for fill in recent],
        }
        return Response(answer)

    @extend_schema(
        operation_id="users_deactivate",
        summary="Deactivate a user",
        description=(
            "The user can no longer log in, every token ends, and open orders are cancelled. The books stay."
        ),
        parameters=[USER_ID],
        request=None,
        responses={204: OpenApiResponse(description="Deactivated.")},
    )
    def delete(self, request: Request, user_id: str) -> Response:
        trader = visible_user(viewer_of(request), user_id).pk
        response = super().delete(request, user_id)
        get_engine().cancel_orders(trader)
        return response


class TransactionsView(GenericAPIView):
    """A user's fills."""

    @extend_schema(
        operation_id="users_transactions",
        summary="List fills",
        description="What was bought and sold, newest first.",
        parameters=[USER_ID, FillQuery],
        responses=FillOut(many=True),
    )
    def get(self, request: Request, user_id: str) -> Response:
        user = visible_user(viewer_of(request), user_id)
        fills = UserFills(user.pk, **validated(FillQuery, request.query_params))
        # A list that counts and slices itself: all that pages ask of a queryset.
        page: list[Fill] = self.paginate_queryset(fills) or []  # type: ignore[arg-type]
        return self.get_paginated_response([render_user_fill(fill) for fill in page])
