from decimal import Decimal
from unittest.mock import patch

from django.db import IntegrityError, transaction
from django.test import TestCase, override_settings

from users.exceptions import UnknownUser
from users.models import CashAccount, LedgerEntry, User
from users.services import (
    RefusedPassword,
    UsernameTaken,
    deactivate_user,
    register_user,
    registration,
    update_user,
)
from users.tests.base import NOON, PASSWORD, make_user


def register(username: str = "ann", password: str = PASSWORD) -> User:
    return register_user(username=username, password=password, email="ann@bourse.example", now=NOON)


class RegisterTests(TestCase):
    def test_it_makes_a_user_with_an_account(self) -> None:
        user = register()
        stored = User.objects.get(username="ann")
        self.assertTrue(stored.check_password(PASSWORD))
        self.assertNotIn(PASSWORD, stored.password)
        self.assertEqual(CashAccount.objects.get(user=user).balance, 0)
        self.assertEqual((stored.is_staff, stored.is_superuser, stored.date_joined), (False, False, NOON))

    @override_settings(STARTING_BALANCE=Decimal("1000.5"))
    def test_it_books_the_starting_balance(self) -> None:
        user = register()
        entry = LedgerEntry.objects.get(account_id=user.pk)
        self.assertEqual(
            (entry.kind, entry.amount, entry.balance_after), ("opening", *[Decimal("1000.5")] * 2)
        )
        self.assertEqual(user.account.balance, Decimal("1000.5"))

    def test_names_are_unique_in_any_case(self) -> None:
        register("Ann")
        for name in ("Ann", "ann", "ANN"):
            with self.subTest(name), self.assertRaises(UsernameTaken):
                register(name)

    def test_the_database_has_the_last_word_on_names(self) -> None:
        register("Ann")
        with self.assertRaises(IntegrityError), transaction.atomic():
            User.objects.create(username="ann")

    def test_a_race_for_a_name_has_one_winner(self) -> None:
        register("Ann")
        # Both have looked before either has stored.
        with patch.object(registration.User.objects, "filter", return_value=User.objects.none()):
            with self.assertRaises(UsernameTaken):
                register("ann")
        self.assertEqual(User.objects.count(), 1)

    def test_look_alike_names_are_one_name(self) -> None:
        register("\uff41nn")
        self.assertTrue(User.objects.filter(username="ann").exists())

    def test_a_bad_password_is_refused_by_the_rule_it_breaks(self) -> None:
        for password, code in [
            ("short", "password_too_short"),
            ("password", "password_too_common"),
            ("annamaria1", "password_too_similar"),
        ]:
            with self.subTest(password), self.assertRaises(RefusedPassword) as caught:
                register("annamaria", password)
            self.assertEqual((caught.exception.code, caught.exception.field), (code, "password"))
        self.assertFalse(User.objects.exists())


class UpdateTests(TestCase):
    def setUp(self) -> None:
        self.ann = make_user("ann")

    def test_it_changes_what_is_given(self) -> None:
        update_user(user_id=self.ann.pk, email="new@bourse.example")
        self.ann.refresh_from_db()
        self.assertEqual(self.ann.email, "new@bourse.example")
        self.assertTrue(self.ann.check_password(PASSWORD))

    def test_it_checks_the_new_password(self) -> None:
        with self.assertRaises(RefusedPassword):
            update_user(user_id=self.ann.pk, email="new@bourse.example", password="123")
        self.ann.refresh_from_db()
        self.assertEqual(self.ann.email, "ann@bourse.example")

    def test_an_unknown_user_is_refused(self) -> None:
        for change in (update_user, deactivate_user):
            with self.subTest(change.__name__), self.assertRaises(UnknownUser):
                change(user_id=self.ann.pk + 1)


class DeactivateTests(TestCase):
    def test_the_books_stay(self) -> None:
        ann = make_user("ann", 100)
        deactivate_user(user_id=ann.pk)
        self.assertFalse(User.objects.get(pk=ann.pk).is_active)
        self.assertEqual(CashAccount.objects.get(user=ann).balance, 100)
        self.assertEqual(LedgerEntry.objects.count(), 1)
