"""MATCH: one batch of commands on one stock, in one transaction.

Begin; lock the stock's row; bring the book up to date; apply each command to the rules in memory; write
what happened; commit. The commands share the commit, but each succeeds or is refused on its own.
"""

from collections.abc import Callable, Collection, Sequence
from concurrent.futures import Future, InvalidStateError
from contextlib import suppress
from dataclasses import dataclass, field, replace
from datetime import datetime
from typing import Any

from django.db import transaction

from stocks.models import Stock
from stocks.services.candles import Print
from stocks.services.ticks import (
    LockedStock,
    StoredTick,
    TickIdentity,
    lock_stock,
    store_prices,
    write_stock,
)
from trade.engine.books import Books
from trade.matching import Event, Market, Order, Trade
from trade.selectors.resting import hold_of_order, orders_by_id
from trade.services.replacement import store_new_prices, take_pending_change
from trade.services.settlement import settle, source_of, status_of, touched_orders
from trade.signals import BookLevel, BookSnapshot, ChangedOrder, CommittedBatch, CommittedTrade
from users.exceptions import Refusal
from users.round_trips import shared_round_trips

# Levels a side in the book that goes out with every batch.
SNAPSHOT_DEPTH = 20


@dataclass(slots=True)
class Batch:
    """What commands see while they are applied.

    `is_retry` says that an earlier attempt may have been committed, or that another process may have been
    at the same orders: a command then looks at what is stored before it acts.
    """

    stock: LockedStock
    market: Market
    now: datetime
    is_retry: bool
    max_price_ratio: int
    defers_settlement: bool = False
    events: list[Event] = field(default_factory=list)
    ticks: list[StoredTick] = field(default_factory=list)
    seen_ticks: set[TickIdentity] = field(default_factory=set)
    # Orders that this batch let in or turned away: their rows still say PENDING until it is written.
    handled: dict[str, Order] = field(default_factory=dict)
    # Orders that took over the hold of a pending change, and those that have a new price.
    freed: dict[str, Order] = field(default_factory=dict)
    new_prices: dict[str, int] = field(default_factory=dict)

    def enter(self, order: Order) -> Order:
        """Let a reserved order into the market."""
        self.handled[order.order_id] = order
        self.events += self.market.enter(order)
        return order

    def take_over(self, order: Order, change_id: str, extra_hold: int) -> bool:
        """Make what a pending change holds the order's own; False when it was freed already."""
        if extra_hold and not take_pending_change(change_id):
            return False
        order.held += extra_hold
        self.freed[order.order_id] = order
        return True

    def changed_orders(self) -> dict[str, Order]:
        """The orders that this batch has changed so far."""
        return {**self.freed, **touched_orders(self.events)}

    def order(self, order_id: str) -> Order | None:
        """The order as this batch has it, or as it is stored."""
        open_order = self.market.orders.get(order_id)
        return open_order or self.changed_orders().get(order_id) or self.stored_order(order_id)

    def stored_order(self, order_id: str) -> Order | None:
        """The order as it is stored, if it is one of this stock's."""
        return orders_by_id([order_id]).get(order_id)


@dataclass(slots=True)
class Command:
    """Something to do to one stock. `apply` returns a function that makes the answer after the commit."""

    future: "Future[Any]"

    def apply(self, batch: Batch) -> Callable[[], Any]:
        raise NotImplementedError  # pragma: no cover

    def give_up(self, error: Exception) -> None:
        """Answer that it was not done."""
        answer(self.future, error)


def answer(future: "Future[Any]", result: Any) -> None:
    """Answer a caller, with an exception or a result, unless it has its answer or has gone."""
    with suppress(InvalidStateError):
        if isinstance(result, Exception):
            future.set_exception(result)
        else:
            future.set_result(result)


@dataclass(frozen=True, slots=True)
class Done:
    """A committed batch: the answers to its commands, and the news (None when nothing changed)."""

    answers: list[tuple["Future[Any]", Any]]
    news: CommittedBatch | None


def run_batch(
    *,
    books: Books,
    stock_id: str,
    commands: Sequence[Command],
    now: datetime,
    is_retry: bool,
    max_price_ratio: int,
    defers_settlement: bool = False,
) -> Done:
    """Apply the commands and commit. On any exception nothing was stored, and the caller drops the book."""
    with transaction.atomic():
        stock = lock_stock(stock_id)
        batch = Batch(stock, books.current(stock), now, is_retry, max_price_ratio, defers_settlement)
        before = replace(stock)
        results = [(command.future, _apply(command, batch)) for command in commands]
        news = None
        touched = touched_orders(batch.events)
        freed = [order for order_id, order in batch.freed.items() if order_id not in touched]
        with shared_round_trips():
            trade_ids = _write(batch, touched.values(), freed)
        if batch.market.sequence > before.sequence:
            news = _news(batch, touched.values(), before, trade_ids)
    for order in (*touched.values(), *freed):
        order.stored_sequence = order.sequence
        order.held = hold_of_order(order)
    return Done([(future, result()) for future, result in results], news)


def _apply(command: Command, batch: Batch) -> Callable[[], Any]:
    try:
        return command.apply(batch)
    except Refusal as refusal:
        refused = refusal
        return lambda: refused


def _write(batch: Batch, touched: Collection[Order], freed: Collection[Order]) -> list[int]:
    stock, market = batch.stock, batch.market
    trade_ids: list[int] = []
    if not (freed or batch.ticks or batch.events):
        return trade_ids
    store_new_prices(batch.new_prices)
    trades = [event for event in batch.events if isinstance(event, Trade)]
    if batch.ticks or trades:
        prints = [Print(trade.sequence, trade.price, batch.now, trade.quantity) for trade in trades]
        store_prices(stock.stock_id, batch.ticks, prints)
    stock.sequence = market.sequence
    stock.status = (Stock.Status.HALTED if market.halted else Stock.Status.OPEN).value
    stock.last_price = market.last_price
    stock.trade_sequence = max((trade.sequence for trade in trades), default=stock.trade_sequence)
    stock.tick_sequence = max((tick.sequence for tick in batch.ticks), default=stock.tick_sequence)
    if (quote := market.quote) is not None:
        stock.quote_price, stock.quote_availability, stock.quote_bid_quantity = quote[:3]
        stock.quote_ask_quantity, stock.quote_sequence = quote[3:]
    write_stock(stock)
    # Last, because it locks accounts that order entry and other stocks wait for.
    if freed or batch.events:
        trade_ids = settle(
            stock_id=stock.stock_id,
            events=batch.events,
            touched=touched,
            freed=freed,
            now=batch.now,
            is_deferred=batch.defers_settlement,
        )
    return trade_ids


def _news(
    batch: Batch,
    touched: Collection[Order],
    before: LockedStock,
    trade_ids: list[int],
) -> CommittedBatch:
    trades = [event for event in batch.events if isinstance(event, Trade)]
    bids, asks = batch.market.snapshot(SNAPSHOT_DEPTH)
    return CommittedBatch(
        stock_id=batch.stock.stock_id,
        first_sequence=before.sequence + 1,
        sequence=batch.stock.sequence,
        previous_trade_sequence=before.trade_sequence,
        trade_sequence=batch.stock.trade_sequence,
        previous_tick_sequence=before.tick_sequence,
        tick_sequence=batch.stock.tick_sequence,
        trades=tuple(
            _committed_trade(trade_id, trade) for trade_id, trade in zip(trade_ids, trades, strict=True)
        ),
        ticks=tuple(batch.ticks),
        orders=tuple(_changed_order(order) for order in touched),
        book=BookSnapshot(
            tuple(BookLevel(*level) for level in bids), tuple(BookLevel(*level) for level in asks)
        ),
        last_price=batch.market.last_price,
        committed_at=batch.now,
    )


def _committed_trade(trade_id: int, trade: Trade) -> CommittedTrade:
    return CommittedTrade(
        trade_id=trade_id,
        sequence=trade.sequence,
        price=trade.price,
        quantity=trade.quantity,
        bid_order_id=None if trade.bid is None else trade.bid.order_id,
        ask_order_id=None if trade.ask is None else trade.ask.order_id,
        buyer_id=None if trade.bid is None else trade.bid.user_id,
        seller_id=None if trade.ask is None else trade.ask.user_id,
        source=source_of(trade),
    )


def _changed_order(order: Order) -> ChangedOrder:
    return ChangedOrder(
        order.order_id,
        order.user_id,
        status_of(order),
        order.open_quantity,
        order.traded_quantity,
        order.sequence,
    )
