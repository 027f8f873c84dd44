"""Fills: a trade as one of its users saw it.

A trade between two users is two fills, a trade with the outside market is one.
"""

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from decimal import Decimal
from typing import Any
from uuid import UUID

from trade.models import Order, Trade
from trade.selectors.trades import executed_between
from users.fields import from_units
from users.rows import Row, fetch_rows, read_time, read_uuid, stored_time

BUY = Order.Side.BUY.value
SELL = Order.Side.SELL.value


@dataclass(frozen=True, slots=True)
class Fill:
    """One user's side of a trade."""

    trade_id: int
    order_id: UUID
    user_id: int
    stock_id: str
    side: str
    price: Decimal
    quantity: int
    executed_at: datetime


class UserFills:
    """A user's fills, newest first: counted and sliced as a list, read on demand.

    What was bought and what was sold is read along an index of its own, from the newest row on, and only
    then put together: the newest few of a million fills cost no more than the newest few of ten. (Said as
    one condition with OR, or as a plain UNION, PostgreSQL reads and sorts them all.)
    """

    def __init__(
        self,
        user_id: int,
        *,
        stock_id: str | None = None,
        from_date: datetime | None = None,
        to_date: datetime | None = None,
    ) -> None:
        self._user_id = user_id
        conditions = ["{user}_id = %s"]
        self._parameters: list[Any] = [user_id]
        for condition, value in [
            ("stock_id = %s", stock_id),
            ("executed_at >= %s", from_date and stored_time(from_date)),
            ("executed_at <= %s", to_date and stored_time(to_date)),
        ]:
            if value is not None:
                conditions.append(condition)
                self._parameters.append(value)
        self._where = " AND ".join(conditions)

    def count(self) -> int:
        side = f"(SELECT COUNT(*) FROM trade_trade WHERE {self._where})"
        sql = f"SELECT {side.format(user='buyer')} + {side.format(user='seller')}"
        return int(fetch_rows(sql, [*self._parameters, *self._parameters])[0][0])

    def __len__(self) -> int:
        return self.count()

    def __getitem__(self, part: slice) -> list[Fill]:
        start, stop = part.start or 0, part.stop
        assert part.step is None and stop is not None, "a history is read page by page"
        sides = [
            f"SELECT * FROM (SELECT trade_id, '{side}', {order}_id, stock_id, price, quantity, executed_at "
            f"FROM trade_trade WHERE {self._where.format(user=user)} "
            f"ORDER BY trade_id DESC LIMIT %s) AS {user}_fills"
            for side, user, order in [(BUY, "buyer", "bid_order"), (SELL, "seller", "ask_order")]
        ]
        rows = fetch_rows(
            f"{' UNION ALL '.join(sides)} ORDER BY 1 DESC LIMIT %s OFFSET %s",
            [*self._parameters, stop, *self._parameters, stop, max(stop - start, 0), start],
        )
        return [self._fill(row) for row in rows]

    def _fill(self, row: Row) -> Fill:
        trade_id, side, order_id, stock_id, price, quantity, executed_at = row
        return Fill(
            trade_id=trade_id,
            order_id=UUID(read_uuid(order_id)),
            user_id=self._user_id,
            stock_id=stock_id,
            side=side,
            price=from_units(price),
            quantity=quantity,
            executed_at=_moment(executed_at),
        )


def newest_fills_of_stock(
    stock_id: str,
    *,
    limit: int,
    from_date: datetime | None = None,
    to_date: datetime | None = None,
) -> list[Fill]:
    """The newest fills of a stock, newest first; of a trade between users the taker's side first."""
    trades = executed_between(Trade.objects.filter(stock_id=stock_id), from_date, to_date)
    if from_date is None and to_date is None:
        newest = trades.order_by("-sequence")
    else:
        newest = trades.order_by("-executed_at", "-sequence")
    # A trade has at least one fill, so this many trades are enough.
    return list(_fills(newest[:limit]))[:limit]


def _fills(trades: Iterable[Trade]) -> Iterator[Fill]:
    for trade in trades:
        sides = {
            BUY: (trade.buyer_id, trade.bid_order_id),
            SELL: (trade.seller_id, trade.ask_order_id),
        }
        for side in (BUY, SELL) if trade.taker_side == BUY else (SELL, BUY):
            user_id, order_id = sides[side]
            if user_id is not None and order_id is not None:
                yield Fill(
                    trade_id=trade.trade_id,
                    order_id=order_id,
                    user_id=user_id,
                    stock_id=trade.stock_id,
                    side=side,
                    price=trade.price,
                    quantity=trade.quantity,
                    executed_at=trade.executed_at,
                )


def _moment(value: Any) -> datetime:
    moment = read_time(value)
    assert moment is not None
    return moment
