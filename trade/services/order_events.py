"""The stored record of what happened to orders, trades excepted: they are their own record."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from trade.matching import (
    Cancelled,
    Entered,
    Event,
    Expired,
    Halted,
    Prevented,
    Reduced,
    Rejected,
    Replaced,
    Resumed,
    Triggered,
)
from trade.models import OrderEvent
from users.rows import Row, fetch_rows, insert_rows, marks, read_uuid

EVENT_COLUMNS = (
    "stock_id",
    "sequence",
    "kind",
    "order_id",
    "quantity",
    "price",
    "reason",
    "ahead_quantity",
    "ahead_orders",
    "other_order_id",
    "replaces",
    "occurred_at",
)
_KINDS: dict[type, str] = {
    Entered: OrderEvent.Kind.ENTERED.value,
    Triggered: OrderEvent.Kind.TRIGGERED.value,
    Replaced: OrderEvent.Kind.REPLACED.value,
    Reduced: OrderEvent.Kind.REDUCED.value,
    Prevented: OrderEvent.Kind.PREVENTED.value,
    Cancelled: OrderEvent.Kind.CANCELLED.value,
    Expired: OrderEvent.Kind.EXPIRED.value,
    Rejected: OrderEvent.Kind.REJECTED.value,
    Halted: OrderEvent.Kind.HALTED.value,
    Resumed: OrderEvent.Kind.RESUMED.value,
}


def insert_order_events(stock_id: str, events: Sequence[Event], now: datetime) -> None:
    """Insert the events that have no table of their own."""
    insert_rows(OrderEvent, EVENT_COLUMNS, event_rows(stock_id, events, now))


def event_rows(stock_id: str, events: Sequence[Event], now: datetime) -> list[Row]:
    """The rows of those events."""
    replaced = _replaced_sequences(events)
    rows: list[Row] = []
    for event in events:
        kind = _KINDS.get(type(event))
        if kind is None:
            continue
        order_id = quantity = price = other = replaces = None
        ahead: tuple[int | None, int | None] = (None, None)
        reason = ""
        if isinstance(event, Entered | Triggered | Replaced):
            order = event.order
            order_id, quantity, price = order.order_id, order.quantity, order.limit_price
            ahead = (order.ahead_quantity, order.ahead_orders)
            if isinstance(event, Replaced):
                replaces, replaced[order_id] = replaced.get(order_id), event.sequence
        elif isinstance(event, Prevented):
            order_id, quantity, other = event.taker.order_id, event.quantity, event.maker.order_id
        elif isinstance(event, Reduced | Cancelled | Expired | Rejected):
            order_id, quantity, reason = event.order.order_id, event.quantity, event.reason
        rows.append(
            (stock_id, event.sequence, kind, order_id, quantity, price, reason, *ahead, other, replaces, now)
        )
    return rows


def _replaced_sequences(events: Iterable[Event]) -> dict[str, int]:
    """By order that is replaced: the stored event that gave it its terms."""
    order_ids = [event.order.order_id for event in events if isinstance(event, Replaced)]
    found: dict[str, int] = {}
    if order_ids:
        rows = fetch_rows(
            "SELECT order_id, MAX(sequence) FROM trade_orderevent "
            f"WHERE order_id IN ({marks(len(order_ids))}) AND kind IN ('entered', 'replaced') "
            "GROUP BY order_id",
            order_ids,
        )
        found = {read_uuid(order_id): sequence for order_id, sequence in rows}
    found.update((event.order.order_id, event.sequence) for event in events if isinstance(event, Entered))
    return found
