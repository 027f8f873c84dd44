"""A market of many users, and a mixed flow of orders: about half of them trade, a few are cancelled."""

from dataclasses import dataclass, field
from datetime import datetime
from random import Random
from typing import TypeVar

from stocks.models import Holding, ShareGrant, Stock
from trade.services.order_rules import NewOrder
from users.models import CashAccount, LedgerEntry, User
from users.rows import insert_rows
from users.services.cash import LEDGER_COLUMNS

# Units: nobody runs out of cash, or of shares, in any run.
CASH = 10**13
SHARES = 10**8
MIDDLE, INCREMENT, STEPS = 1_000_000, 100, 100
# One operation of so many is a cancel.
CANCEL_EVERY = 12

T = TypeVar("T")


@dataclass(frozen=True, slots=True)
class World:
    """Users and stocks of their own, so that measurements do not meet."""

    name: str
    user_ids: list[int]
    stock_ids: list[str]


@dataclass(frozen=True, slots=True)
class Cancelling:
    """One of the orders that were open when they were answered is to be cancelled."""


Operation = NewOrder | Cancelling


@dataclass(slots=True)
class Flow:
    """An endless flow, the same for the same seed. Limits of both sides are spread evenly around the middle."""

    world: World
    seed: int = 0
    _rng: Random = field(init=False)

    def __post_init__(self) -> None:
        self._rng = Random(f"{self.world.name} {self.seed}")

    def next(self) -> Operation:
        if not self._rng.randrange(CANCEL_EVERY):
            return Cancelling()
        return NewOrder(
            user_id=self._rng.choice(self.world.user_ids),
            stock_id=self._rng.choice(self.world.stock_ids),
            side=self._rng.choice(("buy", "sell")),
            type="limit",
            quantity=self._rng.randint(1, 20),
            price=MIDDLE + INCREMENT * self._rng.randint(-STEPS, STEPS),
        )

    def pick(self, open_orders: list[T]) -> T | None:
        """Take one out of a list."""
        if not open_orders:
            return None
        chosen = self._rng.randrange(len(open_orders))
        open_orders[chosen], open_orders[-1] = open_orders[-1], open_orders[chosen]
        return open_orders.pop()


def make_world(name: str, *, users: int, stocks: int, now: datetime) -> World:
    """Users with cash and shares that the books account for."""
    stock_ids = [f"{name}-{number}" for number in range(stocks)]
    Stock.objects.bulk_create([Stock(stock_id=stock_id, name=stock_id) for stock_id in stock_ids])
    User.objects.bulk_create([User(username=f"{name}-{number}") for number in range(users)])
    user_ids = list(User.objects.filter(username__startswith=f"{name}-").values_list("pk", flat=True))
    keys = [(user_id, stock_id) for user_id in user_ids for stock_id in stock_ids]
    accounts = [(user_id, CASH, 0, 0) for user_id in user_ids]
    insert_rows(CashAccount, ("user_id", "balance", "reserved", "unsettled"), accounts)
    insert_rows(
        LedgerEntry, LEDGER_COLUMNS, [(user_id, "deposit", CASH, CASH, "", now) for user_id in user_ids]
    )
    holdings = [(*key, SHARES, 0, 0, 0) for key in keys]
    insert_rows(Holding, ("user_id", "stock_id", "quantity", "reserved", "cost", "unsettled"), holdings)
    grants = [(*key, SHARES, now) for key in keys]
    insert_rows(ShareGrant, ("user_id", "stock_id", "quantity", "created_at"), grants)
    return World(name, user_ids, stock_ids)
