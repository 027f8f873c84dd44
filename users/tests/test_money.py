import threading
from collections.abc import Callable
from decimal import Decimal
from unittest.mock import patch

from django.db import IntegrityError, OperationalError, connection, transaction
from django.test import TestCase, TransactionTestCase, tag

from users.exceptions import Refusal, UnknownUser
from users.fields import MAX_MONEY
from users.models import CashAccount, LedgerEntry
from users.services import BalanceTooLarge, IdempotencyKeyReused, cash, deposit, withdraw
from users.services.cash import InsufficientFunds
from users.tests.base import NOON, make_user


class BookingTests(TestCase):
    def setUp(self) -> None:
        self.ann = make_user("ann")

    def deposit(self, amount: str, key: str | None = None) -> CashAccount:
        return deposit(user_id=self.ann.pk, amount=Decimal(amount), idempotency_key=key, now=NOON)

    def withdraw(self, amount: str, key: str | None = None) -> CashAccount:
        return withdraw(user_id=self.ann.pk, amount=Decimal(amount), idempotency_key=key, now=NOON)

    def entries(self) -> list[tuple[str, Decimal, Decimal]]:
        rows = LedgerEntry.objects.filter(account_id=self.ann.pk).order_by("id")
        return [(row.kind, row.amount, row.balance_after) for row in rows]

    def test_the_ledger_has_every_movement_and_the_running_balance(self) -> None:
        self.deposit("100.5")
        account = self.withdraw("0.5")
        self.assertEqual((account.balance, account.reserved), (100, 0))
        self.assertEqual(
            self.entries(),
            [("deposit", Decimal("100.5"), Decimal("100.5")), ("withdrawal", Decimal("-0.5"), Decimal(100))],
        )

    def test_more_than_there_is_cannot_be_withdrawn(self) -> None:
        self.deposit("100")
        with self.assertRaisesMessage(InsufficientFunds, "you dont have the fund to withdraw"):
            self.withdraw("100.0001")
        self.assertEqual(len(self.entries()), 1)
        self.assertEqual(self.withdraw("100").balance, 0)

    def test_what_is_reserved_cannot_be_withdrawn(self) -> None:
        self.deposit("100")
        CashAccount.objects.update(reserved=Decimal("60"))
        with self.assertRaises(InsufficientFunds):
            self.withdraw("40.0001")
        self.assertEqual(self.withdraw("40").balance, 60)

    def test_a_balance_has_a_limit(self) -> None:
        self.deposit(str(MAX_MONEY))
        with self.assertRaises(BalanceTooLarge):
            self.deposit("0.0001")
        self.assertEqual(CashAccount.objects.get(user=self.ann).balance, MAX_MONEY)

    def test_an_unknown_user_is_refused(self) -> None:
        with self.assertRaises(UnknownUser):
            deposit(user_id=self.ann.pk + 1, amount=Decimal(1), now=NOON)

    def test_the_same_request_under_a_key_is_booked_once(self) -> None:
        self.deposit("100", "k1")
        self.withdraw("30", "k2")
        self.assertEqual(self.deposit("100.0", "k1").balance, 70)
        self.assertEqual(self.withdraw("30", "k2").balance, 70)
        self.assertEqual(len(self.entries()), 2)

    def test_a_repeated_withdrawal_is_no_new_one_even_when_the_cash_is_gone(self) -> None:
        self.deposit("100")
        self.withdraw("100", "k")
        self.assertEqual(self.withdraw("100", "k").balance, 0)

    def test_another_request_under_a_used_key_is_refused(self) -> None:
        self.deposit("100", "k")
        for book, amount in [(self.deposit, "100.0001"), (self.withdraw, "100")]:
            with self.subTest(book.__name__), self.assertRaises(IdempotencyKeyReused):
                book(amount, "k")
        self.assertEqual(len(self.entries()), 1)

    def test_a_refused_request_leaves_its_key_free(self) -> None:
        with self.assertRaises(InsufficientFunds):
            self.withdraw("5", "k")
        self.assertEqual(self.deposit("5", "k").balance, 5)

    def test_keys_belong_to_one_account(self) -> None:
        bob = make_user("bob")
        self.deposit("100", "k")
        deposit(user_id=bob.pk, amount=Decimal(7), idempotency_key="k", now=NOON)
        self.assertEqual(CashAccount.objects.get(user=bob).balance, 7)

    def test_the_database_has_the_last_word_on_keys_and_balances(self) -> None:
        self.deposit("100", "k")
        entry = LedgerEntry.objects.get()
        entry.pk = None
        with self.assertRaises(IntegrityError), transaction.atomic():
            entry.save(force_insert=True)
        for change in ({"balance": -1}, {"reserved": -1}, {"reserved": 101}):
            with self.subTest(change), self.assertRaises(IntegrityError), transaction.atomic():
                CashAccount.objects.update(**change)


class RaceTests(TransactionTestCase):
    """Threads at one account. The control shows that the row lock is what keeps them apart."""

    def setUp(self) -> None:
        self.ann = make_user("ann", 100)

    def run_together(self, threads: int, work: Callable[[int], object]) -> list[object]:
        """What each thread's `work` returned or raised."""
        outcomes: list[object] = [None] * threads
        start = threading.Barrier(threads)

        def run(number: int) -> None:
            start.wait()
            try:
                outcomes[number] = work(number)
            except (Refusal, IntegrityError, OperationalError) as error:
                outcomes[number] = error
            finally:
                connection.close()

        running = [threading.Thread(target=run, args=(number,)) for number in range(threads)]
        for thread in running:
            thread.start()
        for thread in running:
            thread.join()
        return outcomes

    def books(self) -> tuple[Decimal, Decimal, int]:
        """(balance, sum of the ledger, entries)"""
        amounts = [entry.amount for entry in LedgerEntry.objects.all()]
        return CashAccount.objects.get(user=self.ann).balance, sum(amounts, Decimal(0)), len(amounts)

    def test_one_key_sent_by_many_at_once_is_booked_once(self) -> None:
        outcomes = self.run_together(
            8, lambda number: deposit(user_id=self.ann.pk, amount=Decimal(5), idempotency_key="k", now=NOON)
        )
        self.assertEqual([outcome.balance for outcome in outcomes], [105] * 8)
        self.assertEqual(self.books(), (105, 105, 2))

    def test_nobody_withdraws_the_same_cash_twice(self) -> None:
        outcomes = self.run_together(
            8, lambda number: withdraw(user_id=self.ann.pk, amount=Decimal(30), now=NOON)
        )
        refused = [outcome for outcome in outcomes if isinstance(outcome, InsufficientFunds)]
        self.assertEqual(len(refused), 5)
        self.assertEqual(self.books(), (10, 10, 4))

    def test_no_movement_is_lost(self) -> None:
        def work(number: int) -> None:
            book = withdraw if number % 2 else deposit
            for _ in range(5):
                book(user_id=self.ann.pk, amount=Decimal(1), now=NOON)

        self.run_together(8, work)
        self.assertEqual(self.books(), (100, 100, 41))

    # On SQLite a writer locks the whole database: there is no row lock to switch off.
    @tag("postgresql")
    def test_control_without_the_row_lock_movements_are_lost(self) -> None:
        both_have_read = threading.Barrier(2, timeout=10)

        def read_and_wait(user_ids: list[int]) -> dict[int, cash.LockedAccount]:
            accounts = cash.lock_accounts(user_ids)
            both_have_read.wait()
            return accounts

        with (
            patch.object(cash, "lock_clause", return_value=""),
            patch("users.services.money.lock_accounts", read_and_wait),
        ):
            self.run_together(2, lambda number: deposit(user_id=self.ann.pk, amount=Decimal(1), now=NOON))
        balance, booked, _ = self.books()
        self.assertEqual((balance, booked), (101, 102))
