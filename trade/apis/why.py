"""Why an order did, or did not, trade."""

from decimal import Decimal
from typing import Any
from uuid import UUID

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from trade.apis.inputs import SequenceField
from trade.apis.rendering import render_order
from trade.apis.schemas import WhyOut
from trade.apis.viewers import owner_filter
from trade.selectors.why import DEFAULT_FACTS, MAX_FACTS, Explanation, explain_order
from trade.selectors.why.words import Fact
from trade.services.refusals import UnknownOrder
from users.inputs import QuantityField, StrictSerializer, json_number, json_time, validated


class WhyQuery(StrictSerializer):
    """GET /api/orders/<order_id>/why/"""

    since_sequence = SequenceField(
        required=False, help_text="Go on after this sequence: the `next_since_sequence` of the answer before."
    )
    limit = QuantityField(limit=MAX_FACTS, default=DEFAULT_FACTS, help_text="The most facts to tell.")


class WhyView(APIView):
    """The life of one order."""

    @extend_schema(
        operation_id="orders_why",
        summary="Why an order did, or did not, trade",
        description=(
            "Its whole life from what is stored: what it held, its place in the queue, each trade, and each "
            "tick it could have traded with, with the verdict. Ticks of one verdict in a row are one fact. "
            "While `more` is true, ask again with `since_sequence` = `next_since_sequence`."
        ),
        parameters=[WhyQuery],
        responses=WhyOut,
    )
    def get(self, request: Request, order_id: str) -> Response:
        query = validated(WhyQuery, request.query_params)
        explanation = explain_order(UUID(order_id), user_id=owner_filter(request), **query)
        if explanation is None:
            raise UnknownOrder("there is no such order")
        return Response(_render(explanation))


def _render(explanation: Explanation) -> dict[str, Any]:
    return {
        "order": render_order(explanation.order),
        "summary": explanation.summary,
        "facts": [_render_fact(fact) for fact in explanation.facts],
        "more": explanation.next_since is not None,
        "next_since_sequence": explanation.next_since,
    }


def _render_fact(fact: Fact) -> dict[str, Any]:
    numbers = {
        name: json_number(value) if isinstance(value, Decimal) else value
        for name, value in fact.numbers.items()
    }
    return {
        "sequence": fact.sequence,
        "time": json_time(fact.time),
        "kind": fact.kind,
        "detail": fact.detail,
        **numbers,
    }
