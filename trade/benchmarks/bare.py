"""The rows of a flow of orders, worked out beforehand and written by bare SQL.

This is what order entry is measured against: the same rows in the same tables, and nothing else in the time
that is taken. No locks, no reads, no matcher, no futures, no threads.
"""

from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from datetime import datetime

from django.db import models, transaction
from django.utils import timezone

from stocks.models import Holding, Stock
from stocks.services.candles import Print, merge_candles
from stocks.services.holdings import HoldingKey, LockedHolding
from trade.benchmarks.flow import Cancelling, Flow, World
from trade.engine.commands import entering
from trade.matching import Event, Market, Order, Trade
from trade.models import Order as StoredOrder
from trade.models import OrderEvent
from trade.models import Trade as StoredTrade
from trade.selectors.resting import hold_of_order
from trade.services.order_events import EVENT_COLUMNS, event_rows
from trade.services.order_rules import NewOrder
from trade.services.reservation import ORDER_COLUMNS, Reserved, new_order_id, order_row
from trade.services.settlement import (
    ORDER_STATE_COLUMNS,
    TRADE_COLUMNS,
    order_state_rows,
    touched_orders,
    trade_rows,
    transfers_of,
)
from users.models import CashAccount, LedgerEntry
from users.rows import Row, fetch_rows, insert_rows, marks, update_rows
from users.services.cash import LEDGER_COLUMNS, LockedAccount, booked

Insert = tuple[type[models.Model], Sequence[str], list[Row]]
Update = tuple[type[models.Model], Sequence[str], Sequence[str], list[Row]]


@dataclass(slots=True)
class Writes:
    """What one transaction writes."""

    inserts: list[Insert] = field(default_factory=list)
    updates: list[Update] = field(default_factory=list)
    prints: dict[str, list[Print]] = field(default_factory=dict)

    def write(self) -> None:
        for model, columns, rows in self.inserts:
            insert_rows(model, columns, rows)
        for model, keys, columns, rows in self.updates:
            update_rows(model, keys, columns, rows)
        for stock_id, prints in self.prints.items():
            merge_candles(stock_id, prints)


@dataclass(frozen=True, slots=True)
class Page:
    """A batch of orders as order entry writes it: reserved, then matched."""

    reserve: Writes
    match: Writes

    def write_at_once(self) -> None:
        with transaction.atomic():
            self.reserve.write()
            self.match.write()

    def write_in_two(self) -> None:
        with transaction.atomic():
            self.reserve.write()
        with transaction.atomic():
            self.match.write()


class Clerk:
    """Keeps the books of a world on paper, and writes down which rows each batch of its flow comes to."""

    def __init__(self, world: World) -> None:
        self._flow = Flow(world)
        self._markets = {stock_id: Market() for stock_id in world.stock_ids}
        self._accounts = _accounts(world)
        self._holdings = _holdings(world)
        self._newest_trades = dict.fromkeys(world.stock_ids, 0)
        self._open: list[Order] = []
        self._stock_of: dict[str, str] = {}

    def pages(self, operations: int, batch: int) -> Iterator[Page]:
        """The pages of so many operations, `batch` of them on each."""
        left = operations
        while left > 0:
            count = min(batch, left)
            left -= count
            yield self._page(count, timezone.now())

    def _page(self, count: int, now: datetime) -> Page:
        reserved: list[Reserved] = []
        events: dict[str, list[Event]] = defaultdict(list)
        for _ in range(count):
            operation = self._flow.next()
            if isinstance(operation, Cancelling):
                self._cancel(events)
            else:
                reserved.append(self._reserve(operation, now))
                events[operation.stock_id] += self._enter(reserved[-1])
        return Page(self._reserve_writes(reserved), self._match_writes(events, now))

    def _reserve(self, new_order: NewOrder, now: datetime) -> Reserved:
        assert new_order.price is not None
        reserved = Reserved(new_order_id(now), new_order, new_order.price, 0, 0, now)
        if new_order.side == "buy":
            self._accounts[new_order.user_id].hold(reserved.hold)
        else:
            self._holdings[new_order.user_id, new_order.stock_id].hold(reserved.hold)
        return reserved

    def _enter(self, reserved: Reserved) -> list[Event]:
        stock_id = reserved.new_order.stock_id
        order = entering(reserved)
        events = self._markets[stock_id].enter(order)
        if order.open_quantity:
            self._open.append(order)
            self._stock_of[order.order_id] = stock_id
        return events

    def _cancel(self, events: dict[str, list[Event]]) -> None:
        order = self._flow.pick(self._open)
        if order is not None and order.open_quantity:
            stock_id = self._stock_of[order.order_id]
            events[stock_id] += self._markets[stock_id].cancel(order.order_id, "user")

    def _reserve_writes(self, reserved: Sequence[Reserved]) -> Writes:
        buyers = {item.new_order.user_id for item in reserved if item.new_order.side == "buy"}
        sellers = {
            (item.new_order.user_id, item.new_order.stock_id)
            for item in reserved
            if item.new_order.side == "sell"
        }
        rows = [order_row(item) for item in reserved]
        return Writes(
            [(StoredOrder, ORDER_COLUMNS, rows)],
            [self._account_update(buyers), self._holding_update(sellers)],
        )

    def _match_writes(self, events: dict[str, list[Event]], now: datetime) -> Writes:
        states: list[Row] = []
        ledger: list[Row] = []
        happened: list[Row] = []
        trades: list[Row] = []
        prints: dict[str, list[Print]] = {}
        owners: set[int] = set()
        keys: set[HoldingKey] = set()
        for stock_id, of_stock in events.items():
            touched = touched_orders(of_stock).values()
            states += order_state_rows(touched, now)
            transfers = transfers_of(stock_id, of_stock, touched)
            for user_id, amount in transfers.released_cash.items():
                self._accounts[user_id].release(amount)
            ledger += booked(self._accounts, transfers.cash, now)
            owners |= transfers.user_ids_with_cash()
            keys |= self._move_shares(stock_id, transfers.released_shares, transfers.shares)
            happened += event_rows(stock_id, of_stock, now)
            made = [event for event in of_stock if isinstance(event, Trade)]
            trades += trade_rows(stock_id, made, now, settled_at=now)
            if made:
                prints[stock_id] = [Print(trade.sequence, trade.price, now, trade.quantity) for trade in made]
            for order in touched:
                order.stored_sequence = order.sequence
                order.held = hold_of_order(order)
        return Writes(
            [
                (LedgerEntry, LEDGER_COLUMNS, ledger),
                (OrderEvent, EVENT_COLUMNS, happened),
                (StoredTrade, TRADE_COLUMNS, trades),
            ],
            [
                (StoredOrder, ["order_id", "sequence"], ORDER_STATE_COLUMNS, states),
                self._account_update(owners),
                self._holding_update(keys),
                self._stock_update(events),
            ],
            prints,
        )

    def _move_shares(
        self, stock_id: str, released: dict[int, int], shares: Sequence[tuple[int, int, int]]
    ) -> set[HoldingKey]:
        for user_id, quantity in released.items():
            self._holdings[user_id, stock_id].release(quantity)
        for user_id, quantity, value in shares:
            if quantity > 0:
                self._holdings[user_id, stock_id].buy(quantity, value)
            else:
                self._holdings[user_id, stock_id].sell(-quantity)
        return {(user_id, stock_id) for user_id in (*released, *(user_id for user_id, _, _ in shares))}

    def _account_update(self, user_ids: set[int]) -> Update:
        accounts = [self._accounts[user_id] for user_id in sorted(user_ids)]
        rows: list[Row] = [(account.user_id, account.balance, account.reserved) for account in accounts]
        return CashAccount, ["user_id"], ["balance", "reserved"], rows

    def _holding_update(self, keys: set[HoldingKey]) -> Update:
        holdings = [self._holdings[key] for key in sorted(keys)]
        rows: list[Row] = [(item.holding_id, item.quantity, item.reserved, item.cost) for item in holdings]
        return Holding, ["id"], ["quantity", "reserved", "cost"], rows

    def _stock_update(self, events: dict[str, list[Event]]) -> Update:
        rows: list[Row] = []
        for stock_id, of_stock in events.items():
            market = self._markets[stock_id]
            trades = (event.sequence for event in of_stock if isinstance(event, Trade))
            newest = max(trades, default=self._newest_trades[stock_id])
            self._newest_trades[stock_id] = newest
            rows.append((stock_id, market.sequence, newest, market.last_price))
        return Stock, ["stock_id"], ["sequence", "trade_sequence", "last_price"], rows


def _accounts(world: World) -> dict[int, LockedAccount]:
    found = fetch_rows(
        "SELECT user_id, balance, reserved FROM users_cashaccount "
        f"WHERE user_id IN ({marks(len(world.user_ids))})",
        world.user_ids,
    )
    return {user_id: LockedAccount(user_id, balance, reserved) for user_id, balance, reserved in found}


def _holdings(world: World) -> dict[HoldingKey, LockedHolding]:
    found = fetch_rows(
        "SELECT id, user_id, stock_id, quantity, reserved, cost FROM stocks_holding "
        f"WHERE user_id IN ({marks(len(world.user_ids))})",
        world.user_ids,
    )
    return {
        (user_id, stock_id): LockedHolding(holding_id, quantity, reserved, cost)
        for holding_id, user_id, stock_id, quantity, reserved, cost in found
    }
