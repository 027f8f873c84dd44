"""Deferred settlement: what is paid leaves at the match, what is bought and earned comes when it settles."""

from datetime import timedelta
from decimal import Decimal as D

from django.db import IntegrityError, transaction
from django.test import override_settings
from django.utils import timezone

from stocks.models import Holding, Stock
from stocks.services import grant_shares
from stocks.services.holdings import InsufficientShares
from stocks.services.ticks import UnknownStock
from trade.engine import reset_engine
from trade.models import Trade
from trade.selectors.audit import run_audit
from trade.services.deferred import settle_trade, settle_trades
from trade.services.refusals import TradeSettled, UnknownTrade
from trade.tests.base import MarketTestCase, make_trader
from users.models import CashAccount, LedgerEntry, User
from users.services import withdraw
from users.services.cash import InsufficientFunds

DEFERRED = override_settings(SETTLEMENT="deferred")
IMMEDIATE = override_settings(SETTLEMENT="immediate")


class DeferredTestCase(MarketTestCase):
    """Ann buys, Bob sells; fees of 10 and 20 basis points."""

    def setUp(self) -> None:
        super().setUp()
        self.switch_to("deferred")
        self.ann, self.bob = make_trader("ann", 10_000), make_trader("bob", 100, ACME=100)
        Stock.objects.update(maker_fee_bps=10, taker_fee_bps=20)

    def switch_to(self, settlement: str) -> None:
        """As if every process had been started again with the other setting."""
        reset_engine()
        self.enterContext(override_settings(SETTLEMENT=settlement))

    def account(self, user: User) -> tuple[D, D, D]:
        """(balance, reserved, unsettled)"""
        account = CashAccount.objects.get(user=user)
        return account.balance, account.reserved, account.unsettled

    def holding(self, user: User) -> tuple[int, int, int, D]:
        """(quantity, reserved, unsettled, cost)"""
        holding = Holding.objects.get(user=user, stock_id="ACME")
        return holding.quantity, holding.reserved, holding.unsettled, holding.cost

    def assert_books_right(self) -> None:
        self.assertEqual([str(finding) for finding in run_audit() if not finding.holds], [])

    def trade(self, quantity: int = 10, price: str = "10") -> Trade:
        """Bob, the maker, sells to Ann."""
        self.place(self.bob, "sell", quantity, price)
        self.place(self.ann, "buy", quantity, price)
        return Trade.objects.latest("trade_id")

    def settle_all(self) -> int:
        return settle_trades(stock_id="ACME", now=timezone.now())


class AtTheMatch(DeferredTestCase):
    def test_it_takes_what_is_paid_and_keeps_back_what_is_earned(self) -> None:
        trade = self.trade()
        self.assertIsNone(trade.settled_at)
        # Ann paid 100 and her fee of 0.20; Bob delivered, and waits for 100 less his fee of 0.10.
        self.assertEqual(self.account(self.ann), (D("9899.8"), 0, 0))
        self.assertEqual(self.account(self.bob), (100, 0, D("99.9")))
        self.assertEqual(self.holding(self.ann), (0, 0, 10, 100))
        self.assertEqual(self.holding(self.bob), (90, 0, 0, 0))
        lines = LedgerEntry.objects.exclude(kind="deposit").order_by("id")
        self.assertEqual(
            [(line.account_id, line.kind, line.amount) for line in lines],
            [(self.ann.pk, "trade", -100), (self.ann.pk, "fee", D("-0.2"))],
        )
        self.assert_books_right()

    def test_it_does_so_with_the_outside_market(self) -> None:
        self.tick("10", 50)
        self.place(self.ann, "buy", 10, "10")
        self.place(self.bob, "sell", 10, "10")
        self.assertEqual(self.account(self.bob), (100, 0, D("99.8")))
        self.assertEqual(self.holding(self.ann), (0, 0, 10, 100))
        self.assert_books_right()
        self.assertEqual(self.settle_all(), 2)
        self.assertEqual(self.account(self.bob), (D("199.8"), 0, 0))
        self.assertEqual(self.holding(self.ann), (10, 0, 0, 100))
        self.assert_books_right()

    def test_it_lets_nobody_spend_what_is_unsettled(self) -> None:
        self.trade()
        with self.assertRaises(InsufficientFunds):
            self.place(self.bob, "buy", 11, "10")
        with self.assertRaises(InsufficientFunds):
            withdraw(user_id=self.bob.pk, amount=D("100.01"), now=timezone.now())
        with self.assertRaises(InsufficientShares):
            self.place(self.ann, "sell", 1, "20")
        with self.assertRaises(InsufficientShares):
            grant_shares(user_id=self.ann.pk, stock_id="ACME", quantity=-1, now=timezone.now())
        self.settle_all()
        self.place(self.bob, "buy", 11, "9")
        self.place(self.ann, "sell", 10, "20")

    def test_it_gives_back_at_once_what_was_reserved_above_the_price(self) -> None:
        self.place(self.bob, "sell", 10, "10")
        self.place(self.ann, "buy", 10, "15")
        self.assertEqual(self.account(self.ann), (D("9899.8"), 0, 0))


class Settling(DeferredTestCase):
    def test_it_books_the_sale_and_frees_the_shares(self) -> None:
        trade = self.trade()
        now = timezone.now()
        settle_trade(trade_id=trade.pk, now=now)
        trade.refresh_from_db()
        self.assertEqual(trade.settled_at, now)
        self.assertEqual(self.account(self.bob), (D("199.9"), 0, 0))
        self.assertEqual(self.holding(self.ann), (10, 0, 0, 100))
        lines = LedgerEntry.objects.filter(account_id=self.bob.pk).exclude(kind="deposit").order_by("id")
        reference = f"ACME:{trade.sequence}"
        self.assertEqual(
            [(line.kind, line.amount, line.balance_after, line.reference) for line in lines],
            [("trade", 100, 200, reference), ("fee", D("-0.1"), D("199.9"), reference)],
        )
        self.assert_books_right()

    def test_it_settles_a_trade_once(self) -> None:
        trade = self.trade()
        settle_trade(trade_id=trade.pk, now=timezone.now())
        before = self.account(self.bob), self.holding(self.ann), LedgerEntry.objects.count()
        with self.assertRaises(TradeSettled):
            settle_trade(trade_id=trade.pk, now=timezone.now())
        self.assertEqual(self.settle_all(), 0)
        self.assertEqual(
            (self.account(self.bob), self.holding(self.ann), LedgerEntry.objects.count()), before
        )

    def test_it_refuses_what_there_is_not(self) -> None:
        with self.assertRaises(UnknownTrade):
            settle_trade(trade_id=2**63 - 1, now=timezone.now())
        with self.assertRaises(UnknownStock):
            settle_trades(stock_id="NO", now=timezone.now())

    def test_it_takes_the_oldest_first_up_to_its_limit(self) -> None:
        trades = [self.trade(quantity) for quantity in (1, 2, 3)]
        self.assertEqual(settle_trades(stock_id="ACME", limit=2, now=timezone.now()), 2)
        unsettled = Trade.objects.filter(settled_at=None)
        self.assertEqual([trade.pk for trade in unsettled], [trades[2].pk])
        self.assertEqual(self.holding(self.ann), (3, 0, 3, 60))
        self.assert_books_right()

    def test_it_leaves_what_was_executed_later(self) -> None:
        early, late = self.trade(1), self.trade(2)
        Trade.objects.filter(pk=early.pk).update(executed_at=late.executed_at - timedelta(days=1))
        settled = settle_trades(stock_id="ACME", executed_before=late.executed_at, now=timezone.now())
        self.assertEqual((settled, self.holding(self.ann)[2]), (1, 2))

    def test_it_settles_never_before_the_match(self) -> None:
        trade = self.trade()
        settle_trade(trade_id=trade.pk, now=trade.executed_at - timedelta(seconds=5))
        trade.refresh_from_db()
        self.assertEqual(trade.settled_at, trade.executed_at)
        with self.assertRaises(IntegrityError), transaction.atomic():
            Trade.objects.update(settled_at=trade.executed_at - timedelta(seconds=1))

    def test_it_keeps_unsettled_amounts_above_zero_in_the_database_too(self) -> None:
        self.trade()
        for rows in (CashAccount.objects.all(), Holding.objects.all()):
            with self.assertRaises(IntegrityError), transaction.atomic():
                rows.update(unsettled=-1)


class Cost(DeferredTestCase):
    """The average cost is that of all shares, so it does not depend on when they settle."""

    def trade_up_and_down(self, settlement: str) -> tuple[int, int, int, D]:
        """Carl buys dearer, cheaper, and sells a part in between."""
        self.switch_to(settlement)
        carl = make_trader(settlement, 10_000, ACME=10)
        for price in ("10", "13.33"):
            self.place(self.bob, "sell", 7, price)
            self.place(carl, "buy", 7, price)
        self.place(carl, "sell", 5, "12")
        self.place(self.ann, "buy", 5, "12")
        return self.holding(carl)

    def test_it_is_the_same_in_both_modes(self) -> None:
        at_once = self.trade_up_and_down("immediate")
        unsettled = self.trade_up_and_down("deferred")
        self.assertEqual((at_once[0], at_once[2]), (19, 0))
        self.assertEqual((unsettled[0], unsettled[2]), (5, 14))
        self.assertEqual(unsettled[3], at_once[3])
        self.settle_all()
        carl = User.objects.get(username="deferred")
        self.assertEqual(self.holding(carl), at_once)
        self.assert_books_right()


class Switching(DeferredTestCase):
    def test_it_settles_by_the_trade_whatever_the_setting_is_now(self) -> None:
        deferred = self.trade()
        self.switch_to("immediate")
        at_once = self.trade()
        self.assertEqual(at_once.settled_at, at_once.executed_at)
        self.assertEqual(self.holding(self.ann)[::2], (10, 10))
        self.assert_books_right()
        with self.assertRaises(TradeSettled):
            settle_trade(trade_id=at_once.pk, now=timezone.now())
        settle_trade(trade_id=deferred.pk, now=timezone.now())
        self.switch_to("deferred")
        self.trade()
        self.assertEqual(self.holding(self.ann)[:3], (20, 0, 10))
        self.assert_books_right()
