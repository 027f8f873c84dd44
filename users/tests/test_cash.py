"""Cash under lock."""

from datetime import UTC, datetime
from decimal import Decimal as D

from django.test import SimpleTestCase, TestCase

from users.models import CashAccount, LedgerEntry, User
from users.services import cash

NOW = datetime(2024, 5, 6, tzinfo=UTC)


class Holding(SimpleTestCase):
    def test_it_holds_what_is_available_and_no_more(self) -> None:
        account = cash.LockedAccount(1, 100, 40)
        account.hold(60)
        with self.assertRaises(cash.InsufficientFunds):
            account.hold(1)
        account.release(100)
        self.assertEqual((account.available, account.reserved), (100, 0))

    def test_it_never_releases_more_than_is_held(self) -> None:
        with self.assertRaises(AssertionError):
            cash.LockedAccount(1, 100, 40).release(41)


class Accounts(TestCase):
    def test_it_opens_an_account_for_a_user_without_one(self) -> None:
        user = User.objects.create(username="ann")
        with self.subTest("known"):
            self.assertEqual(cash.lock_accounts([user.pk])[user.pk].balance, 0)
            self.assertTrue(CashAccount.objects.filter(user=user).exists())
        with self.subTest("unknown"):
            self.assertEqual(cash.lock_accounts([user.pk + 1]), {})

    def test_it_books_movements_with_a_running_balance(self) -> None:
        user = User.objects.create(username="ann")
        CashAccount.objects.create(user=user, balance=D(10))
        accounts = cash.lock_accounts([user.pk])
        movements = [cash.CashMovement(user.pk, "trade", amount, "ACME:1") for amount in (-40_000, 15_000)]
        cash.book_movements(accounts, movements, now=NOW)
        cash.write_accounts(accounts.values())
        entries = LedgerEntry.objects.order_by("id")
        self.assertEqual([entry.balance_after for entry in entries], [D(6), D("7.5")])
        self.assertEqual(CashAccount.objects.get(user=user).balance, D("7.5"))
