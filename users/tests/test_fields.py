"""The fixed-point field keeps every digit on both databases."""

from decimal import Decimal as D

from django.core.exceptions import ValidationError
from django.db import IntegrityError, connection, models, transaction
from django.db.models import F, Max, Sum
from django.test import SimpleTestCase, TestCase
from django.utils import timezone

from users.fields import MAX_MONEY, FixedPointField, from_units, to_units
from users.models import CashAccount, LedgerEntry, User


class Units(SimpleTestCase):
    def test_it_goes_there_and_back(self) -> None:
        for text in ("0", "0.0001", "19402", "100.5", "-3.25", "99999999999.9999", "123456789012.3456"):
            with self.subTest(text=text):
                self.assertEqual(from_units(to_units(D(text))), D(text))
        self.assertEqual(to_units(7), 70_000)

    def test_it_refuses_what_it_would_have_to_round(self) -> None:
        for value in (D("0.00001"), D("NaN"), D("Infinity"), D("1e30"), 0.1, True, "1"):
            with self.subTest(value=value), self.assertRaises(ValueError):
                to_units(value)  # type: ignore[arg-type]


class Field(SimpleTestCase):
    field = FixedPointField()

    def test_it_reads_text_and_whole_numbers(self) -> None:
        self.assertEqual(self.field.to_python(" 12.5 "), D("12.5"))
        self.assertEqual(self.field.to_python(3), D(3))
        self.assertIsNone(self.field.to_python(""))

    def test_it_refuses_floats_and_nonsense(self) -> None:
        for value in (0.1, "1.23456", "abc", "NaN", [], True):
            with self.subTest(value=value), self.assertRaises(ValidationError):
                self.field.to_python(value)

    def test_it_can_be_found_again_by_a_migration(self) -> None:
        _, path, args, kwargs = FixedPointField(null=True).deconstruct()
        self.assertEqual((path, args, kwargs), ("users.fields.FixedPointField", [], {"null": True}))


class Stored(TestCase):
    def account(self, balance: str) -> CashAccount:
        user = User.objects.create(username=balance)
        return CashAccount.objects.create(user=user, balance=D(balance))

    def test_it_keeps_all_fifteen_digits(self) -> None:
        for text in ("99999999999.9999", "0.0001", "12345678901.2345"):
            with self.subTest(text=text):
                self.assertEqual(CashAccount.objects.get(pk=self.account(text).pk).balance, D(text))
        self.assertEqual(MAX_MONEY, D("99999999999.9999"))

    def test_it_is_a_whole_number_in_the_database(self) -> None:
        account = self.account("1.5")
        with connection.cursor() as cursor:
            cursor.execute("SELECT balance FROM users_cashaccount WHERE user_id = %s", [account.pk])
            self.assertEqual(cursor.fetchone(), (15_000,))

    def test_it_compares_orders_and_adds_up(self) -> None:
        for text in ("0.1", "0.2", "10"):
            self.account(text)
        accounts = CashAccount.objects.all()
        self.assertEqual(
            accounts.aggregate(total=Sum("balance"), top=Max("balance")), {"total": D("10.3"), "top": D(10)}
        )
        self.assertEqual(accounts.filter(balance__gt=D("0.15")).count(), 2)
        self.assertEqual([a.balance for a in accounts.order_by("balance")], [D("0.1"), D("0.2"), D(10)])
        accounts.filter(balance=D("0.1")).update(balance=F("balance") * 3)
        self.assertTrue(accounts.filter(balance=D("0.3")).exists())

    def test_it_lets_the_database_check_the_rules(self) -> None:
        account = self.account("5")
        broken: list[tuple[type[models.Model], dict[str, object]]] = [
            (CashAccount, {"reserved": D("5.0001")}),
            (CashAccount, {"reserved": D(-1)}),
            (CashAccount, {"balance": D("-0.0001")}),
        ]
        for model, values in broken:
            with self.subTest(values=values), self.assertRaises(IntegrityError), transaction.atomic():
                model._default_manager.filter(pk=account.pk).update(**values)
        with self.assertRaises(IntegrityError), transaction.atomic():
            LedgerEntry.objects.create(
                account=account, kind="deposit", amount=D(0), balance_after=D(5), created_at=timezone.now()
            )
