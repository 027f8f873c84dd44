"""Orders, for those who may see them."""

from collections.abc import Collection
from datetime import datetime
from uuid import UUID

from django.db.models import QuerySet

from trade.models import Order


def find_order(order_id: UUID, *, user_id: int | None) -> Order | None:
    """The order, if there is one; with a `user_id`, only if it is that user's."""
    orders = Order.objects.filter(pk=order_id)
    if user_id is not None:
        orders = orders.filter(user_id=user_id)
    return orders.first()


def open_orders_among(order_ids: Collection[UUID]) -> list[tuple[UUID, str]]:
    """Those of these orders that are open, each with its stock."""
    orders = Order.objects.filter(pk__in=order_ids, status__in=Order.OPEN_STATUSES)
    return list(orders.values_list("order_id", "stock_id"))


def orders_of(
    user_id: int,
    *,
    stock_id: str | None = None,
    side: str | None = None,
    status: str | None = None,
    is_open: bool | None = None,
    client_order_id: str | None = None,
    from_date: datetime | None = None,
    to_date: datetime | None = None,
) -> QuerySet[Order]:
    """A user's orders, newest first. The dates are of their placing, both inclusive."""
    exact = {"stock_id": stock_id, "side": side, "status": status, "client_order_id": client_order_id}
    orders = Order.objects.filter(
        user_id=user_id, **{name: value for name, value in exact.items() if value is not None}
    )
    if is_open is not None:
        orders = orders.filter(**{"remaining_quantity__gt" if is_open else "remaining_quantity": 0})
    if from_date is not None:
        orders = orders.filter(created_at__gte=from_date)
    if to_date is not None:
        orders = orders.filter(created_at__lte=to_date)
    return orders.order_by("-created_at", "-order_id")
