"""Stored orders as the matcher sees them: what a book in memory is built from and catches up with."""

from collections.abc import Iterable, Iterator, Sequence
from datetime import datetime

from django.db import connection

from trade.matching import BUY, SELL, Order
from trade.matching.orders import BOUNDED, LIMIT, MARKET
from trade.money import hold_of
from users.rows import Row, fetch_rows, marks, read_uuid, stored_time

# A stop is a market order, and a stop-limit a limit order, that waits for its stop first.
MATCHED_KINDS: dict[str, str] = {"stop": MARKET, "stop_limit": LIMIT}

# Statuses of orders that were not filled and never will be.
OVER = frozenset(("CANCELLED", "EXPIRED", "REJECTED"))
# Rows of a book that are in memory at a time.
CHUNK = 5_000

_COLUMNS = (
    "user_id, side, type, limit_price, quantity, time_in_force, lower_bound, upper_bound, "
    "stop_price, post_only, display_quantity, self_trade_prevention, maker_fee_bps, taker_fee_bps, "
    "remaining_quantity, traded_quantity, traded_value, is_stopped, shown_quantity, priority, sequence, "
    "status, reason"
)


def open_orders(stock_id: str) -> Iterator[Order]:
    """Every order that is in the stock's book or waits for a tick, by priority. There may be a million."""
    where = "stock_id = %s AND remaining_quantity > 0 AND status <> 'PENDING' ORDER BY priority"
    # On PostgreSQL a cursor of the server's: the rows come as they are used.
    with connection.chunked_cursor() as cursor:
        cursor.execute(_select(where), [stock_id])
        while rows := cursor.fetchmany(CHUNK):
            yield from map(_order, rows)


def orders_changed_since(stock_id: str, sequence: int) -> list[Order]:
    """Orders that an event after `sequence` changed, open or not, by priority."""
    return _read("stock_id = %s AND sequence > %s ORDER BY priority", [stock_id, sequence])


def pending_orders(*, created_before: datetime, limit: int) -> list[tuple[str, str]]:
    """(stock_id, order_id) of orders that wait for their match since before that time, oldest first."""
    rows = fetch_rows(
        "SELECT stock_id, order_id FROM trade_order WHERE status = 'PENDING' AND created_at < %s "
        "ORDER BY created_at, order_id LIMIT %s",
        [stored_time(created_before), limit],
    )
    return [(stock_id, read_uuid(order_id)) for stock_id, order_id in rows]


_OPEN_DAY_ORDERS = "FROM trade_order WHERE time_in_force = 'day' AND remaining_quantity > 0"


def stocks_with_day_orders(*, placed_before: datetime, limit: int) -> set[str]:
    """The stocks of the oldest `limit` open orders that are good for the day and from before that time."""
    # Not DISTINCT: SQLite would rather read all open orders than sort the stocks of a few.
    rows = fetch_rows(
        f"SELECT stock_id {_OPEN_DAY_ORDERS} AND status <> 'PENDING' AND created_at < %s "
        "ORDER BY created_at LIMIT %s",
        [stored_time(placed_before), limit],
    )
    return {stock_id for (stock_id,) in rows}


def open_day_order_ids(stock_id: str, *, placed_before: datetime | None = None) -> list[str]:
    """Open orders of the stock that are good for the day: all, or those from before a time."""
    condition, parameters = "stock_id = %s AND status <> 'PENDING'", [stock_id]
    if placed_before is not None:
        condition += " AND created_at < %s"
        parameters.append(stored_time(placed_before))
    rows = fetch_rows(
        f"SELECT order_id {_OPEN_DAY_ORDERS} AND {condition} ORDER BY created_at, order_id", parameters
    )
    return [read_uuid(order_id) for (order_id,) in rows]


def stocks_with_due_orders(now: datetime) -> list[str]:
    """The stocks that have open orders whose time is over."""
    rows = fetch_rows(
        "SELECT DISTINCT stock_id FROM trade_order WHERE remaining_quantity > 0 AND expires_at IS NOT NULL "
        "AND expires_at <= %s AND status <> 'PENDING'",
        [stored_time(now)],
    )
    return [stock_id for (stock_id,) in rows]


def due_order_ids(stock_id: str, now: datetime) -> list[str]:
    """Those orders of one stock."""
    rows = fetch_rows(
        "SELECT order_id FROM trade_order WHERE remaining_quantity > 0 AND expires_at IS NOT NULL "
        "AND expires_at <= %s AND stock_id = %s AND status <> 'PENDING' ORDER BY expires_at, priority",
        [stored_time(now), stock_id],
    )
    return [read_uuid(order_id) for (order_id,) in rows]


def stocks_with_pending_changes(*, created_before: datetime) -> list[str]:
    """The stocks where a change of an order was paid for and never came to the match."""
    rows = fetch_rows(
        "SELECT DISTINCT o.stock_id FROM trade_pendingchange c JOIN trade_order o USING (order_id) "
        "WHERE c.created_at < %s",
        [stored_time(created_before)],
    )
    return [stock_id for (stock_id,) in rows]


def pending_changes(stock_id: str, *, created_before: datetime) -> list[tuple[str, str, int]]:
    """(change id, order id, extra hold) of those changes of one stock."""
    rows = fetch_rows(
        "SELECT c.change_id, c.order_id, c.extra_hold FROM trade_pendingchange c "
        "JOIN trade_order o USING (order_id) WHERE c.created_at < %s AND o.stock_id = %s "
        "ORDER BY c.change_id",
        [stored_time(created_before), stock_id],
    )
    return [(read_uuid(change_id), read_uuid(order_id), amount) for change_id, order_id, amount in rows]


def orders_by_id(order_ids: Sequence[str]) -> dict[str, Order]:
    """Stored orders, whatever their status."""
    if not order_ids:
        return {}
    orders = _read(f"order_id IN ({marks(len(order_ids))})", order_ids)
    return {order.order_id: order for order in orders}


def _read(where: str, parameters: Iterable[object]) -> list[Order]:
    return [_order(row) for row in fetch_rows(_select(where), [*parameters])]


def _select(where: str) -> str:
    # The database writes a UUID in hex in a tenth of the time that it takes here.
    order_id = "translate(order_id::text, '-', '')" if connection.vendor == "postgresql" else "order_id"
    return f"SELECT {order_id}, {_COLUMNS} FROM trade_order WHERE {where}"


def _order(row: Row) -> Order:
    # fmt: off
    (
        order_id, user_id, side, kind, limit_price, quantity, time_in_force, lower, upper,
        stop_price, post_only, display_quantity, self_trade, maker_fee_bps, taker_fee_bps,
        open_quantity, traded_quantity, traded_value, is_stopped, shown_quantity, priority, sequence,
        status, reason,
    ) = row
    # fmt: on
    # By place: this is called a million times for a big book.
    order = Order(
        order_id,
        user_id,
        BUY if side == "buy" else SELL,
        MATCHED_KINDS.get(kind, kind),  # type: ignore[arg-type]
        limit_price,
        quantity,
        time_in_force,
        (lower if side == "buy" else upper) if kind == BOUNDED else 0,
        stop_price or 0,
        bool(post_only),
        display_quantity or 0,
        self_trade,
    )
    order.open_quantity = open_quantity
    order.traded_quantity, order.traded_value = traded_quantity, traded_value
    order.priority = priority or 0
    order.sequence = order.stored_sequence = sequence
    if is_stopped or shown_quantity:
        order.is_stopped, order.shown_quantity = bool(is_stopped), shown_quantity
    if maker_fee_bps or taker_fee_bps:
        order.maker_fee_bps, order.taker_fee_bps = maker_fee_bps, taker_fee_bps
    if status in OVER:
        order.outcome = status
        order.reason = reason
    order.held = hold_of(side, open_quantity, limit_price, max(maker_fee_bps, taker_fee_bps))
    return order


def hold_of_order(order: Order) -> int:
    """What the books hold for what is open of the order: units of cash for a buy, shares for a sell."""
    side = "buy" if order.side == BUY else "sell"
    fee_bps = max(order.maker_fee_bps, order.taker_fee_bps)
    return hold_of(side, order.open_quantity, order.limit_price, fee_bps)
