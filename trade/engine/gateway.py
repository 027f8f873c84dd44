"""The calls that REST, the feed, bots and commands make on the engine.

The blocking ones wait for the commit and raise `Refusal`s; the others return futures.
"""

import os
import threading
from collections import defaultdict
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from concurrent.futures import TimeoutError as FutureTimeout
from typing import Any
from uuid import UUID

from django.conf import settings
from django.db import DEFAULT_DB_ALIAS
from django.utils import timezone

from stocks.services.ticks import FeedTick
from trade.engine.commands import ApplyTicks, Cancel, ExpireDayOrders, Halt, OrderState, Resume, TickReport
from trade.engine.database_threads import DatabaseThreads
from trade.engine.engine import Engine, EngineOptions
from trade.engine.entry import Basket, ChangeRequest, Placement
from trade.models import Order
from trade.services.order_rules import NewOrder
from trade.services.refusals import EngineBusy, OrderNotOpen, OutcomeUnknown, UnknownOrder
from trade.services.replacement import Change
from trade.services.reservation import Reservation, preview_orders
from users.exceptions import Refusal
from users.fields import from_units
from users.rows import wait_for_disk

# Calls of event loops that are waited for at once; the others queue.
CALLER_THREADS = 8


class MarketEngine(Engine):
    """An engine with the calls of the market."""

    def __init__(self, options: EngineOptions) -> None:
        super().__init__(options)
        # Make the blocking calls for event loops: see `trade.engine.awaited`.
        self.callers = DatabaseThreads(CALLER_THREADS, "engine-caller")

    def stop(self, timeout_s: float = 10.0) -> None:
        super().stop(timeout_s)
        self.callers.close()

    # --- Orders -------------------------------------------------------------------------------------

    def place_order(self, new_order: NewOrder, timeout_s: float | None = None) -> Order:
        """Reserve and match one order; the order as it then is.

        Still PENDING when the match took longer than `timeout_s` (default: ORDER_ANSWER_TIMEOUT_S).
        Raises the Refusal when it was refused; then nothing was stored. OutcomeUnknown: it may be, or not.
        """
        (result,) = self.place_orders([new_order], timeout_s)
        if isinstance(result, Refusal):
            raise result
        return result

    def place_orders(
        self, new_orders: Sequence[NewOrder], timeout_s: float | None = None
    ) -> list[Order | Refusal]:
        """As `place_order` for many, each on its own, in the same sequence."""
        timeout_s = settings.ORDER_ANSWER_TIMEOUT_S if timeout_s is None else timeout_s
        return self.outcomes(self.submit_orders(new_orders), timeout_s=timeout_s)

    def submit_orders(self, new_orders: Sequence[NewOrder]) -> list[Placement]:
        """Queue orders, all or none (EngineBusy), and return at once; `outcomes` has the answers."""
        placements = [Placement.of(new_order) for new_order in new_orders]
        self.submit_entry(placements)
        return placements

    def outcomes(self, placements: Sequence[Placement], *, timeout_s: float) -> list[Order | Refusal]:
        """What became of submitted orders, waiting up to `timeout_s` for each."""
        return [_outcome(placement, timeout_s) for placement in placements]

    def place_basket(self, new_orders: Sequence[NewOrder]) -> list[Order]:
        """Reserve all orders or none (BasketRefused, naming the first leg in the way), then match each."""
        basket = Basket([Placement.of(new_order) for new_order in new_orders], Future())
        self.submit_entry([basket])
        self._entry_answer(basket.future)
        outcomes = [_outcome(placement, settings.ORDER_ANSWER_TIMEOUT_S) for placement in basket.placements]
        return [outcome for outcome in outcomes if isinstance(outcome, Order)]

    def preview_orders(self, new_orders: Sequence[NewOrder]) -> list[Reservation]:
        """What placing would answer and hold, now. Changes nothing."""
        return preview_orders(
            new_orders=new_orders, collar=self.options.market_order_collar, now=timezone.now()
        )

    def submit_order(self, new_order: NewOrder) -> "Future[Any]":
        """Queue one order and return at once. The future's result has an `order_id`; it raises Refusals."""
        placement = Placement.of(new_order)
        self.submit_entry([placement])
        return placement.future

    def replace_order(
        self, order_id: UUID, user_id: int, *, price: int | None = None, quantity: int | None = None
    ) -> Order:
        """Give an open order a new price (units) or total quantity; the order as it then is.

        UnknownOrder, OrderNotOpen, QuantityBelowTraded, InsufficientFunds, InsufficientShares,
        MarketHalted, PostOnlyWouldTrade, and the refusals of the stock's rules. Refused, nothing changed.
        """
        request = ChangeRequest(Change(order_id.hex, user_id, price, quantity), Future())
        self.submit_entry([request])
        state = self._entry_answer(request.future)
        return _updated(Order.objects.get(pk=order_id), state)

    def cancel_order(self, order_id: UUID, user_id: int | None = None) -> Order:
        """Cancel one order (of that user, if given). UnknownOrder, OrderNotOpen."""
        order = Order.objects.filter(
            pk=order_id, **({"user_id": user_id} if user_id is not None else {})
        ).first()
        if order is None:
            raise UnknownOrder("there is no such order")
        if order.status not in Order.OPEN_STATUSES:
            raise OrderNotOpen("the order is finished")
        future = self.submit(order.stock_id, Cancel(Future(), order_id.hex))
        return _updated(order, self._answer(future))

    def cancel_orders(self, user_id: int, stock_id: str | None = None, side: str | None = None) -> int:
        """Cancel all open orders of a user, or those of one stock or side; how many there were."""
        orders = Order.objects.filter(user_id=user_id, status__in=Order.OPEN_STATUSES)
        if stock_id is not None:
            orders = orders.filter(stock_id=stock_id)
        if side is not None:
            orders = orders.filter(side=side)
        found = list(orders.values_list("order_id", "stock_id"))
        futures = [self.submit(stock, Cancel(Future(), order_id.hex)) for order_id, stock in found]
        return sum(self._was_cancelled(future) for future in futures)

    def expire_day_orders(self, stock_id: str) -> int:
        """End the stock's open orders that are good for the day; how many there were."""
        return self._answer(self.submit(stock_id, ExpireDayOrders(Future())))

    # --- Feed and market ----------------------------------------------------------------------------

    def apply_ticks(self, ticks: Sequence[FeedTick]) -> "Future[TickReport]":
        """Store and match ticks of one stock or many, per stock in the given order.

        The future is done after the last commit. It fails with UnknownStock when a stock is not listed
        (the other stocks' ticks are applied all the same), and with EngineBusy when a lane is full.
        """
        by_stock: dict[str, list[FeedTick]] = defaultdict(list)
        for tick in ticks:
            by_stock[tick.stock_id].append(tick)
        parts = [self.submit(stock_id, ApplyTicks(Future(), part)) for stock_id, part in by_stock.items()]
        return _sum_of(parts)

    def halt(self, stock_id: str) -> bool:
        """Halt a stock; False when it was halted already."""
        return self._answer(self.submit(stock_id, Halt(Future())))

    def resume(self, stock_id: str) -> bool:
        """Resume a stock; False when it was open already."""
        return self._answer(self.submit(stock_id, Resume(Future())))

    def _answer(self, future: "Future[Any]") -> Any:
        try:
            return future.result(settings.ORDER_ANSWER_TIMEOUT_S)
        except FutureTimeout:
            raise OutcomeUnknown(
                "the market has not answered in time, and may still do it: look before you try again"
            ) from None

    def _entry_answer(self, future: "Future[Any]") -> Any:
        """As `_answer`; EngineBusy when it had not begun in time, and never will."""
        try:
            return self._answer(future)
        except OutcomeUnknown:
            if future.cancel():
                raise _too_late() from None
            raise

    def _was_cancelled(self, future: "Future[Any]") -> bool:
        try:
            self._answer(future)
        except (OrderNotOpen, UnknownOrder):
            return False
        return True


_engine: MarketEngine | None = None
_engine_lock = threading.Lock()


def get_engine() -> MarketEngine:
    """This process's engine, started if it was not."""
    global _engine
    with _engine_lock:
        if _engine is None:
            _engine = MarketEngine(options_from_settings())
            _engine.start()
        return _engine


def reset_engine() -> None:
    """Stop this process's engine, if there is one; the next `get_engine()` starts another."""
    global _engine
    with _engine_lock:
        if _engine is not None:
            _engine.stop()
        _engine = None


def options_from_settings() -> EngineOptions:
    return EngineOptions(
        threads=settings.ENGINE_THREADS,
        market_order_collar=settings.MARKET_ORDER_COLLAR,
        orphan_age_s=settings.ORPHAN_AGE_S,
        max_price_ratio=settings.FEED_MAX_PRICE_RATIO,
        defers_settlement=settings.SETTLEMENT == "deferred",
        day_closes_at=settings.TRADING_DAY_CLOSES_AT,
    )


def _forget_after_fork() -> None:
    # Threads do not survive a fork: a forked web worker starts its own engine.
    global _engine, _engine_lock
    _engine, _engine_lock = None, threading.Lock()


os.register_at_fork(after_in_child=_forget_after_fork)


def _outcome(placement: Placement, timeout_s: float) -> Order | Refusal:
    try:
        result = placement.future.result(timeout_s)
    except Refusal as refusal:
        return refusal
    except FutureTimeout:
        if placement.future.cancel():
            return _too_late()
        return _stored(placement.order_id)
    if isinstance(result, OrderState):
        return _order(placement.new_order, result)
    return _stored(result.order_id)


def _stored(order_id: str) -> Order | Refusal:
    order = Order.objects.filter(pk=UUID(order_id)).first()
    if order is None:
        return OutcomeUnknown(
            "it is not known yet whether the order is placed: look for it under its client_order_id, "
            f"or as order {UUID(order_id)}"
        )
    if order.status == Order.Status.PENDING:
        # What reserved it may not be on disk yet, and no match has covered it.
        wait_for_disk()
    return order


def _too_late() -> EngineBusy:
    return EngineBusy("too many orders are waiting: try again in a moment")


# As `Model.from_db` takes them: naming each field to the model's constructor takes three times as long.
_ORDER_FIELDS = [field.attname for field in Order._meta.concrete_fields]


def _order(new_order: NewOrder, state: OrderState) -> Order:
    """The stored order, put together without asking the database for it."""
    assert state.created_at is not None, "a placement knows when it was reserved"
    values = {
        "order_id": UUID(state.order_id),
        "client_order_id": new_order.client_order_id,
        "user_id": new_order.user_id,
        "stock_id": new_order.stock_id,
        "side": new_order.side,
        "type": new_order.type,
        "time_in_force": new_order.time_in_force,
        "price": _decimal(new_order.price),
        "lower_bound": _decimal(new_order.lower_bound),
        "upper_bound": _decimal(new_order.upper_bound),
        "stop_price": _decimal(new_order.stop_price),
        "display_quantity": new_order.display_quantity,
        "post_only": new_order.post_only,
        "self_trade_prevention": new_order.self_trade_prevention,
        "expires_at": new_order.expires_at,
        "maker_fee_bps": state.maker_fee_bps,
        "taker_fee_bps": state.taker_fee_bps,
        "is_stopped": False,
        "shown_quantity": 0,
        "created_at": state.created_at,
    }
    # `None` stands in for what `_updated` sets.
    order = Order.from_db(DEFAULT_DB_ALIAS, _ORDER_FIELDS, [values.get(name) for name in _ORDER_FIELDS])
    return _updated(order, state)


def _updated(order: Order, state: OrderState) -> Order:
    order.quantity = state.quantity
    if order.type in (Order.Type.LIMIT, Order.Type.STOP_LIMIT):
        order.price = from_units(state.limit_price)
    order.limit_price = from_units(state.limit_price)
    order.status = state.status
    order.reason = state.reason
    order.remaining_quantity = state.remaining_quantity
    order.traded_quantity = state.traded_quantity
    order.traded_value = from_units(state.traded_value)
    order.priority = state.priority
    order.sequence = state.sequence
    order.updated_at = state.updated_at
    return order


def _decimal(units: int | None) -> Any:
    return None if units is None else from_units(units)


def _sum_of(parts: "list[Future[TickReport]]") -> "Future[TickReport]":
    """One future for many reports; the first error, when there was one, once all are done."""
    total: Future[TickReport] = Future()
    left = len(parts)
    lock = threading.Lock()

    def part_done(_: "Future[TickReport]") -> None:
        nonlocal left
        with lock:
            left -= 1
            if left:
                return
        error = next((error for part in parts if (error := part.exception())), None)
        if error is not None:
            total.set_exception(error)
        else:
            total.set_result(_add_up(part.result() for part in parts))

    if not parts:
        total.set_result(TickReport())
    for part in parts:
        part.add_done_callback(part_done)
    return total


def _add_up(reports: Iterable[TickReport]) -> TickReport:
    total = TickReport()
    for report in reports:
        total = total.plus(report)
    return total
