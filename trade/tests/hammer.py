"""Somebody who does everything to a market at once, and says what came of it.

One `Hammer` is one thread. Many of them, in one process or several, meet on the same accounts and stocks.
Refusals are expected; any other exception is not, and is reported.
"""

import time
from collections import Counter
from collections.abc import Callable
from concurrent.futures import Future
from dataclasses import dataclass, field
from datetime import timedelta
from decimal import Decimal
from random import Random
from typing import Any
from uuid import UUID

from django.utils import timezone

from stocks.models import Stock
from stocks.services import grant_shares
from stocks.services.ticks import FeedTick
from trade.engine import MarketEngine
from trade.engine.commands import Cancel
from trade.models import Order
from trade.services.order_rules import NewOrder
from trade.tests.base import make_trader, units
from users.exceptions import Refusal
from users.services import deposit, withdraw

MIDDLE = 100
OF_TEN_BY_ONE = 7  # how many operations of ten are the first user's
# What a hammer does, as often as it stands here.
EVERYTHING = (
    *["limit"] * 10,
    *["cancel"] * 5,
    *["several", "deposit", "withdraw"] * 3,
    *["tick"] * 2,
    *["market", "bounded", "immediate", "repeated", "cancel_all", "grant"],
)
# The same, of what needs no database but the engine's.
ENGINE_ONLY = (*["submit"] * 6, *["submit_cancel"] * 3, "tick")


@dataclass
class Report:
    """What a hammer did. `orders` are those it was told are stored."""

    done: Counter[str] = field(default_factory=Counter)
    refused: Counter[str] = field(default_factory=Counter)
    unexpected: list[str] = field(default_factory=list)
    orders: list[str] = field(default_factory=list)

    def add(self, other: "Report") -> None:
        self.done += other.done
        self.refused += other.refused
        self.unexpected += other.unexpected
        self.orders += other.orders

    def as_dict(self) -> dict[str, Any]:
        return {
            "done": dict(self.done),
            "refused": dict(self.refused),
            "unexpected": self.unexpected,
            "orders": self.orders,
        }

    @classmethod
    def from_dict(cls, words: dict[str, Any]) -> "Report":
        return cls(Counter(words["done"]), Counter(words["refused"]), words["unexpected"], words["orders"])


def make_market(stocks: int = 1, users: int = 4) -> tuple[list[int], list[str]]:
    """Traders with too little cash and too few shares for all that they will try; their ids, the stocks'."""
    stock_ids = [f"HIT{number}" for number in range(stocks)]
    for stock_id in stock_ids:
        Stock.objects.create(stock_id=stock_id, name=stock_id)
    traders = [
        make_trader(f"hit-{number}", 15_000, **dict.fromkeys(stock_ids, 100)) for number in range(users)
    ]
    return [trader.pk for trader in traders], stock_ids


class Hammer:
    """Does one thing after another, by the dice."""

    def __init__(
        self,
        engine: MarketEngine,
        *,
        user_ids: list[int],
        stock_ids: list[str],
        seed: int,
        ways: tuple[str, ...] = EVERYTHING,
        acknowledge: Callable[[str], None] = lambda order_id: None,
    ) -> None:
        """`acknowledge` is told of every order that the market has confirmed, at once."""
        self.report = Report()
        self._engine = engine
        self._users = user_ids
        self._stocks = stock_ids
        self._rng = Random(seed)
        self._seed = seed
        self._acknowledge = acknowledge
        self._ways = ways

    def run(self, seconds: float) -> Report:
        until = time.monotonic() + seconds
        while time.monotonic() < until:
            self.step()
        return self.report

    def step(self) -> None:
        way = self._rng.choice(self._ways)
        try:
            getattr(self, way)()
            self.report.done[way] += 1
        except Refusal as refusal:
            self.report.refused[refusal.code] += 1
        except Exception as error:
            self.report.unexpected.append(f"{way}: {error!r}")

    # --- Orders -------------------------------------------------------------------------------------

    def limit(self, **words: Any) -> None:
        self._place(self._order(price=self._price(), **words))

    def immediate(self) -> None:
        self.limit(time_in_force=self._rng.choice(["ioc", "fok"]))

    def market(self) -> None:
        self._place(self._order(type="market"))

    def bounded(self) -> None:
        low, high = sorted((self._price(), self._price()))
        self._place(self._order(type="bounded", lower_bound=low, upper_bound=high))

    def several(self) -> None:
        orders = [self._order(price=self._price()) for _ in range(self._rng.randint(2, 6))]
        for result in self._engine.place_orders(orders):
            if isinstance(result, Order):
                self._take(result)
            else:
                self.report.refused[result.code] += 1

    def repeated(self) -> None:
        """The same request twice: one order."""
        order = self._order(price=self._price(), client_order_id=f"{self._seed}-{self._rng.random()}")
        first, again = self._engine.place_order(order), self._engine.place_order(order)
        assert first.order_id == again.order_id, f"{first.order_id} and {again.order_id} for one request"
        self._take(first)

    def cancel(self) -> None:
        if self.report.orders:
            recent = self.report.orders[-20:]
            self._engine.cancel_order(UUID(self._rng.choice(recent)))

    def submit(self) -> None:
        """As bots do: the engine alone talks to the database."""
        kinds: list[dict[str, Any]] = [{}, {}, {"time_in_force": "ioc"}]
        order = self._order(price=self._price(), **self._rng.choice(kinds))
        self._take_id(self._engine.submit_order(order).result(60).order_id)

    def submit_cancel(self) -> None:
        if self.report.orders:
            order_id = self._rng.choice(self.report.orders[-20:])
            self._engine.submit(self._stocks[0], Cancel(Future(), order_id)).result(60)

    def cancel_all(self) -> None:
        self._engine.cancel_orders(self._user(), self._stock(), self._rng.choice(["buy", "sell"]))

    # --- Cash, shares, feed -------------------------------------------------------------------------

    def deposit(self) -> None:
        deposit(user_id=self._user(), amount=self._amount(), now=timezone.now())

    def withdraw(self) -> None:
        withdraw(user_id=self._user(), amount=self._amount(), now=timezone.now())

    def grant(self) -> None:
        quantity = self._rng.choice([-5, 5])
        grant_shares(user_id=self._user(), stock_id=self._stock(), quantity=quantity, now=timezone.now())

    def tick(self) -> None:
        late = timedelta(seconds=self._rng.choice([0, 0, 0, 30]))
        now = timezone.now() - late
        ticks = [
            FeedTick(self._stock(), self._price(), self._rng.randint(0, 60), now + timedelta(microseconds=n))
            for n in range(self._rng.randint(1, 4))
        ]
        self._engine.apply_ticks(ticks).result(60)

    # --- Dice ---------------------------------------------------------------------------------------

    def _order(self, **words: Any) -> NewOrder:
        words = {"type": "limit", **words}
        side = self._rng.choice(["buy", "sell"])
        return NewOrder(self._user(), self._stock(), side, quantity=self._rng.randint(1, 40), **words)

    def _place(self, order: NewOrder) -> None:
        self._take(self._engine.place_order(order))

    def _take(self, order: Order) -> None:
        self._take_id(order.order_id.hex)

    def _take_id(self, order_id: str) -> None:
        self.report.orders.append(order_id)
        self._acknowledge(order_id)

    def _user(self) -> int:
        return self._users[0] if self._rng.random() * 10 < OF_TEN_BY_ONE else self._rng.choice(self._users)

    def _stock(self) -> str:
        return self._rng.choice(self._stocks)

    def _price(self) -> int:
        return units(MIDDLE) + 100 * self._rng.randint(-30, 30)

    def _amount(self) -> Decimal:
        return Decimal(self._rng.randint(1, 30_000_000)).scaleb(-4)
