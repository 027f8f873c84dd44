"""What became of orders that were not placed alone: previews, and the lines of a batch."""

from typing import Any

from drf_standardized_errors.formatter import flatten_errors
from rest_framework.exceptions import ValidationError

from trade.apis.rendering import render_hold, render_order
from trade.models import Order
from trade.services.reservation import Repeated, Reservation, Reserved
from users.exceptions import Refusal
from users.inputs import json_units


def render_preview(reservation: Reservation) -> dict[str, Any]:
    """What placing would come to. A repeat of a stored request is accepted and holds nothing more."""
    preview: dict[str, Any] = {"accepted": True, "reserved": None, "limit_price": None, "errors": []}
    if isinstance(reservation, Refusal):
        preview |= {"accepted": False, "errors": [_refusal_error(reservation)]}
    elif isinstance(reservation, Reserved):
        preview["reserved"] = render_hold(reservation.new_order.side, reservation.hold)
        preview["limit_price"] = json_units(reservation.limit_price)
    else:
        assert isinstance(reservation, Repeated)
        preview["reserved"] = 0
    return preview


def render_result(result: Order | Refusal | ValidationError) -> dict[str, Any]:
    """One line of a batch, as if the order had been placed alone."""
    if isinstance(result, Order):
        return {"status": 201, "order": render_order(result), "errors": []}
    if isinstance(result, Refusal):
        return {"status": result.status, "order": None, "errors": [_refusal_error(result)]}
    errors = [
        {"code": error.code, "detail": error.detail, "attr": error.attr}
        for error in flatten_errors(result.detail)
    ]
    return {"status": 400, "order": None, "errors": errors}


def _refusal_error(refusal: Refusal) -> dict[str, Any]:
    return {"code": refusal.code, "detail": refusal.detail, "attr": refusal.field}
