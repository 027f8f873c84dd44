"""What a user was worth over time: today's books, and back from there one movement after the other.

Nothing about the past is stored beyond the movements themselves: transfers of cash, grants of shares, and
fills. The curve is exact at its end, which is the books as they are, and where it began with nothing it comes to
nothing. Its cost is bounded: the newest `MAX_MOVEMENTS` of each kind are read, and `MAX_LOOKUPS` prices. A user with
a longer history has a curve that begins later.

Between movements the shares are worth the price of the last whole minute (see `wealth.prices_at`). Amounts are units.
"""

from collections import Counter
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import NamedTuple

from trade.selectors.wealth import Moment, prices_at
from users.rows import fetch_rows, read_time

MAX_POINTS = 300
MIN_POINTS = 20
MAX_LOOKUPS = 6_000
MAX_MOVEMENTS = 5_000
MIN_STEP = timedelta(seconds=5)


class EquityPoint(NamedTuple):
    """What the user was worth at a moment, in units, and what of it was cash."""

    at: datetime
    value: int
    cash: int


@dataclass(frozen=True, slots=True)
class Curve:
    """Points in the order of time, the last of them now. `is_whole`: it begins where the user's history does."""

    points: list[EquityPoint]
    is_whole: bool


class _Movement(NamedTuple):
    """What one event brought (or, negative, took): cash, and shares of a stock."""

    at: datetime
    cash: int
    stock_id: str = ""
    shares: int = 0


class _Books(NamedTuple):
    """Cash and shares at one moment."""

    at: datetime
    cash: int
    shares: dict[str, int]


def equity_curve(user_id: int, *, now: datetime) -> Curve:
    """The user's curve up to `now`; without a movement, no point at all.

    While the user trades, read it in a `read_snapshot`: its statements must see one moment.
    """
    cash, shares, last_prices = _books_now(user_id)
    movements, is_whole = _movements(user_id)
    if not movements:
        return Curve([], is_whole)
    # Two processes' clocks may differ: what is stored has happened.
    now = max(now, movements[-1].at)
    times = _times(movements[0].at, now, stocks=len({movement.stock_id for movement in movements}))
    past = _walk_back(_Books(now, cash, shares), movements, times[:-1])
    prices = prices_at(moment for books in past for moment in _moments(books))
    points = [_point(books, prices) for books in past]
    value = cash + sum(quantity * last_prices[stock_id] for stock_id, quantity in shares.items())
    return Curve([*points, EquityPoint(now, value, cash)], is_whole)


def _books_now(user_id: int) -> tuple[int, dict[str, int], dict[str, int]]:
    """Cash, shares by stock, and the last price of each of these stocks (0 before there is one)."""
    accounts = fetch_rows("SELECT balance + unsettled FROM users_cashaccount WHERE user_id = %s", [user_id])
    held = fetch_rows(
        "SELECT stock_id, quantity + unsettled, COALESCE(last_price, 0) "
        "FROM stocks_holding JOIN stocks_stock USING (stock_id) "
        "WHERE user_id = %s AND quantity + unsettled > 0",
        [user_id],
    )
    cash = accounts[0][0] if accounts else 0
    return cash, {row[0]: row[1] for row in held}, {row[0]: row[2] for row in held}


def _times(start: datetime, end: datetime, *, stocks: int) -> list[datetime]:
    """Moments from `start` to `end`, both included, evenly apart; the fewer, the more stocks must be priced."""
    most = max(MIN_POINTS, min(MAX_POINTS, MAX_LOOKUPS // max(stocks, 1)))
    steps = max(1, min(most - 1, (end - start) // MIN_STEP))
    return [start + (end - start) * step / steps for step in range(steps)] + [end]


def _walk_back(books: _Books, movements: list[_Movement], times: list[datetime]) -> list[_Books]:
    """The books as they were at `times`, all of them before now, in the order of time."""
    cash, shares = books.cash, Counter(books.shares)
    undone = list(movements)
    past: list[_Books] = []
    for at in reversed(times):
        while undone and undone[-1].at > at:
            movement = undone.pop()
            cash -= movement.cash
            shares[movement.stock_id] -= movement.shares
        past.append(_Books(at, cash, {stock_id: held for stock_id, held in shares.items() if held}))
    return past[::-1]


def _moments(books: _Books) -> list[Moment]:
    return [(stock_id, books.at) for stock_id in books.shares]


def _point(books: _Books, prices: dict[Moment, int]) -> EquityPoint:
    worth = sum(held * prices.get((stock_id, books.at), 0) for stock_id, held in books.shares.items())
    return EquityPoint(books.at, books.cash + worth, books.cash)


# --- Movements --------------------------------------------------------------------------------------------

# Each is read along an index, newest first, and says: when, cash, stock, shares. What is paid and earned
# counts from the trade on, settled or not, as it does in the books of now.
_SOURCES = (
    "SELECT executed_at, -(price * quantity + buyer_fee), stock_id, quantity FROM trade_trade "
    "WHERE buyer_id = %s ORDER BY trade_id DESC",
    "SELECT executed_at, price * quantity - seller_fee, stock_id, -quantity FROM trade_trade "
    "WHERE seller_id = %s ORDER BY trade_id DESC",
    "SELECT created_at, amount, '', 0 FROM users_ledgerentry "
    "WHERE account_id = %s AND kind IN ('opening', 'deposit', 'withdrawal') ORDER BY id DESC",
    "SELECT created_at, 0, stock_id, quantity FROM stocks_sharegrant WHERE user_id = %s ORDER BY id DESC",
)


def _movements(user_id: int) -> tuple[list[_Movement], bool]:
    """In the order of time, from where all kinds are complete; and whether that is the beginning."""
    movements: list[_Movement] = []
    complete_from: list[datetime] = []
    for sql in _SOURCES:
        rows = fetch_rows(f"{sql} LIMIT %s", [user_id, MAX_MOVEMENTS + 1])
        found = [_Movement(_known(at), *rest) for at, *rest in rows]
        if len(found) > MAX_MOVEMENTS:
            complete_from.append(max(movement.at for movement in found[MAX_MOVEMENTS:]))
        movements += found
    movements.sort(key=lambda movement: movement.at)
    if not complete_from:
        return movements, True
    start = max(complete_from)
    return [movement for movement in movements if movement.at >= start], False


def _known(value: datetime) -> datetime:
    moment = read_time(value)
    assert moment is not None
    return moment
