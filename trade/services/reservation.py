"""RESERVE: hold the cash or the shares of new orders and store them as PENDING.

An order that leaves here is fully paid for, so that nothing after it can fail for want of money. Many
orders are reserved in one transaction, each accepted or refused on its own. Accounts are locked first,
then holdings, each in id order; the stock's row is read and never locked.

The account's lock also makes `client_order_id` safe: one user's orders are reserved one after another.
"""

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from math import ceil

from django.db import transaction

from stocks.models import Stock
from stocks.services.holdings import HoldingKey, LockedHolding, lock_holdings, write_holdings
from stocks.services.ticks import UnknownStock
from trade.models import Order
from trade.services.refusals import (
    BoundsCrossed,
    DuplicateClientOrderId,
    InvalidOrder,
    MarketHalted,
    NoReferencePrice,
    OrderTooLarge,
    PriceOffIncrement,
    QuantityOffLot,
    UnknownUser,
)
from users.exceptions import Refusal
from users.fields import MAX_MONEY_UNITS, MAX_PRICE_UNITS, MAX_QUANTITY, from_units
from users.rows import Row, fetch_rows, insert_rows, marks, read_uuid
from users.services.cash import LockedAccount, lock_accounts, write_accounts


@dataclass(frozen=True, slots=True)
class NewOrder:
    """What a user asks for. Prices in units, quantity in whole shares; words as in `trade.models.Order`."""

    user_id: int
    stock_id: str
    side: str
    type: str
    quantity: int
    time_in_force: str = "gtc"
    price: int | None = None
    lower_bound: int | None = None
    upper_bound: int | None = None
    client_order_id: str | None = None


@dataclass(frozen=True, slots=True)
class Reserved:
    """An order that is stored as PENDING and paid for."""

    order_id: str
    new_order: NewOrder
    limit_price: int
    created_at: datetime


@dataclass(frozen=True, slots=True)
class Repeated:
    """The order is stored: what it has become is for others to say.

    It was there before under the same client_order_id, or it is PENDING and this call does not wait for
    its match.
    """

    order_id: str


@dataclass(frozen=True, slots=True)
class StockRules:
    """What a stock asks of an order. Prices in units."""

    price_increment: int
    lot_size: int
    is_halted: bool
    last_price: int | None


Reservation = Reserved | Repeated | Refusal


def new_order_id(now: datetime) -> str:
    """A UUID of version 7 (RFC 9562) as 32 hex digits: ids made later sort later, so indexes stay dense."""
    milliseconds = int(now.timestamp() * 1000)
    random = int.from_bytes(os.urandom(10), "big")
    value = milliseconds << 80 | 0x7 << 76 | (random >> 66 & 0xFFF) << 64 | 0x2 << 62 | random & (1 << 62) - 1
    return f"{value:032x}"


def reserve_orders(
    *,
    new_orders: Sequence[NewOrder],
    order_ids: Sequence[str],
    collar: Decimal,
    now: datetime,
    is_retry: bool = False,
) -> list[Reservation]:
    """Reserve each order under its id: what became of each, in the same sequence.

    `collar` is the fraction around the last price within which a market order trades. With `is_retry` an
    earlier call may have been committed without an answer: an order that is stored is then `Repeated`.
    """
    with transaction.atomic():
        desk = _Desk.open(new_orders, collar)
        # Not before the locks: the lost transaction may still be at it, and holds them until it ends.
        stored = _stored_order_ids(order_ids) if is_retry else set()
        results = [
            Repeated(order_id) if order_id in stored else desk.reserve(order_id, new_order, now)
            for order_id, new_order in zip(order_ids, new_orders, strict=True)
        ]
        desk.write(now)
    return results


def _stored_order_ids(order_ids: Iterable[str]) -> set[str]:
    wanted = list(order_ids)
    rows = fetch_rows(f"SELECT order_id FROM trade_order WHERE order_id IN ({marks(len(wanted))})", wanted)
    return {read_uuid(order_id) for (order_id,) in rows}


class _Desk:
    """The locked rows and rules that one batch of orders is reserved against."""

    def __init__(
        self,
        *,
        rules: dict[str, StockRules],
        accounts: dict[int, LockedAccount],
        holdings: dict[HoldingKey, LockedHolding],
        taken: dict[tuple[int, str], Row],
        collar: Decimal,
    ) -> None:
        self._rules = rules
        self._accounts = accounts
        self._holdings = holdings
        self._taken = taken
        self._collar = collar
        self._rows: list[Row] = []
        self._changed_accounts: dict[int, LockedAccount] = {}
        self._changed_holdings: dict[HoldingKey, LockedHolding] = {}

    @classmethod
    def open(cls, new_orders: Sequence[NewOrder], collar: Decimal) -> "_Desk":
        accounts = lock_accounts(new_order.user_id for new_order in new_orders)
        return cls(
            accounts=accounts,
            holdings=lock_holdings(
                (new_order.user_id, new_order.stock_id)
                for new_order in new_orders
                if new_order.side == "sell"
            ),
            rules=_read_rules({new_order.stock_id for new_order in new_orders}),
            taken=_read_taken(new_orders),
            collar=collar,
        )

    def reserve(self, order_id: str, new_order: NewOrder, now: datetime) -> Reservation:
        try:
            if (repeated := self._repeated(new_order)) is not None:
                return repeated
            limit_price = self._checked_limit_price(new_order)
            self._hold(new_order, limit_price)
        except Refusal as refusal:
            return refusal
        row = _order_row(order_id, new_order, limit_price, now)
        self._rows.append(row)
        if new_order.client_order_id is not None:
            self._taken[new_order.user_id, new_order.client_order_id] = (order_id, *_request(new_order))
        return Reserved(order_id, new_order, limit_price, now)

    def write(self, now: datetime) -> None:
        insert_rows(Order, _ORDER_COLUMNS, self._rows)
        write_accounts(self._changed_accounts.values())
        write_holdings(self._changed_holdings.values())

    def _repeated(self, new_order: NewOrder) -> Repeated | None:
        if new_order.client_order_id is None:
            return None
        stored = self._taken.get((new_order.user_id, new_order.client_order_id))
        if stored is None:
            return None
        if stored[1:] != _request(new_order):
            raise DuplicateClientOrderId("another order has this client_order_id")
        return Repeated(stored[0])

    def _checked_limit_price(self, new_order: NewOrder) -> int:
        rules = self._rules.get(new_order.stock_id)
        if rules is None:
            raise UnknownStock(f"there is no stock {new_order.stock_id}")
        if rules.is_halted:
            raise MarketHalted(f"{new_order.stock_id} is halted: it takes cancels only")
        check_quantity(new_order, rules)
        limit_price = limit_price_of(new_order, rules, self._collar)
        if limit_price * new_order.quantity > MAX_MONEY_UNITS:
            raise OrderTooLarge(f"price x quantity may be at most {from_units(MAX_MONEY_UNITS)}")
        return limit_price

    def _hold(self, new_order: NewOrder, limit_price: int) -> None:
        account = self._accounts.get(new_order.user_id)
        if account is None:
            raise UnknownUser("there is no such user")
        if new_order.side == "buy":
            account.hold(limit_price * new_order.quantity)
            self._changed_accounts[new_order.user_id] = account
            return
        key = (new_order.user_id, new_order.stock_id)
        holding = self._holdings.get(key, LockedHolding(0, 0, 0, 0))
        holding.hold(new_order.quantity)
        self._changed_holdings[key] = holding


def check_quantity(new_order: NewOrder, rules: StockRules) -> None:
    """Whole lots, at least one, at most MAX_QUANTITY shares."""
    if not 0 < new_order.quantity <= MAX_QUANTITY:
        raise QuantityOffLot(f"a quantity is from 1 to {MAX_QUANTITY}")
    if new_order.quantity % rules.lot_size:
        raise QuantityOffLot(f"a quantity is a whole number of lots of {rules.lot_size}")


def limit_price_of(new_order: NewOrder, rules: StockRules, collar: Decimal) -> int:
    """The worst price, in units, at which the order may trade."""
    if new_order.type == Order.Type.MARKET:
        return market_limit_price(new_order.side, rules, collar)
    if new_order.type == Order.Type.BOUNDED:
        lower = check_price("lower_bound", new_order.lower_bound, rules)
        upper = check_price("upper_bound", new_order.upper_bound, rules)
        if lower > upper:
            raise BoundsCrossed("the lower bound may not be above the upper bound")
        return upper if new_order.side == "buy" else lower
    return check_price("price", new_order.price, rules)


def check_price(field: str, price: int | None, rules: StockRules) -> int:
    """The price itself, when it is one that the stock takes."""
    if price is None:
        raise InvalidOrder("this field is required", field=field)
    if not 0 < price <= MAX_PRICE_UNITS:
        raise InvalidOrder(f"a price is above 0 and at most {from_units(MAX_PRICE_UNITS)}", field=field)
    if price % rules.price_increment:
        raise PriceOffIncrement(
            f"a price is a whole number of increments of {from_units(rules.price_increment).normalize():f}",
            field=field,
        )
    return price


def market_limit_price(side: str, rules: StockRules, collar: Decimal) -> int:
    """The edge of the collar around the last price, on an increment inside it."""
    if rules.last_price is None:
        raise NoReferencePrice("a market order needs a last price: use a limit order")
    increment = rules.price_increment
    if side == "buy":
        edge = int(rules.last_price * (1 + collar)) // increment * increment
        return min(max(edge, increment), MAX_PRICE_UNITS)
    edge = -(-ceil(rules.last_price * (1 - collar)) // increment) * increment
    return max(edge, increment)


def _read_rules(stock_ids: set[str]) -> dict[str, StockRules]:
    rows = fetch_rows(
        "SELECT stock_id, price_increment, lot_size, status, last_price FROM stocks_stock "
        f"WHERE stock_id IN ({marks(len(stock_ids))})",
        sorted(stock_ids),
    )
    return {
        stock_id: StockRules(increment, lot_size, status == Stock.Status.HALTED, last_price)
        for stock_id, increment, lot_size, status, last_price in rows
    }


_REQUEST_COLUMNS = (
    "stock_id",
    "side",
    "type",
    "time_in_force",
    "quantity",
    "price",
    "lower_bound",
    "upper_bound",
)


def _request(new_order: NewOrder) -> Row:
    """What makes two requests under one client_order_id the same."""
    return tuple(getattr(new_order, column) for column in _REQUEST_COLUMNS)


def _read_taken(new_orders: Sequence[NewOrder]) -> dict[tuple[int, str], Row]:
    """Stored orders under the client_order_ids of this batch: (order_id, *request) by user and id."""
    wanted = {(item.user_id, item.client_order_id) for item in new_orders if item.client_order_id is not None}
    if not wanted:
        return {}
    pairs = ", ".join(["(%s, %s)"] * len(wanted))
    rows = fetch_rows(
        f"SELECT user_id, client_order_id, order_id, {', '.join(_REQUEST_COLUMNS)} FROM trade_order "
        f"WHERE (user_id, client_order_id) IN (VALUES {pairs})",
        [value for key in wanted for value in key],
    )
    return {
        (user_id, client_order_id): (read_uuid(order_id), *request)
        for user_id, client_order_id, order_id, *request in rows
    }


_ORDER_COLUMNS = (
    "order_id",
    "client_order_id",
    "user_id",
    *_REQUEST_COLUMNS,
    "limit_price",
    "status",
    "reason",
    "remaining_quantity",
    "traded_quantity",
    "traded_value",
    "sequence",
    "created_at",
    "updated_at",
)


def _order_row(order_id: str, new_order: NewOrder, limit_price: int, now: datetime) -> Row:
    return (
        order_id,
        new_order.client_order_id,
        new_order.user_id,
        *_request(new_order),
        limit_price,
        Order.Status.PENDING.value,
        "",
        new_order.quantity,
        0,
        0,
        0,
        now,
        now,
    )
