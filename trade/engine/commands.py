"""What can be done to a stock. Each command is applied under the stock's row lock, in its lane's order."""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any, NamedTuple

from stocks.services.ticks import FeedTick, StoredTick, stored_identities
from trade.engine.batch import Batch, Command, answer
from trade.matching import BUY, SELL, Order, Replaced
from trade.matching.orders import BOUNDED, CANCELLED, GTD, LIMIT
from trade.selectors.resting import (
    MATCHED_KINDS,
    due_order_ids,
    hold_of_order,
    open_day_order_ids,
    pending_changes,
)
from trade.services.refusals import (
    EngineBusy,
    MarketHalted,
    OrderNotOpen,
    PostOnlyWouldTrade,
    QuantityBelowTraded,
    UnknownOrder,
)
from trade.services.replacement import HeldChange, extra_needed
from trade.services.reservation import Repeated, Reserved
from trade.services.settlement import status_of
from users.services.cash import InsufficientFunds


class OrderState(NamedTuple):
    """What an order has become. Prices and values in units."""

    order_id: str
    quantity: int
    limit_price: int
    maker_fee_bps: int
    taker_fee_bps: int
    status: str
    reason: str
    remaining_quantity: int
    traded_quantity: int
    traded_value: int
    priority: int | None
    sequence: int
    created_at: datetime | None
    updated_at: datetime


class TickReport(NamedTuple):
    """What became of some ticks. `late` ones are among the `stored`; `refused`: price too far off."""

    stored: int = 0
    duplicate: int = 0
    late: int = 0
    refused: int = 0
    trades: int = 0

    def plus(self, other: "TickReport") -> "TickReport":
        return TickReport(*(mine + theirs for mine, theirs in zip(self, other, strict=True)))


def state_of(order: Order, now: datetime, created_at: datetime | None = None) -> OrderState:
    return OrderState(
        order.order_id,
        order.quantity,
        order.limit_price,
        order.maker_fee_bps,
        order.taker_fee_bps,
        status_of(order),
        order.reason,
        order.open_quantity,
        order.traded_quantity,
        order.traded_value,
        order.priority or None,
        order.sequence,
        created_at,
        now,
    )


@dataclass(slots=True)
class Enter(Command):
    """Let a reserved order into the market."""

    reserved: Reserved

    def apply(self, batch: Batch) -> Callable[[], OrderState]:
        if batch.is_retry:
            stored = batch.stored_order(self.reserved.order_id)
            if stored is None:
                # The database has crashed since, before what reserved it was on disk.
                raise EngineBusy("the order was lost before it was matched: place it again")
            if stored.sequence:
                return lambda: state_of(stored, batch.now, self.reserved.created_at)
        order = batch.handled.get(self.reserved.order_id)
        if order is None:
            order = batch.enter(entering(self.reserved))
        return lambda: state_of(order, batch.now, self.reserved.created_at)

    def give_up(self, error: Exception) -> None:
        # Whatever happened, it was stored and paid for. If it still is, the sweep lets it in.
        answer(self.future, Repeated(self.reserved.order_id))


@dataclass(slots=True)
class Recover(Command):
    """Let in an order that was reserved and never matched: its process is gone, or far behind."""

    order_id: str

    def apply(self, batch: Batch) -> Callable[[], bool]:
        order = batch.stored_order(self.order_id)
        if order is None or order.sequence or order.order_id in batch.handled:
            return lambda: False
        batch.enter(order)
        return lambda: True


@dataclass(slots=True)
class Cancel(Command):
    """Take an order out of the market. UnknownOrder, or OrderNotOpen when it is finished."""

    order_id: str
    reason: str = "user"

    def apply(self, batch: Batch) -> Callable[[], OrderState]:
        order = batch.market.orders.get(self.order_id)
        if order is not None:
            batch.events += batch.market.cancel(self.order_id, self.reason)
            return lambda: state_of(order, batch.now)
        return self._cancel_stored(batch)

    def _cancel_stored(self, batch: Batch) -> Callable[[], OrderState]:
        order = batch.stored_order(self.order_id)
        if order is None:
            raise UnknownOrder("there is no such order")
        if order.order_id in batch.handled:
            raise OrderNotOpen("the order is finished")
        if not order.sequence:
            # Paid for, but its match has not come yet.
            batch.handled[order.order_id] = order
            batch.events += batch.market.turn_away(order, self.reason)
        elif not (batch.is_retry and order.outcome == CANCELLED and order.reason == self.reason):
            raise OrderNotOpen("the order is finished")
        return lambda: state_of(order, batch.now)


@dataclass(slots=True)
class Replace(Command):
    """Give an order the price and total of a change that is paid for.

    OrderNotOpen, QuantityBelowTraded, MarketHalted, PostOnlyWouldTrade; InsufficientFunds when trades in
    between have used up what the change counted on. A refused change changes nothing, and frees its hold.
    """

    change: HeldChange

    def apply(self, batch: Batch) -> Callable[[], OrderState]:
        order = batch.order(self.change.order_id)
        if order is None:
            raise UnknownOrder("there is no such order")
        if not batch.take_over(order, self.change.change_id, self.change.extra_hold):
            raise EngineBusy("the change came too late: try again")
        self._check(batch, order)
        events = batch.market.replace(order.order_id, self.change.limit_price, self.change.quantity)
        batch.events += events
        replaced = next(event.order for event in events if isinstance(event, Replaced))
        if replaced.kind == LIMIT:
            batch.new_prices[replaced.order_id] = replaced.limit_price
        return lambda: state_of(replaced, batch.now)

    def _check(self, batch: Batch, order: Order) -> None:
        change, market = self.change, batch.market
        if order.order_id not in market.orders:
            raise OrderNotOpen("the order is finished")
        if market.halted:
            raise MarketHalted("the stock is halted: it takes cancels only")
        if change.quantity < order.traded_quantity:
            raise QuantityBelowTraded(f"{order.traded_quantity} shares are traded already")
        # Not `order.held`: what it traded in this batch is still in there, and is spent.
        held = hold_of_order(order) + change.extra_hold
        if extra_needed(order, change.limit_price, change.quantity, held):
            raise InsufficientFunds(
                "the order has traded meanwhile: what is left does not pay for the change"
            )
        if order.post_only and market.would_trade(order, change.limit_price):
            raise PostOnlyWouldTrade("at this price the post-only order would trade at once")


@dataclass(slots=True)
class FreePendingChanges(Command):
    """Free what was held for changes that never came to the match."""

    created_before: datetime

    def apply(self, batch: Batch) -> Callable[[], int]:
        changes = pending_changes(batch.stock.stock_id, created_before=self.created_before)
        for change_id, order_id, extra_hold in changes:
            order = batch.order(order_id)
            if order is not None:
                batch.take_over(order, change_id, extra_hold)
        return lambda: len(changes)


@dataclass(slots=True)
class ExpireDueOrders(Command):
    """End the orders whose time is over."""

    due: datetime

    def apply(self, batch: Batch) -> Callable[[], int]:
        expired: list[Any] = []
        for order_id in due_order_ids(batch.stock.stock_id, self.due):
            expired += batch.market.expire(order_id, GTD)
        batch.events += expired
        return lambda: len(expired)


@dataclass(slots=True)
class ApplyTicks(Command):
    """Store ticks of one stock and let waiting orders trade with them."""

    ticks: list[FeedTick]

    def apply(self, batch: Batch) -> Callable[[], TickReport]:
        batch.seen_ticks |= stored_identities(batch.stock, self.ticks)
        stored = duplicate = late = refused = trades = 0
        for tick in self.ticks:
            identity = (tick.timestamp, tick.price, tick.availability)
            if identity in batch.seen_ticks:
                duplicate += 1
                continue
            batch.seen_ticks.add(identity)
            newest = batch.stock.last_tick_at
            is_late = newest is not None and tick.timestamp < newest
            if not is_late and _is_too_far(tick.price, batch):
                refused += 1
                continue
            stored += 1
            late += is_late
            trades += _apply_tick(tick, is_late, batch)
        report = TickReport(stored, duplicate, late, refused, trades)
        return lambda: report


@dataclass(slots=True)
class Halt(Command):
    """Stop trading in the stock; cancels stay possible."""

    def apply(self, batch: Batch) -> Callable[[], bool]:
        events = batch.market.halt()
        batch.events += events
        return lambda: bool(events)


@dataclass(slots=True)
class Resume(Command):
    """Trade again."""

    def apply(self, batch: Batch) -> Callable[[], bool]:
        events = batch.market.resume()
        batch.events += events
        return lambda: bool(events)


@dataclass(slots=True)
class ExpireDayOrders(Command):
    """End the open orders that are good for the day: all, or those placed before a time."""

    placed_before: datetime | None = None

    def apply(self, batch: Batch) -> Callable[[], int]:
        expired: list[Any] = []
        for order_id in open_day_order_ids(batch.stock.stock_id, placed_before=self.placed_before):
            expired += batch.market.expire(order_id)
        batch.events += expired
        return lambda: len(expired)


def _apply_tick(tick: FeedTick, is_late: bool, batch: Batch) -> int:
    """Number, store and match one tick; how many trades it made."""
    if is_late:
        events = batch.market.late_tick(tick.price, tick.availability)
    else:
        events = batch.market.tick(tick.price, tick.availability)
    batch.ticks.append(StoredTick(events[0].sequence, tick.price, tick.availability, tick.timestamp, is_late))
    batch.stock.count_tick(tick.price, tick.timestamp)
    batch.events += events[1:]
    return len(events) - 1


def _is_too_far(price: int, batch: Batch) -> bool:
    ratio, last = batch.max_price_ratio, batch.market.last_price
    return bool(ratio and last) and (price > last * ratio or price * ratio < last)  # type: ignore[operator]


def entering(reserved: Reserved) -> Order:
    """A reserved order as the matcher takes it."""
    new_order = reserved.new_order
    other_bound = 0
    if new_order.type == BOUNDED:
        other_bound = (new_order.lower_bound if new_order.side == "buy" else new_order.upper_bound) or 0
    order = Order(
        reserved.order_id,
        new_order.user_id,
        BUY if new_order.side == "buy" else SELL,
        MATCHED_KINDS.get(new_order.type, new_order.type),
        reserved.limit_price,
        new_order.quantity,
        new_order.time_in_force,
        other_bound,
        stop_price=new_order.stop_price or 0,
        post_only=new_order.post_only,
        display_quantity=new_order.display_quantity or 0,
        self_trade=new_order.self_trade_prevention,
    )
    order.maker_fee_bps = reserved.maker_fee_bps
    order.taker_fee_bps = reserved.taker_fee_bps
    order.held = reserved.hold
    return order
