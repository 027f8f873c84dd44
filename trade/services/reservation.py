"""RESERVE: hold the cash or the shares of new orders and store them as PENDING.

An order that leaves here is fully paid for, so that nothing after it can fail for want of money. Many
orders are reserved in one transaction, each accepted or refused on its own. Accounts are locked first,
then holdings, each in id order; the stock's row is read and never locked.

The account's lock also makes `client_order_id` safe: one user's orders are reserved one after another.
"""

import os
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal

from django.db import transaction

from stocks.models import Stock
from stocks.services.holdings import HoldingKey, LockedHolding, lock_holdings, write_holdings
from stocks.services.ticks import UnknownStock
from trade.models import Order
from trade.money import hold_of
from trade.services.order_rules import NewOrder, StockRules, check_order
from trade.services.refusals import DuplicateClientOrderId, UnknownUser
from users.exceptions import Refusal
from users.round_trips import shared_round_trips
from users.rows import Row, fetch_rows, insert_rows, let_commit_run_ahead, marks, read_time, read_uuid
from users.services.cash import LockedAccount, lock_accounts, write_accounts


@dataclass(frozen=True, slots=True)
class Reserved:
    """An order that is stored as PENDING and paid for."""

    order_id: str
    new_order: NewOrder
    limit_price: int
    maker_fee_bps: int
    taker_fee_bps: int
    created_at: datetime

    @property
    def hold(self) -> int:
        """What is held for it: units of cash for a buy, shares for a sell."""
        fee_bps = max(self.maker_fee_bps, self.taker_fee_bps)
        return hold_of(self.new_order.side, self.new_order.quantity, self.limit_price, fee_bps)


@dataclass(frozen=True, slots=True)
class Repeated:
    """The order is stored: what it has become is for others to say.

    It was there before under the same client_order_id, or it is PENDING and this call does not wait for
    its match.
    """

    order_id: str


Reservation = Reserved | Repeated | Refusal


def new_order_id(now: datetime) -> str:
    """A UUID of version 7 (RFC 9562) as 32 hex digits: ids made later sort later, so indexes stay dense."""
    milliseconds = int(now.timestamp() * 1000)
    random = int.from_bytes(os.urandom(10), "big")
    value = milliseconds << 80 | 0x7 << 76 | (random >> 66 & 0xFFF) << 64 | 0x2 << 62 | random & (1 << 62) - 1
    return f"{value:032x}"


def reserve_orders(
    *, orders: Sequence[tuple[str, NewOrder]], collar: Decimal, now: datetime, is_retry: bool = False
) -> list[Reservation]:
    """Reserve each order under its id: what became of each, in the same sequence.

    `collar` is the fraction around the last price within which a market order trades. With `is_retry` an
    earlier call may have been committed without an answer: an order that is stored is then `Repeated`.
    """
    with transaction.atomic():
        desk = _Desk.open([new_order for _, new_order in orders], collar, now)
        results = desk.reserve_all(orders, is_retry)
        with shared_round_trips():
            desk.write()
            if not any(isinstance(result, Repeated) for result in results):
                # Who waits for these orders is answered after their match, whose commit covers this one.
                let_commit_run_ahead()
    return results


def reserve_basket(
    *, orders: Sequence[tuple[str, NewOrder]], collar: Decimal, now: datetime, is_retry: bool = False
) -> list[Reservation]:
    """Reserve all orders, or none: then every result that is not a Refusal is meaningless."""
    with transaction.atomic():
        desk = _Desk.open([new_order for _, new_order in orders], collar, now)
        results = desk.reserve_all(orders, is_retry)
        if not any(isinstance(result, Refusal) for result in results):
            desk.write()
    return results


def preview_orders(*, new_orders: Sequence[NewOrder], collar: Decimal, now: datetime) -> list[Reservation]:
    """What `reserve_orders` would answer. Nothing is stored or held."""
    with transaction.atomic():
        desk = _Desk.open(new_orders, collar, now)
        return [desk.reserve(new_order_id(now), new_order) for new_order in new_orders]


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
        now: datetime,
    ) -> None:
        self._rules = rules
        self._accounts = accounts
        self._holdings = holdings
        self._taken = taken
        self._collar = collar
        self._now = now
        self._rows: list[Row] = []
        self._changed_accounts: dict[int, LockedAccount] = {}
        self._changed_holdings: dict[HoldingKey, LockedHolding] = {}

    @classmethod
    def open(cls, new_orders: Sequence[NewOrder], collar: Decimal, now: datetime) -> "_Desk":
        accounts = lock_accounts(new_order.user_id for new_order in new_orders)
        return cls(
            accounts=accounts,
            holdings=lock_holdings(
                (new_order.user_id, new_order.stock_id)
                for new_order in new_orders
                if new_order.side == "sell"
            ),
            rules=read_rules({new_order.stock_id for new_order in new_orders}),
            taken=_read_taken(new_orders),
            collar=collar,
            now=now,
        )

    def reserve_all(self, orders: Sequence[tuple[str, NewOrder]], is_retry: bool) -> list[Reservation]:
        # Not before the locks: a lost transaction may still be at it, and holds them until it ends.
        stored = _stored_order_ids(order_id for order_id, _ in orders) if is_retry else set()
        return [
            Repeated(order_id) if order_id in stored else self.reserve(order_id, new_order)
            for order_id, new_order in orders
        ]

    def reserve(self, order_id: str, new_order: NewOrder) -> Reservation:
        try:
            if (repeated := self._repeated(new_order)) is not None:
                return repeated
            rules = self._rules.get(new_order.stock_id)
            if rules is None:
                raise UnknownStock(f"there is no stock {new_order.stock_id}")
            limit_price = check_order(new_order, rules, collar=self._collar, now=self._now)
            reserved = Reserved(
                order_id, new_order, limit_price, rules.maker_fee_bps, rules.taker_fee_bps, self._now
            )
            self._hold(reserved)
        except Refusal as refusal:
            return refusal
        self._rows.append(order_row(reserved))
        if new_order.client_order_id is not None:
            self._taken[new_order.user_id, new_order.client_order_id] = (order_id, *_request(new_order))
        return reserved

    def write(self) -> None:
        insert_rows(Order, ORDER_COLUMNS, self._rows)
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

    def _hold(self, reserved: Reserved) -> None:
        new_order, amount = reserved.new_order, reserved.hold
        account = self._accounts.get(new_order.user_id)
        if account is None:
            raise UnknownUser("there is no such user")
        if new_order.side == "buy":
            account.hold(amount)
            self._changed_accounts[new_order.user_id] = account
            return
        key = (new_order.user_id, new_order.stock_id)
        holding = self._holdings.get(key, LockedHolding(0, 0, 0, 0))
        holding.hold(amount)
        self._changed_holdings[key] = holding


def read_rules(stock_ids: Collection[str]) -> dict[str, StockRules]:
    """The rules of these stocks; unknown ones are left out."""
    rows = fetch_rows(
        "SELECT stock_id, price_increment, lot_size, status, last_price, min_quantity, max_quantity, "
        "min_notional, max_notional, price_collar_bps, maker_fee_bps, taker_fee_bps FROM stocks_stock "
        f"WHERE stock_id IN ({marks(len(stock_ids))})",
        sorted(stock_ids),
    )
    return {
        stock_id: StockRules(increment, lot_size, status == Stock.Status.HALTED, *rest)
        for stock_id, increment, lot_size, status, *rest in rows
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
    "stop_price",
    "display_quantity",
    "post_only",
    "self_trade_prevention",
    "expires_at",
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
        f"WITH wanted (user_id, client_order_id) AS (VALUES {pairs}) "
        f"SELECT user_id, client_order_id, order_id, {', '.join(_REQUEST_COLUMNS)} "
        "FROM wanted JOIN trade_order USING (user_id, client_order_id)",
        [value for key in wanted for value in key],
    )
    return {
        (user_id, client_order_id): (read_uuid(order_id), *request, bool(post_only), mode, read_time(until))
        for user_id, client_order_id, order_id, *request, post_only, mode, until in rows
    }


ORDER_COLUMNS = (
    "order_id",
    "client_order_id",
    "user_id",
    *_REQUEST_COLUMNS,
    "limit_price",
    "maker_fee_bps",
    "taker_fee_bps",
    "status",
    "reason",
    "remaining_quantity",
    "traded_quantity",
    "traded_value",
    "is_stopped",
    "shown_quantity",
    "sequence",
    "created_at",
    "updated_at",
)


def order_row(reserved: Reserved) -> Row:
    """The row of a PENDING order."""
    new_order = reserved.new_order
    return (
        reserved.order_id,
        new_order.client_order_id,
        new_order.user_id,
        *_request(new_order),
        reserved.limit_price,
        reserved.maker_fee_bps,
        reserved.taker_fee_bps,
        Order.Status.PENDING.value,
        "",
        new_order.quantity,
        0,
        0,
        False,
        0,
        0,
        reserved.created_at,
        reserved.created_at,
    )
