"""SETTLE: turn what the matcher said into rows, in a handful of multi-row statements.

Runs in the transaction that holds the stock's row lock. Cash and shares were reserved before, so nothing
here can fail for want of them. Every order row is updated only if its stored sequence is the one that
the book in memory knows: a stale book can lose a batch, never write one.
"""

from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from stocks.services.holdings import lock_holdings, write_holdings
from trade import models
from trade.matching import (
    BUY,
    Cancelled,
    Entered,
    Event,
    Expired,
    Halted,
    Order,
    Rejected,
    Resumed,
    Trade,
)
from users.models import LedgerEntry
from users.rows import Row, insert_rows, insert_rows_returning, update_rows
from users.services.cash import CashMovement, book_movements, lock_accounts, write_accounts

SIDE_WORDS = {BUY: "buy", -BUY: "sell"}


class StaleBook(Exception):
    """An order's row is not what the book in memory says: another process was here unseen."""


@dataclass(slots=True)
class Transfers:
    """What a batch of events moves: cash, shares, and what is not reserved any more."""

    cash: list[CashMovement] = field(default_factory=list)
    released_cash: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    released_shares: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    # (user_id, signed quantity, value in units), in the order of the trades.
    shares: list[tuple[int, int, int]] = field(default_factory=list)

    def user_ids_with_cash(self) -> set[int]:
        return {movement.user_id for movement in self.cash} | set(self.released_cash)

    def user_ids_with_shares(self) -> set[int]:
        return {user_id for user_id, _, _ in self.shares} | set(self.released_shares)


def transfers_of(stock_id: str, events: Iterable[Event]) -> Transfers:
    """What these events move. Pure."""
    transfers = Transfers()
    for event in events:
        if isinstance(event, Trade):
            _transfer_trade(transfers, stock_id, event)
        elif isinstance(event, Cancelled | Expired | Rejected):
            _release(transfers, event.order, event.quantity)
    return transfers


def touched_orders(events: Iterable[Event]) -> dict[str, Order]:
    """The orders that these events changed, each once."""
    touched: dict[str, Order] = {}
    for event in events:
        if isinstance(event, Trade):
            for order in (event.bid, event.ask):
                if order is not None:
                    touched[order.order_id] = order
        elif isinstance(event, Entered | Cancelled | Expired | Rejected):
            touched[event.order.order_id] = event.order
    return touched


def settle(*, stock_id: str, events: Sequence[Event], now: datetime) -> list[int]:
    """Store all that `events` mean, the stock's own row and its ticks excepted.

    Returns the trade ids, in the order of the trades. StaleBook when an order's row is not as expected:
    the transaction must be rolled back and the book dropped.
    """
    _update_orders(touched_orders(events).values(), now)
    _move(stock_id, transfers_of(stock_id, events), now)
    _insert_order_events(stock_id, events, now)
    return _insert_trades(stock_id, [event for event in events if isinstance(event, Trade)], now)


def status_of(order: Order) -> str:
    """The status of an order that has entered, or that was turned away."""
    if order.outcome:
        return order.outcome
    if not order.open_quantity:
        return models.Order.Status.FILLED.value
    if order.traded_quantity:
        return models.Order.Status.PARTIALLY_FILLED.value
    return models.Order.Status.ACTIVE.value


def _transfer_trade(transfers: Transfers, stock_id: str, trade: Trade) -> None:
    value = trade.price * trade.quantity
    reference = f"{stock_id}:{trade.sequence}"
    kind = LedgerEntry.Kind.TRADE.value
    if (bid := trade.bid) is not None:
        transfers.cash.append(CashMovement(bid.user_id, kind, -value, reference))
        transfers.released_cash[bid.user_id] += bid.limit_price * trade.quantity
        transfers.shares.append((bid.user_id, trade.quantity, value))
    if (ask := trade.ask) is not None:
        transfers.cash.append(CashMovement(ask.user_id, kind, value, reference))
        transfers.shares.append((ask.user_id, -trade.quantity, value))


def _release(transfers: Transfers, order: Order, quantity: int) -> None:
    if order.side == BUY:
        transfers.released_cash[order.user_id] += order.limit_price * quantity
    else:
        transfers.released_shares[order.user_id] += quantity


def _move(stock_id: str, transfers: Transfers, now: datetime) -> None:
    if user_ids := transfers.user_ids_with_cash():
        accounts = lock_accounts(user_ids)
        for user_id, amount in transfers.released_cash.items():
            accounts[user_id].release(amount)
        book_movements(accounts, transfers.cash, now=now)
        write_accounts(accounts.values())
    if user_ids := transfers.user_ids_with_shares():
        holdings = lock_holdings(((user_id, stock_id) for user_id in user_ids), create=True)
        for user_id, quantity in transfers.released_shares.items():
            holdings[user_id, stock_id].release(quantity)
        for user_id, quantity, value in transfers.shares:
            holding = holdings[user_id, stock_id]
            if quantity > 0:
                holding.buy(quantity, value)
            else:
                holding.sell(-quantity)
        write_holdings(holdings.values())


def _update_orders(orders: Iterable[Order], now: datetime) -> None:
    rows = [
        (
            order.order_id,
            order.stored_sequence,
            status_of(order),
            order.reason,
            order.open_quantity,
            order.traded_quantity,
            order.traded_value,
            order.priority or None,
            order.sequence,
            now,
        )
        for order in orders
    ]
    columns = (
        "status",
        "reason",
        "remaining_quantity",
        "traded_quantity",
        "traded_value",
        "priority",
        "sequence",
        "updated_at",
    )
    found = update_rows(models.Order, ["order_id", "sequence"], columns, rows)
    if found != len(rows):
        raise StaleBook(f"{len(rows) - found} of {len(rows)} orders are not as the book knows them")


def _insert_order_events(stock_id: str, events: Iterable[Event], now: datetime) -> None:
    rows: list[Row] = []
    for event in events:
        kind = _EVENT_KINDS.get(type(event))
        if kind is None:
            continue
        if isinstance(event, Entered):
            rows.append((stock_id, event.sequence, kind, event.order.order_id, event.order.quantity, "", now))
        elif isinstance(event, Cancelled | Expired | Rejected):
            rows.append(
                (stock_id, event.sequence, kind, event.order.order_id, event.quantity, event.reason, now)
            )
        else:
            rows.append((stock_id, event.sequence, kind, None, None, "", now))
    insert_rows(
        models.OrderEvent,
        ["stock_id", "sequence", "kind", "order_id", "quantity", "reason", "occurred_at"],
        rows,
    )


_EVENT_KINDS: dict[type, str] = {
    Entered: models.OrderEvent.Kind.ENTERED.value,
    Cancelled: models.OrderEvent.Kind.CANCELLED.value,
    Expired: models.OrderEvent.Kind.EXPIRED.value,
    Rejected: models.OrderEvent.Kind.REJECTED.value,
    Halted: models.OrderEvent.Kind.HALTED.value,
    Resumed: models.OrderEvent.Kind.RESUMED.value,
}

_TRADE_COLUMNS = (
    "stock_id",
    "sequence",
    "price",
    "quantity",
    "bid_order_id",
    "ask_order_id",
    "buyer_id",
    "seller_id",
    "taker_side",
    "source",
    "tick_sequence",
    "executed_at",
    "settled_at",
)


def _insert_trades(stock_id: str, trades: Sequence[Trade], now: datetime) -> list[int]:
    rows = [
        (
            stock_id,
            trade.sequence,
            trade.price,
            trade.quantity,
            trade.bid and trade.bid.order_id,
            trade.ask and trade.ask.order_id,
            trade.bid and trade.bid.user_id,
            trade.ask and trade.ask.user_id,
            SIDE_WORDS[trade.taker_side],
            source_of(trade),
            trade.tick_sequence,
            now,
            now,
        )
        for trade in trades
    ]
    return insert_rows_returning(models.Trade, _TRADE_COLUMNS, rows, "trade_id")


def source_of(trade: Trade) -> str:
    """Whether the other side was a user's order or the outside market."""
    return (models.Trade.Source.BOOK if trade.tick_sequence is None else models.Trade.Source.FEED).value
