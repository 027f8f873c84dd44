"""Writes that wait for the next statement: nothing of what is written changes by that."""

from datetime import UTC, datetime

from django.db import IntegrityError, transaction
from django.test import TestCase, TransactionTestCase, tag

from users import rows
from users.models import CashAccount, LedgerEntry, User
from users.round_trips import shared_round_trips

NOW = datetime(2024, 5, 6, 7, 8, 9, tzinfo=UTC)
COLUMNS = ["account_id", "kind", "amount", "balance_after", "reference", "created_at"]


def make_account() -> int:
    return CashAccount.objects.create(user=User.objects.create(username="ann")).pk


class SharedRoundTrips(TestCase):
    def setUp(self) -> None:
        self.account = make_account()

    def book(self, *amounts: int) -> None:
        rows.insert_rows(
            LedgerEntry,
            COLUMNS,
            [(self.account, "deposit", amount, amount, "50 %", NOW) for amount in amounts],
        )

    def booked(self) -> list[int]:
        return [amount for (amount,) in rows.fetch_rows("SELECT amount FROM users_ledgerentry ORDER BY id")]

    def test_a_query_sees_what_was_written_before_it(self) -> None:
        with shared_round_trips():
            self.book(1)
            self.book(2, 3)
            self.assertEqual(self.booked(), [1, 2, 3])

    def test_what_waits_is_written_at_the_end(self) -> None:
        with shared_round_trips():
            self.book(1)
            rows.update_rows(CashAccount, ["user_id"], ["balance"], [(self.account, 70_000)])
        self.assertEqual(self.booked(), [1])
        self.assertEqual(CashAccount.objects.get().balance, 7)

    def test_a_count_is_that_of_its_own_statement(self) -> None:
        with shared_round_trips():
            self.book(1, 2, 3)
            wrong_key = [(self.account, 5, 70_000)]
            found = rows.update_matching_rows(CashAccount, ["user_id", "balance"], ["balance"], wrong_key)
        self.assertEqual(found, 0)

    def test_many_rows_do_not_overtake_few(self) -> None:
        with shared_round_trips():
            self.book(1)
            self.book(*range(2, rows.COPY_FROM_ROWS + 2))
        self.assertEqual(self.booked(), list(range(1, rows.COPY_FROM_ROWS + 2)))

    def test_an_error_comes_up_inside_the_transaction(self) -> None:
        with self.assertRaises(IntegrityError), transaction.atomic(), shared_round_trips():
            self.book(1)
            self.book(0)
        self.assertEqual(self.booked(), [])

    def test_nothing_is_left_to_be_sent_when_a_block_fails(self) -> None:
        with self.assertRaises(ZeroDivisionError), transaction.atomic(), shared_round_trips():
            self.book(1)
            self.book(1 // 0)
        self.book(2)
        self.assertEqual(self.booked(), [2])

    @tag("postgresql")
    def test_nothing_is_sent_before_it_is_asked_for(self) -> None:
        with shared_round_trips():
            self.book(1)
            self.book(2)
            # Django's own queries take nothing along: they show what was sent until now.
            self.assertEqual(LedgerEntry.objects.count(), 0)
        self.assertEqual(LedgerEntry.objects.count(), 2)


@tag("postgresql")
class TheDisk(TransactionTestCase):
    def test_a_commit_may_run_ahead_and_is_caught_up_with(self) -> None:
        with transaction.atomic():
            make_account()
            rows.let_commit_run_ahead()
            self.assertEqual(rows.fetch_rows("SHOW synchronous_commit"), [("off",)])
        self.assertEqual(rows.fetch_rows("SHOW synchronous_commit"), [("on",)])
        ((written,),) = rows.fetch_rows("SELECT pg_current_wal_insert_lsn()")
        rows.wait_for_disk()
        self.assertEqual(rows.fetch_rows("SELECT pg_current_wal_flush_lsn() >= %s", [written]), [(True,)])
