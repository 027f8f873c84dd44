"""What tests of trading start from: traders, a stock, and an engine that works in the test's own thread."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any

from django.test import TestCase, override_settings

from stocks.models import Holding, ShareGrant, Stock
from stocks.services.ticks import FeedTick
from trade.engine import MarketEngine, TickReport, get_engine, reset_engine
from trade.models import Order
from trade.services.order_rules import NewOrder
from users.fields import to_units
from users.models import CashAccount, LedgerEntry, User

NOON = datetime(2024, 5, 6, 12, 0, tzinfo=UTC)


def units(amount: str | int) -> int:
    return to_units(Decimal(amount))


def make_trader(name: str, cash: str | int = 0, **shares: int) -> User:
    """A user with cash and shares that the books account for."""
    user = User.objects.create(username=name)
    CashAccount.objects.create(user=user, balance=Decimal(cash))
    if Decimal(cash):
        LedgerEntry.objects.create(
            account_id=user.pk,
            kind="deposit",
            amount=Decimal(cash),
            balance_after=Decimal(cash),
            created_at=NOON,
        )
    for stock_id, quantity in shares.items():
        Holding.objects.create(user=user, stock_id=stock_id, quantity=quantity)
        ShareGrant.objects.create(user=user, stock_id=stock_id, quantity=quantity, created_at=NOON)
    return user


@override_settings(ENGINE_THREADS=0)
class MarketTestCase(TestCase):
    """One stock `ACME`, and the steps of a market as methods. Prices are text, in the currency."""

    def setUp(self) -> None:
        reset_engine()
        self.addCleanup(reset_engine)
        self.stock = Stock.objects.create(stock_id="ACME", name="Acme")
        self._ticks = 0

    @property
    def engine(self) -> MarketEngine:
        return get_engine()

    def place(self, user: User, side: str, quantity: int, price: str | None = None, **words: Any) -> Order:
        words.setdefault("type", "limit" if price is not None else "market")
        words.setdefault("stock_id", "ACME")
        for name in ("lower_bound", "upper_bound", "stop_price"):
            if words.get(name) is not None:
                words[name] = units(words[name])
        new_order = NewOrder(
            user_id=user.pk,
            side=side,
            quantity=quantity,
            price=None if price is None else units(price),
            **words,
        )
        return self.engine.place_order(new_order)

    def place_bounded(self, user: User, side: str, quantity: int, lower: str, upper: str) -> Order:
        return self.place(user, side, quantity, type="bounded", lower_bound=lower, upper_bound=upper)

    def tick(self, price: str, availability: int, *, at: datetime | None = None) -> TickReport:
        self._ticks += 1
        timestamp = at or NOON + timedelta(seconds=self._ticks)
        return self.engine.apply_ticks([FeedTick("ACME", units(price), availability, timestamp)]).result(0)

    def cash(self, user: User) -> tuple[Decimal, Decimal]:
        """(balance, reserved)"""
        account = CashAccount.objects.get(user=user)
        return account.balance, account.reserved

    def shares(self, user: User) -> tuple[int, int]:
        """(quantity, reserved)"""
        holding = Holding.objects.filter(user=user, stock_id="ACME").first()
        return (holding.quantity, holding.reserved) if holding else (0, 0)
