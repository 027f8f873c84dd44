"""What became of orders that were not placed alone: previews, and the lines of a batch."""

from typing import Any

from drf_standardized_errors.formatter import flatten_errors
from rest_framework.exceptions import APIException, ValidationError

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
    status, errors = errors_of(result)
    return {"status": status, "order": None, "errors": errors}


def errors_of(error: Refusal | APIException) -> tuple[int, list[dict[str, Any]]]:
    """The HTTP status and the `errors` with which REST answers this."""
    if isinstance(error, Refusal):
        return error.status, [_refusal_error(error)]
    errors = [
        {"code": one.code, "detail": one.detail, "attr": one.attr} for one in flatten_errors(error.detail)
    ]
    return error.status_code, errors


def _refusal_error(refusal: Refusal) -> dict[str, Any]:
    return {"code": refusal.code, "detail": refusal.detail, "attr": refusal.field}
