"""What is stored of an order's life, read in a fixed number of queries, each with an end.

All of it is as it was at one sequence of the stock: the order's row and that sequence come from one
statement, and what is numbered up to it never changes any more.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple
from uuid import UUID

from django.db.models import Count, Max, Min, Q, Sum

from stocks.models import Tick
from trade.models import Order, OrderEvent, Trade
from users.fields import to_units
from users.rows import fetch_rows, read_time

Kind = OrderEvent.Kind
TERMS = (Kind.ENTERED, Kind.REPLACED)
STOPS = (Order.Type.STOP, Order.Type.STOP_LIMIT)
# Ticks read for one answer. An order that saw more is explained in several.
MAX_TICKS = 20_000


class TickRow(NamedTuple):
    """A stored tick; the price in units."""

    sequence: int
    price: int
    availability: int
    time: datetime
    is_late: bool


class Outcome(NamedTuple):
    """What waiting orders of the order's side got of one tick: others, and the order itself."""

    others: int = 0
    own: int = 0
    trade_id: int | None = None


@dataclass(slots=True)
class State:
    """What the order is, as far as its life has been told. The limit in units."""

    limit: int
    total: int
    open_quantity: int
    is_waiting: bool = False
    is_halted: bool = False


Item = OrderEvent | Trade | TickRow


@dataclass(frozen=True, slots=True)
class Life:
    """A stretch of an order's life: how it stood before, and what came then. `is_cut`: there is more."""

    order: Order
    first: OrderEvent | None
    state: State
    items: Sequence[Item]
    is_cut: bool


def find_life_order(order_id: UUID, user_id: int | None) -> Order | None:
    """The order with its stock, both of one moment; with a `user_id`, only if it is that user's."""
    orders = Order.objects.select_related("stock").filter(pk=order_id)
    return (orders if user_id is None else orders.filter(user_id=user_id)).first()


def read_life(order: Order, since: int, limit: int) -> Life:
    """What happened to the order after `since`: at most `limit` + 1 of each kind but ticks."""
    first = order.events.order_by("sequence").first() if order.sequence else None
    if first is None:
        state = State(to_units(order.limit_price), order.quantity, order.quantity)
        return Life(order, None, state, [], False)
    until = order.stock.sequence if order.remaining_quantity else order.sequence
    after = max(since, first.sequence - 1)
    span = {"sequence__gt": after, "sequence__lte": until}
    market = OrderEvent.objects.filter(stock_id=order.stock_id, order=None, **span)
    queries = (order.events.filter(**span), own_trades(order).filter(**span), market)
    parts: list[list[Any]] = [list(query.order_by("sequence")[: limit + 1]) for query in queries]
    parts.append(_ticks(order.stock_id, after, until))
    # Beyond the end of a list that was cut off nothing may be told: something would be missing.
    cut = [part[-1].sequence for part in parts[:3] if len(part) > limit]
    cut += [parts[3][-1].sequence] if len(parts[3]) > MAX_TICKS else []
    end = min(cut, default=until)
    items = sorted(
        (item for part in parts for item in part if item.sequence <= end), key=lambda item: item.sequence
    )
    return Life(order, first, _state_at(order, first, after), items, bool(cut))


def read_outcomes(order: Order, spans: Sequence[tuple[int, int]]) -> dict[int, Outcome]:
    """Of ticks, given as (sequence, last sequence before the next tick): what waiting orders got."""
    if not spans:
        return {}
    user = "buyer_id" if order.side == Order.Side.BUY else "seller_id"
    rows = fetch_rows(
        f"WITH spans(tick, until) AS (VALUES {', '.join(['(%s, %s)'] * len(spans))}) "
        "SELECT spans.tick, SUM(t.quantity) FROM spans JOIN trade_trade t ON t.stock_id = %s "
        "AND t.sequence > spans.tick AND t.sequence <= spans.until AND t.tick_sequence = spans.tick "
        f"AND t.taker_side <> %s AND t.{user} IS NOT NULL GROUP BY spans.tick",
        [*(number for span in spans for number in span), order.stock_id, order.side],
    )
    own = {
        tick: (int(quantity), trade_id)
        for tick, quantity, trade_id in own_trades(order)
        .filter(tick_sequence__in=[tick for tick, _ in spans])
        .exclude(taker_side=order.side)
        .order_by()
        .values_list("tick_sequence")
        .annotate(quantity_sum=Sum("quantity"), first_trade=Min("trade_id"))
    }
    outcomes = {}
    for tick, quantity in rows:
        mine, trade_id = own.get(tick, (0, None))
        outcomes[tick] = Outcome(int(quantity) - mine, mine, trade_id)
    return outcomes


def own_trades(order: Order) -> Any:
    """The order's trades."""
    side = "bid_order" if order.side == Order.Side.BUY else "ask_order"
    return Trade.objects.filter(**{side: order})


def _state_at(order: Order, first: OrderEvent, after: int) -> State:
    """The order as it stood at sequence `after`."""
    limit, total = to_units(first.price or order.limit_price), first.quantity or order.quantity
    waiting = order.type in STOPS and first.kind == Kind.ENTERED and not _was_reached(order, first.sequence)
    state = State(limit, total, total, waiting)
    if after < first.sequence:
        return state
    told: dict[str, Any] = order.events.filter(sequence__lte=after).aggregate(
        terms=Max("sequence", filter=Q(kind__in=TERMS)),
        reduced=Sum("quantity", filter=Q(kind=Kind.REDUCED)),
        triggered=Count("pk", filter=Q(kind=Kind.TRIGGERED)),
    )
    terms = order.events.filter(sequence=told["terms"]).first() if told["terms"] else None
    if terms is not None:
        state.limit, state.total = to_units(terms.price or order.limit_price), terms.quantity or total
    traded = own_trades(order).filter(sequence__lte=after).aggregate(sum=Sum("quantity"))["sum"] or 0
    state.open_quantity = state.total - traded - (told["reduced"] or 0)
    state.is_waiting = waiting and not told["triggered"]
    market = OrderEvent.objects.filter(
        stock_id=order.stock_id, order=None, sequence__gt=first.sequence, sequence__lte=after
    )
    newest = market.order_by("-sequence").first()
    state.is_halted = newest is not None and newest.kind == Kind.HALTED
    return state


def _was_reached(order: Order, entered: int) -> bool:
    """Whether the last price before it entered had reached the order's stop: then it never waited."""
    before = {"stock_id": order.stock_id, "sequence__lt": entered}
    tick = Tick.objects.filter(is_late=False, **before).order_by("-sequence").first()
    trade = Trade.objects.filter(**before).order_by("-sequence").first()
    newest = max((row for row in (tick, trade) if row), key=lambda row: row.sequence, default=None)
    if newest is None or order.stop_price is None:
        return False
    is_buy = order.side == Order.Side.BUY
    return newest.price >= order.stop_price if is_buy else newest.price <= order.stop_price


def _ticks(stock_id: str, after: int, until: int) -> list[TickRow]:
    rows = fetch_rows(
        'SELECT sequence, price, availability, "timestamp", is_late FROM stocks_tick '
        f"WHERE stock_id = %s AND sequence > %s AND sequence <= %s ORDER BY sequence LIMIT {MAX_TICKS + 1}",
        [stock_id, after, until],
    )
    return [
        TickRow(sequence, price, availability, read_time(time) or time, bool(is_late))
        for sequence, price, availability, time, is_late in rows
    ]
