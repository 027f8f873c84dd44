"""Who made how much of what they brought: the leaderboard.

The return is (value now - brought) / brought. Value is as in `selectors.wealth`. Brought is cash paid in less cash
taken out, and granted shares at their price when they were granted. It does not matter when somebody came. A
deposit is no profit: it brings a gain, or a loss, nearer to zero.

Left out are staff, who can give themselves cash and shares, users who were deactivated, and who has brought
nothing (or has taken out as much). Users without a password cannot log in: they are house bots, and are shown
without a rank.

Accounts, holdings, grants and transfers are read whole, but nothing that grows with trading.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass
from fractions import Fraction

from django.contrib.auth.hashers import UNUSABLE_PASSWORD_PREFIX

from trade.selectors.audit.snapshot import read_snapshot
from trade.selectors.wealth import prices_at
from users.models import User
from users.rows import fetch_rows, read_time


@dataclass(frozen=True, slots=True)
class Standing:
    """One user's place. `gain` is the return (0.05 is 5 %); `rank` is None for a house bot, shared by equals."""

    user_id: int
    username: str
    gain: Fraction
    rank: int | None

    @property
    def is_house(self) -> bool:
        return self.rank is None


def standings() -> list[Standing]:
    """Everybody who has a return, the best first; equals by name."""
    with read_snapshot():
        users = {
            user_id: (username, password.startswith(UNUSABLE_PASSWORD_PREFIX))
            for user_id, username, password in User.objects.filter(
                is_active=True, is_staff=False
            ).values_list("pk", "username", "password")
        }
        values, brought = _values(), _brought()
    gains = {
        user_id: Fraction(values[user_id] - brought[user_id], brought[user_id])
        for user_id in users
        if brought[user_id] > 0
    }
    order = sorted(gains, key=lambda user_id: (-gains[user_id], users[user_id][0].casefold()))
    place = _ranking(gains, order, is_house=lambda user_id: users[user_id][1])
    return [Standing(user_id, users[user_id][0], gains[user_id], place.get(user_id)) for user_id in order]


def _ranking(
    gains: dict[int, Fraction], order: list[int], *, is_house: Callable[[int], bool]
) -> dict[int, int]:
    people = [user_id for user_id in order if not is_house(user_id)]
    ranks: dict[int, int] = {}
    for place, user_id in enumerate(people, start=1):
        before = people[place - 2] if place > 1 else None
        ranks[user_id] = ranks[before] if before and gains[before] == gains[user_id] else place
    return ranks


def _values() -> dict[int, int]:
    """What each user is worth now, in units."""
    # Multiplied here: the sum of many large holdings would not fit into the database's integers.
    values: dict[int, int] = defaultdict(int)
    values |= dict(fetch_rows("SELECT user_id, balance + unsettled FROM users_cashaccount"))
    holdings = fetch_rows(
        "SELECT user_id, quantity + unsettled, last_price FROM stocks_holding JOIN stocks_stock USING (stock_id) "
        "WHERE last_price IS NOT NULL AND quantity + unsettled > 0"
    )
    for user_id, quantity, price in holdings:
        values[user_id] += quantity * price
    return values


def _brought() -> dict[int, int]:
    """What each user has put in and not taken out again, in units."""
    brought: dict[int, int] = defaultdict(int)
    transfers = fetch_rows(
        "SELECT account_id, SUM(amount) FROM users_ledgerentry "
        "WHERE kind IN ('opening', 'deposit', 'withdrawal') GROUP BY account_id"
    )
    for user_id, amount in transfers:
        brought[user_id] += int(amount)
    for user_id, worth in _granted():
        brought[user_id] += worth
    return brought


def _granted() -> list[tuple[int, int]]:
    """Each grant: its user, and what it was worth when it was made, in units."""
    grants = [
        (user_id, quantity, stock_id, read_time(created_at))
        for user_id, quantity, stock_id, created_at in fetch_rows(
            "SELECT user_id, quantity, stock_id, created_at FROM stocks_sharegrant"
        )
    ]
    # Many are made at once: by the minute, each price is looked up once.
    moments = {
        (stock_id, at): (stock_id, at.replace(second=0, microsecond=0))
        for *_, stock_id, at in grants
        if at is not None
    }
    prices = prices_at(moments.values())
    return [
        (user_id, quantity * prices.get(moments[stock_id, at], 0))
        for user_id, quantity, stock_id, at in grants
        if at is not None
    ]
