"""Makes the demo's world: whatever of the cast is missing, in one transaction, through the services.

Called at every start. What is there stays as it is, so a market goes on where it stopped; only a house bot
that has come down to little is given more, as a deposit or a grant that the books show.
"""

import secrets
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from decimal import Decimal

from django.db import transaction
from knox.models import AuthToken

from config.demo import cast
from stocks.models import Holding, Stock
from stocks.services import grant_shares, list_stock
from users.models import CashAccount, User
from users.services import book_opening_balance, deposit, register_user

READY_TOKEN_LIFETIME = timedelta(days=1)
# A bot below this part of what it started with is topped up to all of it.
LOW = Decimal("0.2")


@dataclass(frozen=True, slots=True)
class World:
    """Who is in the market, and the passwords of those who were made just now."""

    user_ids: Mapping[str, int]
    passwords: Mapping[str, str]
    stock_ids: tuple[str, ...]

    def ids_of(self, names: Iterable[str]) -> list[int]:
        return [self.user_ids[name] for name in names]


class NotADemo(Exception):
    """The database belongs to somebody's market: no demo moves in there."""


def make_world(*, now: datetime) -> World:
    """Make what is missing: all of it, or nothing when that fails. NotADemo where real users are."""
    with transaction.atomic():
        if User.objects.exists() and not User.objects.filter(username__in=cast.MAKERS).exists():
            raise NotADemo("this database has users, but not those of a demo")
        _list_stocks()
        maker = _Maker(now)
        maker.staff(cast.STAFF)
        for name in cast.TRADERS:
            maker.trader(name)
        for name in (*cast.MAKERS, *cast.NOISE_TRADERS):
            maker.bot(name)
    # Outside, for it locks accounts before stocks, and on PostgreSQL other processes may be trading.
    maker.top_up(cast.MAKERS, cast.MAKER_CASH, cast.MAKER_SHARES_WORTH)
    maker.top_up(cast.NOISE_TRADERS, cast.NOISE_CASH, cast.NOISE_SHARES_WORTH)
    return World(maker.user_ids, maker.passwords, tuple(stock.stock_id for stock in cast.STOCKS))


def _list_stocks() -> None:
    listed = set(Stock.objects.values_list("stock_id", flat=True))
    for stock in cast.STOCKS:
        if stock.stock_id not in listed:
            list_stock(stock_id=stock.stock_id, name=stock.name)


@dataclass(slots=True)
class _Maker:
    """Makes users that are missing, and collects what the world is to be told of them."""

    now: datetime
    user_ids: dict[str, int] = field(default_factory=dict)
    passwords: dict[str, str] = field(default_factory=dict)

    def staff(self, name: str) -> None:
        if self._is_missing(name):
            user = User.objects.create_superuser(name, password=self._new_password(name))
            book_opening_balance(user_id=user.pk, amount=Decimal(0), now=self.now)
            self.user_ids[name] = user.pk

    def trader(self, name: str) -> None:
        if self._is_missing(name):
            user = register_user(username=name, password=self._new_password(name), email="", now=self.now)
            self.user_ids[name] = user.pk
            deposit(user_id=user.pk, amount=cast.TRADER_CASH, now=self.now)
            self._grant(user.pk, cast.TRADER_SHARES_WORTH, held={})

    def bot(self, name: str) -> None:
        if self._is_missing(name):
            # No password: nobody logs in as a house bot, and hashing one takes as long as all the rest.
            user = User.objects.create_user(name)
            book_opening_balance(user_id=user.pk, amount=Decimal(0), now=self.now)
            self.user_ids[name] = user.pk

    def top_up(self, names: Sequence[str], cash: Decimal, shares_worth: Decimal) -> None:
        """Bring bots that have little up to what they are meant to start with."""
        user_ids = [self.user_ids[name] for name in names]
        balances = CashAccount.objects.in_bulk(user_ids)
        held: dict[int, dict[str, int]] = {user_id: {} for user_id in user_ids}
        holdings = Holding.objects.filter(user_id__in=user_ids)
        for user_id, stock_id, quantity in holdings.values_list("user_id", "stock_id", "quantity"):
            held[user_id][stock_id] = quantity
        for user_id in user_ids:
            balance = balances[user_id].balance
            if balance < cash * LOW:
                deposit(user_id=user_id, amount=cash - balance, now=self.now)
            self._grant(user_id, shares_worth, held[user_id])

    def _grant(self, user_id: int, worth: Decimal, held: Mapping[str, int]) -> None:
        for stock in cast.STOCKS:
            wanted, quantity = cast.shares_worth(worth, stock.price), held.get(stock.stock_id, 0)
            if quantity < wanted * LOW:
                grant_shares(
                    user_id=user_id,
                    stock_id=stock.stock_id,
                    quantity=wanted - quantity,
                    granted_by_id=self.user_ids[cast.STAFF],
                    now=self.now,
                )

    def _is_missing(self, name: str) -> bool:
        user_id = User.objects.filter(username__iexact=name).values_list("pk", flat=True).first()
        if user_id is None:
            return True
        self.user_ids[name] = user_id
        return False

    def _new_password(self, name: str) -> str:
        self.passwords[name] = secrets.token_urlsafe(9)
        return self.passwords[name]


def ready_token(*, user_id: int) -> str:
    """A token for the curl line: good for a day."""
    _, token = AuthToken.objects.create(User.objects.get(pk=user_id), expiry=READY_TOKEN_LIFETIME)
    return token
