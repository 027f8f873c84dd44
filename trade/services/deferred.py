"""Deferred settlement: trades whose shares and proceeds become free some time after the match.

At the match the buyer has paid and the seller has delivered; what they get for it lies in the unsettled
amounts of their holding and account until the trade is settled here. That a trade is to be settled its own
row says (`settled_at` is null), whatever the setting is now.

Exactly once, however many settle at a time: a trade is claimed by an UPDATE that finds it unsettled, in the
transaction that moves what it brought. Locks are taken in the order of all: stock, accounts, holdings.
"""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from django.db import transaction

from stocks.services.holdings import lock_holdings, write_holdings
from stocks.services.ticks import lock_stock
from trade.models import Trade
from trade.services.refusals import TradeSettled, UnknownTrade
from trade.services.settlement import cash_lines
from users.rows import fetch_rows, stored_time
from users.services.cash import CashMovement, book_movements, lock_accounts, write_accounts

# Trades settled at once: a market that trades meanwhile waits for no more than these.
MAX_SETTLED = 500

_UNSETTLED = "settled_at IS NULL"


@dataclass(frozen=True, slots=True)
class Claimed:
    """A trade that this transaction settles. Amounts in units."""

    trade_id: int
    sequence: int
    price: int
    quantity: int
    buyer_id: int | None
    seller_id: int | None
    seller_fee: int


def settle_trade(*, trade_id: int, now: datetime) -> Trade:
    """Settle one trade; the trade as it is then. UnknownTrade; TradeSettled when it is settled already."""
    rows = fetch_rows("SELECT stock_id FROM trade_trade WHERE trade_id = %s", [trade_id])
    if not rows:
        raise UnknownTrade("there is no such trade")
    ((stock_id,),) = rows
    with transaction.atomic():
        lock_stock(stock_id)
        claimed = _claim("trade_id = %s", [trade_id], now)
        if not claimed:
            raise TradeSettled("the trade is settled already")
        _move(stock_id, claimed, now)
        return Trade.objects.get(pk=trade_id)


def settle_trades(
    *, stock_id: str, executed_before: datetime | None = None, limit: int = MAX_SETTLED, now: datetime
) -> int:
    """Settle the oldest unsettled trades of a stock, at most `limit`; how many there were.

    Call it until it returns 0. UnknownStock when there is no such stock.
    """
    oldest = f"SELECT trade_id FROM trade_trade WHERE stock_id = %s AND {_UNSETTLED}"
    parameters: list[Any] = [stock_id]
    if executed_before is not None:
        oldest += " AND executed_at < %s"
        parameters.append(stored_time(executed_before))
    with transaction.atomic():
        lock_stock(stock_id)
        claimed = _claim(f"trade_id IN ({oldest} ORDER BY trade_id LIMIT %s)", [*parameters, limit], now)
        _move(stock_id, claimed, now)
    return len(claimed)


def _claim(which: str, parameters: Sequence[Any], now: datetime) -> list[Claimed]:
    """Those of the trades that were unsettled until now, oldest first."""
    moment = stored_time(now)
    # Another host's clock may be ahead of ours.
    later = "CASE WHEN executed_at > %s THEN executed_at ELSE %s END"
    rows = fetch_rows(
        f"UPDATE trade_trade SET settled_at = {later} WHERE {which} AND {_UNSETTLED} "
        "RETURNING trade_id, sequence, price, quantity, buyer_id, seller_id, seller_fee",
        [moment, moment, *parameters],
    )
    return [Claimed(*row) for row in sorted(rows)]


def _move(stock_id: str, claimed: Sequence[Claimed], now: datetime) -> None:
    """Pay the sellers and deliver to the buyers."""
    _pay(stock_id, [trade for trade in claimed if trade.seller_id is not None], now)
    bought: dict[tuple[int, str], int] = defaultdict(int)
    for trade in claimed:
        if trade.buyer_id is not None:
            bought[trade.buyer_id, stock_id] += trade.quantity
    holdings = lock_holdings(bought)
    for key, quantity in bought.items():
        holdings[key].settle(quantity)
    write_holdings(holdings.values())


def _pay(stock_id: str, sales: Sequence[Claimed], now: datetime) -> None:
    movements: list[CashMovement] = []
    proceeds: dict[int, int] = defaultdict(int)
    for trade in sales:
        assert trade.seller_id is not None
        value, reference = trade.price * trade.quantity, f"{stock_id}:{trade.sequence}"
        movements += cash_lines(trade.seller_id, reference, value, trade.seller_fee)
        proceeds[trade.seller_id] += value - trade.seller_fee
    accounts = lock_accounts(proceeds)
    for user_id, amount in proceeds.items():
        accounts[user_id].settle(amount)
    book_movements(accounts, movements, now=now)
    write_accounts(accounts.values())
