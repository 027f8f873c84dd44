"""What a user is worth: cash, held and unsettled cash included, and every share at its stock's last price."""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal

from stocks.models import Candle
from stocks.selectors import holdings_of
from users.models import CashAccount
from users.rows import fetch_rows, stored_time

NOTHING = Decimal(0)
MINUTE = timedelta(minutes=1)
# (stock, moment) pairs whose price is looked up by one statement.
_MOMENTS_AT_ONCE = 4_000


@dataclass(frozen=True, slots=True)
class Position:
    """What a user has of one stock. `quantity` counts held and unsettled shares too; amounts in the currency.

    `price` and what follows from it are None before the stock's first price.
    """

    stock_id: str
    name: str
    quantity: int
    reserved: int
    unsettled: int
    cost: Decimal
    price: Decimal | None

    @property
    def value(self) -> Decimal | None:
        return None if self.price is None else self.price * self.quantity

    @property
    def profit(self) -> Decimal | None:
        return None if self.value is None else self.value - self.cost


@dataclass(frozen=True, slots=True)
class Wealth:
    """What a user has, in the currency. `reserved` is a part of `balance`; `unsettled` lies beside it."""

    balance: Decimal
    reserved: Decimal
    unsettled: Decimal
    positions: list[Position]

    @property
    def available(self) -> Decimal:
        return self.balance - self.reserved

    @property
    def shares_value(self) -> Decimal:
        return sum((position.value or NOTHING for position in self.positions), NOTHING)

    @property
    def shares_cost(self) -> Decimal:
        return sum((position.cost for position in self.positions), NOTHING)

    @property
    def shares_profit(self) -> Decimal:
        return sum((position.profit or NOTHING for position in self.positions), NOTHING)

    @property
    def value(self) -> Decimal:
        return self.balance + self.unsettled + self.shares_value


def wealth_of(user_id: int) -> Wealth:
    """What the user has now: two queries."""
    account = CashAccount.objects.filter(pk=user_id).first() or CashAccount()
    positions = [
        Position(
            stock_id=holding.stock_id,
            name=holding.stock.name,
            quantity=holding.quantity + holding.unsettled,
            reserved=holding.reserved,
            unsettled=holding.unsettled,
            cost=holding.cost,
            price=holding.stock.last_price,
        )
        for holding in holdings_of(user_id)
    ]
    return Wealth(account.balance, account.reserved, account.unsettled, positions)


Moment = tuple[str, datetime]


def prices_at(moments: Iterable[Moment]) -> dict[Moment, int]:
    """The price, in units, of a stock at a moment, for each (stock, moment).

    It is the close of the last minute with a price that was over by then; where there was none yet, the first
    price after. A stock that never had a price is left out. Each moment costs an index lookup or two.
    """
    wanted = sorted(set(moments))
    found: dict[Moment, int] = {}
    for start in range(0, len(wanted), _MOMENTS_AT_ONCE):
        found |= _prices_at(wanted[start : start + _MOMENTS_AT_ONCE])
    return found


def _prices_at(moments: list[Moment]) -> dict[Moment, int]:
    rows = ", ".join(f"({place}, %s, %s)" for place in range(len(moments)))
    parameters = [value for stock_id, at in moments for value in (stock_id, stored_time(at - MINUTE))]
    minute = (
        f'FROM stocks_candle WHERE stock_id = wanted.stock_id AND "interval" = {Candle.Interval.MINUTE:d}'
    )
    prices = fetch_rows(
        f"WITH wanted(place, stock_id, over_at) AS (VALUES {rows}) SELECT place, COALESCE("
        f'(SELECT close {minute} AND "start" <= wanted.over_at ORDER BY "start" DESC LIMIT 1), '
        f'(SELECT open {minute} AND "start" > wanted.over_at ORDER BY "start" LIMIT 1)) FROM wanted',
        parameters,
    )
    return {moments[place]: price for place, price in prices if price is not None}
