"""Stored orders as the matcher sees them: what a book in memory is built from and catches up with."""

from collections.abc import Iterable, Sequence
from datetime import datetime

from trade.matching import BUY, SELL, Order
from trade.matching.orders import BOUNDED
from users.rows import Row, fetch_rows, marks, read_uuid, stored_time

_COLUMNS = (
    "order_id, user_id, side, type, limit_price, quantity, time_in_force, lower_bound, upper_bound, "
    "remaining_quantity, traded_quantity, traded_value, priority, sequence, status, reason"
)


def open_orders(stock_id: str) -> list[Order]:
    """Every order that is in the stock's book or waits for a tick, by priority."""
    return _read(
        "stock_id = %s AND remaining_quantity > 0 AND status <> 'PENDING' ORDER BY priority", [stock_id]
    )


def orders_changed_since(stock_id: str, sequence: int) -> list[Order]:
    """Orders that an event after `sequence` changed, open or not, by priority."""
    return _read("stock_id = %s AND sequence > %s ORDER BY priority", [stock_id, sequence])


def pending_orders(*, created_before: datetime, limit: int) -> list[tuple[str, str]]:
    """(stock_id, order_id) of orders that have waited for their match since before that time, oldest first."""
    rows = fetch_rows(
        "SELECT stock_id, order_id FROM trade_order WHERE status = 'PENDING' AND created_at < %s "
        "ORDER BY created_at, order_id LIMIT %s",
        [stored_time(created_before), limit],
    )
    return [(stock_id, read_uuid(order_id)) for stock_id, order_id in rows]


def open_day_order_ids(stock_id: str) -> list[str]:
    """Open orders of the stock that are good for the day."""
    rows = fetch_rows(
        "SELECT order_id FROM trade_order "
        "WHERE stock_id = %s AND time_in_force = 'day' AND remaining_quantity > 0 AND status <> 'PENDING'",
        [stock_id],
    )
    return [read_uuid(order_id) for (order_id,) in rows]


def orders_by_id(order_ids: Sequence[str]) -> dict[str, Order]:
    """Stored orders, whatever their status."""
    if not order_ids:
        return {}
    orders = _read(f"order_id IN ({marks(len(order_ids))})", order_ids)
    return {order.order_id: order for order in orders}


def _read(where: str, parameters: Iterable[object]) -> list[Order]:
    return [
        _order(row) for row in fetch_rows(f"SELECT {_COLUMNS} FROM trade_order WHERE {where}", [*parameters])
    ]


def _order(row: Row) -> Order:
    (order_id, user_id, side, kind, limit_price, quantity, time_in_force, lower, upper, *state) = row
    order = Order(
        read_uuid(order_id),
        user_id,
        BUY if side == "buy" else SELL,
        kind,
        limit_price,
        quantity,
        time_in_force,
        (lower if side == "buy" else upper) if kind == BOUNDED else 0,
    )
    order.open_quantity, order.traded_quantity, order.traded_value, priority, sequence, status, reason = state
    order.priority = priority or 0
    order.sequence = order.stored_sequence = sequence
    if status in ("CANCELLED", "EXPIRED", "REJECTED"):
        order.outcome = status
        order.reason = reason
    return order
