"""Many rows in one statement, alike on both databases."""

from datetime import UTC, datetime
from decimal import Decimal as D

from django.db import IntegrityError, transaction
from django.test import TestCase

from users import rows
from users.models import CashAccount, LedgerEntry, User

NOW = datetime(2024, 5, 6, 7, 8, 9, 123456, tzinfo=UTC)
COLUMNS = ["account_id", "kind", "amount", "balance_after", "reference", "idempotency_key", "created_at"]


class Rows(TestCase):
    def setUp(self) -> None:
        self.accounts = [
            CashAccount.objects.create(user=User.objects.create(username=f"u{number}"), balance=D(number))
            for number in range(3)
        ]

    def entries(self, count: int, reference: str = "") -> list[rows.Row]:
        owner = self.accounts[0].pk
        return [(owner, "deposit", number + 1, number, reference, None, NOW) for number in range(count)]

    def test_it_inserts_few_and_many(self) -> None:
        for count in (0, 1, rows.COPY_FROM_ROWS, 100):
            with self.subTest(count=count):
                LedgerEntry.objects.all().delete()
                rows.insert_rows(LedgerEntry, COLUMNS, self.entries(count))
                self.assertEqual(LedgerEntry.objects.count(), count)
        newest = LedgerEntry.objects.first()
        assert newest is not None
        self.assertEqual((newest.amount, newest.created_at, newest.idempotency_key), (D("0.01"), NOW, None))

    def test_it_keeps_awkward_text(self) -> None:
        awkward = "tab\t line\n back\\slash \\N 'single' \"double\" {a,NULL} %s é 💶"
        for count in (1, rows.COPY_FROM_ROWS):
            rows.insert_rows(LedgerEntry, COLUMNS, self.entries(count, awkward))
        self.assertEqual(set(LedgerEntry.objects.values_list("reference", flat=True)), {awkward})

    def test_it_returns_generated_keys_in_the_order_of_the_rows(self) -> None:
        keys = rows.insert_rows_returning(LedgerEntry, COLUMNS, self.entries(5000), "id")
        stored = list(LedgerEntry.objects.order_by("amount").values_list("id", flat=True))
        self.assertEqual(keys, stored)

    def test_it_inserts_all_or_none(self) -> None:
        bad = [*self.entries(20), (self.accounts[0].pk, "deposit", 1, -5, "", None, NOW)]
        with self.assertRaises(IntegrityError), transaction.atomic():
            rows.insert_rows(LedgerEntry, COLUMNS, bad)
        self.assertEqual(LedgerEntry.objects.count(), 0)

    def test_it_updates_the_rows_that_still_match(self) -> None:
        first, second, _ = self.accounts
        found = rows.update_matching_rows(
            CashAccount,
            ["user_id", "balance"],
            ["balance", "reserved"],
            [(first.pk, 0, 70_000, 10_000), (second.pk, 424242, 1, 1)],
        )
        self.assertEqual(found, 1)
        first.refresh_from_db()
        second.refresh_from_db()
        self.assertEqual((first.balance, first.reserved, second.balance), (D(7), D(1), D(1)))
        self.assertEqual(rows.update_matching_rows(CashAccount, ["user_id"], ["balance"], []), 0)

    def test_it_turns_a_conflict_into_an_update(self) -> None:
        first = self.accounts[0]
        rows.upsert_rows(
            CashAccount,
            ["user_id", "balance", "reserved", "unsettled"],
            [(first.pk, 5, 0, 0)],
            "ON CONFLICT (user_id) DO UPDATE SET balance = users_cashaccount.balance + excluded.balance + 1",
        )
        first.refresh_from_db()
        self.assertEqual(first.balance, D("0.0006"))
