"""Changing an open order: what more it needs is held first, the change is made at the match.

The hold is a row of its own (`PendingChange`), made under the account's lock, without the stock's. Trades
may come between: what the order then has, with the extra, may not be enough any more, and the change is
refused as if it had come too late. A process that dies in between leaves the row behind; any engine frees
it a little later.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime

from django.db import transaction

from stocks.services.holdings import lock_holdings, write_holdings
from trade import models
from trade.matching import BUY, Order
from trade.money import hold_of
from trade.selectors.resting import orders_by_id
from trade.services.order_rules import check_collar, check_notional, check_price, check_quantity
from trade.services.refusals import (
    InvalidOrder,
    MarketHalted,
    OrderNotOpen,
    QuantityBelowTraded,
    UnknownOrder,
)
from trade.services.reservation import new_order_id, read_rules
from users.rows import fetch_rows, insert_rows, update_rows
from users.services.cash import lock_accounts, write_accounts


@dataclass(frozen=True, slots=True)
class Change:
    """A new price or total quantity for an order. None keeps what it has. The price is in units."""

    order_id: str
    user_id: int
    price: int | None = None
    quantity: int | None = None


@dataclass(frozen=True, slots=True)
class HeldChange:
    """A change that is paid for."""

    order_id: str
    stock_id: str
    limit_price: int
    quantity: int
    extra_hold: int
    change_id: str


def hold_for_change(change: Change, *, now: datetime) -> HeldChange:
    """Check a change and hold what it needs beyond what its order holds. Raises the refusal."""
    with transaction.atomic():
        account = lock_accounts([change.user_id]).get(change.user_id)
        order = orders_by_id([change.order_id]).get(change.order_id)
        if order is None or order.user_id != change.user_id or account is None:
            raise UnknownOrder("there is no such order")
        stock_id, limit_price, quantity = _checked(change, order)
        extra = extra_needed(order, limit_price, quantity, order.held)
        if extra and order.side == BUY:
            account.hold(extra)
            write_accounts([account])
        elif extra:
            holding = lock_holdings([(change.user_id, stock_id)])[change.user_id, stock_id]
            holding.hold(extra)
            write_holdings([holding])
        change_id = new_order_id(now)
        if extra:
            row = (change_id, change.order_id, extra, now)
            insert_rows(models.PendingChange, ["change_id", "order_id", "extra_hold", "created_at"], [row])
    return HeldChange(change.order_id, stock_id, limit_price, quantity, extra, change_id)


def extra_needed(order: Order, limit_price: int, quantity: int, held: int) -> int:
    """What the order needs beyond `held` for a new limit and total; never negative."""
    open_quantity = order.open_quantity + quantity - order.quantity
    side = "buy" if order.side == BUY else "sell"
    fee_bps = max(order.maker_fee_bps, order.taker_fee_bps)
    return max(0, hold_of(side, open_quantity, limit_price, fee_bps) - held)


def take_pending_change(change_id: str) -> bool:
    """Remove the row of a pending change; False when it was freed already."""
    deleted, _ = models.PendingChange.objects.filter(pk=change_id).delete()
    return bool(deleted)


def store_new_prices(prices: Mapping[str, int]) -> None:
    """Store the limits, in units, that orders were given."""
    update_rows(models.Order, ["order_id"], ["price"], list(prices.items()))


def _checked(change: Change, order: Order) -> tuple[str, int, int]:
    """(stock_id, limit price, total quantity) of the order after the change."""
    (stock_id,) = fetch_rows("SELECT stock_id FROM trade_order WHERE order_id = %s", [change.order_id])[0]
    rules = read_rules([stock_id])[stock_id]
    if not order.open_quantity:
        raise OrderNotOpen("the order is finished")
    if rules.is_halted:
        raise MarketHalted(f"{stock_id} is halted: it takes cancels only")
    limit_price, quantity = order.limit_price, order.quantity
    if change.price is not None:
        if order.kind != "limit":
            raise InvalidOrder("only limit orders have a price to change", field="price")
        limit_price = check_price("price", change.price, rules)
        check_collar(limit_price, rules)
    if change.quantity is not None:
        quantity = change.quantity
        check_quantity(quantity, rules)
        if quantity < order.traded_quantity:
            raise QuantityBelowTraded(f"{order.traded_quantity} shares are traded already")
    check_notional(limit_price * quantity, rules)
    return stock_id, limit_price, quantity
