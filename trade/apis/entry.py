"""Order entry from a parsed body to the status and the data of its answer, whichever way the request came.

What is malformed raises `ValidationError`, what a rule forbids a `Refusal`. The calls that end in `_awaited`
are for event loops; the others wait in the caller's thread.
"""

from collections.abc import Iterable
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.utils import timezone
from rest_framework import status
from rest_framework.exceptions import ValidationError

from trade.apis.inputs import MAX_BATCH_ORDERS, ChangeInput, OrderInput, new_order, order_list
from trade.apis.outcomes import render_result
from trade.apis.rendering import render_order
from trade.engine import awaited, get_engine
from trade.models import Order
from trade.services.order_rules import NewOrder
from users.exceptions import Refusal
from users.fields import to_units
from users.inputs import validated

Answer = tuple[int, Any]


class NewTerms(NamedTuple):
    """What an order is to become: its price in units and its total quantity, None where it keeps it."""

    price: int | None
    quantity: int | None


def read_order(user_id: int, data: Any) -> NewOrder:
    """The order that a body asks for."""
    return new_order(user_id, validated(OrderInput, data))


def read_change(data: Any) -> NewTerms:
    """The change of an order that a body asks for."""
    change = validated(ChangeInput, data)
    price = change.get("price")
    return NewTerms(None if price is None else to_units(price), change.get("quantity"))


def place(user_id: int, data: Any) -> Answer:
    """201 with the order after its match; 200 when it was placed before, under the same client_order_id."""
    wanted = read_order(user_id, data)
    started = timezone.now()
    return _placed(get_engine().place_order(wanted), started)


async def place_awaited(user_id: int, data: Any) -> Answer:
    wanted = read_order(user_id, data)
    started = timezone.now()
    return _placed(await awaited.place_order(wanted), started)


def place_batch(user_id: int, data: Any) -> Answer:
    """200 with a result for each order, in the same sequence."""
    read = _read_batch(user_id, data)
    wanted = _readable(read)
    return _batch_placed(read, get_engine().place_orders(wanted) if wanted else [])


async def place_batch_awaited(user_id: int, data: Any) -> Answer:
    read = _read_batch(user_id, data)
    return _batch_placed(read, await awaited.place_orders(_readable(read)))


def replace(user_id: int, order_id: str, data: Any) -> Answer:
    """200 with the order under its new price or total quantity."""
    order = get_engine().replace_order(UUID(order_id), user_id, **read_change(data)._asdict())
    return status.HTTP_200_OK, render_order(order)


def cancel(owner_id: int | None, order_id: str) -> Answer:
    """200 with the order, cancelled. With an `owner_id`, only that user's."""
    return status.HTTP_200_OK, render_order(get_engine().cancel_order(UUID(order_id), owner_id))


def read_each(user_id: int, item: Any) -> NewOrder | ValidationError:
    """One of several orders: what is wrong with it is told beside the others."""
    try:
        return read_order(user_id, item)
    except ValidationError as error:
        return error


def _placed(order: Order, started: datetime) -> Answer:
    # An order older than this request was there before it.
    is_new = order.created_at >= started
    return status.HTTP_201_CREATED if is_new else status.HTTP_200_OK, render_order(order)


def _read_batch(user_id: int, data: Any) -> list[NewOrder | ValidationError]:
    return [read_each(user_id, item) for item in order_list(data, MAX_BATCH_ORDERS)]


def _readable(read: Iterable[NewOrder | ValidationError]) -> list[NewOrder]:
    return [item for item in read if isinstance(item, NewOrder)]


def _batch_placed(read: Iterable[NewOrder | ValidationError], placed: Iterable[Order | Refusal]) -> Answer:
    results = iter(placed)
    answers = [item if isinstance(item, ValidationError) else next(results) for item in read]
    return status.HTTP_200_OK, [render_result(answer) for answer in answers]
