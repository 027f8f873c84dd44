"""SETTLE: turn what the matcher said into rows, in a handful of multi-row statements.

Runs in the transaction that holds the stock's row lock. Cash and shares were reserved before, so nothing
here can fail for want of them. Every order row is updated only if its stored sequence is the one that
the book in memory knows: a stale book can lose a batch, never write one.
"""

from collections import defaultdict
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from stocks.services.holdings import lock_holdings, write_holdings
from trade import models
from trade.matching import BUY, Event, Halted, Order, Prevented, Resumed, Ticked, Trade
from trade.money import fee_on
from trade.selectors.resting import hold_of_order
from trade.services.order_events import insert_order_events
from users.models import LedgerEntry
from users.rows import Row, insert_rows_returning, update_matching_rows
from users.services.cash import CashMovement, book_movements, lock_accounts, write_accounts

SIDE_WORDS = {BUY: "buy", -BUY: "sell"}


class StaleBook(Exception):
    """An order's row is not what the book in memory says: another process was here unseen."""


@dataclass(slots=True)
class Transfers:
    """What a batch moves: cash and shares traded, and what is not held any more (negative: more is)."""

    cash: list[CashMovement] = field(default_factory=list)
    released_cash: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    released_shares: dict[int, int] = field(default_factory=lambda: defaultdict(int))
    # (user_id, signed quantity, value in units), in the order of the trades.
    shares: list[tuple[int, int, int]] = field(default_factory=list)
    # What is bought and earned settles later: by user, the proceeds of sales less their fees.
    is_deferred: bool = False
    deferred_cash: dict[int, int] = field(default_factory=lambda: defaultdict(int))

    def user_ids_with_cash(self) -> set[int]:
        return {movement.user_id for movement in self.cash} | {*self.released_cash, *self.deferred_cash}

    def user_ids_with_shares(self) -> set[int]:
        return {user_id for user_id, _, _ in self.shares} | set(self.released_shares)


def transfers_of(
    stock_id: str, events: Iterable[Event], orders: Iterable[Order], *, is_deferred: bool = False
) -> Transfers:
    """What the trades among `events` move, and what the changed `orders` hold less. Pure."""
    transfers = Transfers(is_deferred=is_deferred)
    for order in orders:
        released = order.held - hold_of_order(order)
        if released:
            by_user = transfers.released_cash if order.side == BUY else transfers.released_shares
            by_user[order.user_id] += released
    for event in events:
        if isinstance(event, Trade):
            _transfer_trade(transfers, stock_id, event)
    return transfers


def touched_orders(events: Iterable[Event]) -> dict[str, Order]:
    """The orders that these events changed, each once."""
    touched: dict[str, Order] = {}
    for event in events:
        if isinstance(event, Trade):
            for order in (event.bid, event.ask):
                if order is not None:
                    touched[order.order_id] = order
        elif not isinstance(event, Prevented | Ticked | Halted | Resumed):
            touched[event.order.order_id] = event.order
    return touched


def settle(
    *,
    stock_id: str,
    events: Sequence[Event],
    touched: Collection[Order],
    freed: Collection[Order],
    now: datetime,
    is_deferred: bool = False,
) -> list[int]:
    """Store all that `events` mean, the stock's own row and its ticks excepted.

    `touched` are the orders that the events changed (`touched_orders`), `freed` others whose holds are to be
    brought down to what they need. With `is_deferred` what the trades bring lies unsettled at first
    (`trade.services.deferred`); what they cost is paid all the same.

    Returns the trade ids, in the order of the trades. StaleBook when an order's row is not as expected:
    the transaction must be rolled back and the book dropped.
    """
    _update_orders(touched, now)
    insert_order_events(stock_id, events, now)
    trades = [event for event in events if isinstance(event, Trade)]
    rows = trade_rows(stock_id, trades, now, settled_at=None if is_deferred else now)
    trade_ids = insert_rows_returning(models.Trade, TRADE_COLUMNS, rows, "trade_id")
    # Last, because order entry and other stocks wait for the accounts that are locked here.
    _move(stock_id, transfers_of(stock_id, events, [*touched, *freed], is_deferred=is_deferred), now)
    return trade_ids


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
    for order, sign in ((trade.bid, 1), (trade.ask, -1)):
        if order is None:
            continue
        transfers.shares.append((order.user_id, sign * trade.quantity, value))
        fee = fee_of(trade, order)
        if transfers.is_deferred and order is trade.ask:
            transfers.deferred_cash[order.user_id] += value - fee
        else:
            transfers.cash += cash_lines(order.user_id, reference, -sign * value, fee)


def cash_lines(user_id: int, reference: str, value: int, fee: int) -> list[CashMovement]:
    """What one side of a trade says in the ledger: its signed value, and its fee if there is one."""
    lines = [CashMovement(user_id, LedgerEntry.Kind.TRADE.value, value, reference)]
    if fee:
        lines.append(CashMovement(user_id, LedgerEntry.Kind.FEE.value, -fee, reference))
    return lines


def fee_of(trade: Trade, order: Order | None) -> int:
    """What the trade costs the owner of `order`, one of its two; nothing for the outside."""
    if order is None:
        return 0
    is_taker = order.side == trade.taker_side
    return fee_on(trade.price * trade.quantity, order.taker_fee_bps if is_taker else order.maker_fee_bps)


def _move(stock_id: str, transfers: Transfers, now: datetime) -> None:
    if user_ids := transfers.user_ids_with_cash():
        accounts = lock_accounts(user_ids)
        for user_id, amount in transfers.released_cash.items():
            accounts[user_id].release(amount)
        for user_id, amount in transfers.deferred_cash.items():
            accounts[user_id].defer(amount)
        book_movements(accounts, transfers.cash, now=now)
        write_accounts(accounts.values())
    if user_ids := transfers.user_ids_with_shares():
        holdings = lock_holdings(((user_id, stock_id) for user_id in user_ids), create=True)
        for user_id, quantity in transfers.released_shares.items():
            holdings[user_id, stock_id].release(quantity)
        for user_id, quantity, value in transfers.shares:
            holding = holdings[user_id, stock_id]
            if quantity < 0:
                holding.sell(-quantity)
            elif transfers.is_deferred:
                holding.buy_unsettled(quantity, value)
            else:
                holding.buy(quantity, value)
        write_holdings(holdings.values())


# Those of an order that a match may change.
ORDER_STATE_COLUMNS = (
    "status",
    "reason",
    "quantity",
    "limit_price",
    "remaining_quantity",
    "traded_quantity",
    "traded_value",
    "is_stopped",
    "shown_quantity",
    "priority",
    "sequence",
    "updated_at",
)


def order_state_rows(orders: Iterable[Order], now: datetime) -> list[Row]:
    """Of each order: its id, the sequence that its row is expected to have, and what the row becomes."""
    return [
        (
            order.order_id,
            order.stored_sequence,
            status_of(order),
            order.reason,
            order.quantity,
            order.limit_price,
            order.open_quantity,
            order.traded_quantity,
            order.traded_value,
            order.is_stopped,
            order.shown_quantity if order.display_quantity else 0,
            order.priority or None,
            order.sequence,
            now,
        )
        for order in orders
    ]


def _update_orders(orders: Iterable[Order], now: datetime) -> None:
    rows = order_state_rows(orders, now)
    found = update_matching_rows(models.Order, ["order_id", "sequence"], ORDER_STATE_COLUMNS, rows)
    if found != len(rows):
        raise StaleBook(f"{len(rows) - found} of {len(rows)} orders are not as the book knows them")


TRADE_COLUMNS = (
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
    "buyer_fee",
    "seller_fee",
    "executed_at",
    "settled_at",
)


def trade_rows(
    stock_id: str, trades: Iterable[Trade], now: datetime, *, settled_at: datetime | None
) -> list[Row]:
    return [
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
            fee_of(trade, trade.bid),
            fee_of(trade, trade.ask),
            now,
            settled_at,
        )
        for trade in trades
    ]


def source_of(trade: Trade) -> str:
    """Whether the other side was a user's order or the outside market."""
    return (models.Trade.Source.BOOK if trade.tick_sequence is None else models.Trade.Source.FEED).value
