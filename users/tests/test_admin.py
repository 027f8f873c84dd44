from decimal import Decimal
from typing import Any

from django.contrib.auth.models import Permission
from django.core.paginator import Paginator
from django.db import connection
from django.test import SimpleTestCase, TestCase, override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import reverse
from knox.models import AuthToken

from users.admin import MAX_COUNTED, CountingPaginator
from users.models import CashAccount, LedgerEntry, User
from users.services import issue_token
from users.tests.base import NOON, make_user

STRONG = "a strange new horse 9"


class PaginatorTests(SimpleTestCase):
    def test_it_counts_only_so_far(self) -> None:
        class Rows:
            sliced: slice

            def __getitem__(self, part: slice) -> "Rows":
                self.sliced = part
                return self

            def count(self) -> int:
                return self.sliced.stop

        self.assertEqual(CountingPaginator(Rows(), 50).count, MAX_COUNTED)
        self.assertTrue(issubclass(CountingPaginator, Paginator))


class AdminTestCase(TestCase):
    def setUp(self) -> None:
        self.root = make_user("root", is_staff=True, is_superuser=True)
        self.ann = make_user("ann", 100)
        self.client.force_login(self.root)

    def queries_of(self, url: str) -> int:
        with CaptureQueriesContext(connection) as queries:
            self.assertEqual(self.client.get(url).status_code, 200)
        return len(queries)

    def post_action(self, name: str, user: User, **fields: Any) -> str:
        url = reverse("admin:users_user_changelist")
        response = self.client.post(
            url, {"action": name, "_selected_action": [user.pk], **fields}, follow=True
        )
        self.assertEqual(response.status_code, 200)
        return " ".join(map(str, response.context["messages"]))


class UserAdminTests(AdminTestCase):
    @override_settings(STARTING_BALANCE=Decimal(1000))
    def test_a_new_user_gets_an_account_with_the_starting_balance(self) -> None:
        url = reverse("admin:users_user_add")
        response = self.client.post(
            url, {"username": "dora", "password1": STRONG, "password2": STRONG, "usable_password": "true"}
        )
        self.assertEqual(response.status_code, 302)
        dora = User.objects.get(username="dora")
        self.assertTrue(dora.check_password(STRONG))
        self.assertEqual(dora.account.balance, 1000)
        self.assertEqual(LedgerEntry.objects.get(account_id=dora.pk).kind, "opening")

    def test_a_name_is_refused_in_any_case(self) -> None:
        url = reverse("admin:users_user_add")
        response = self.client.post(
            url, {"username": "ANN", "password1": STRONG, "password2": STRONG, "usable_password": "true"}
        )
        self.assertContains(response, "already exists")

    def test_cash_is_shown_and_cannot_be_typed_in(self) -> None:
        url = reverse("admin:users_user_change", args=[self.ann.pk])
        page = self.client.get(url)
        self.assertContains(page, "100.0000")
        self.assertNotContains(page, 'name="balance"')
        self.assertNotContains(page, 'name="account')

    def test_unticking_active_ends_every_token(self) -> None:
        issue_token(user=self.ann, now=NOON)
        url = reverse("admin:users_user_change", args=[self.ann.pk])
        form = self.client.get(url).context["adminform"].form
        data = {
            name: value
            for name, value in form.initial.items()
            if value and name not in ("is_active", "password")
        }
        inline = {
            f"{formset.formset.prefix}-{field}": 0
            for formset in self.client.get(url).context["inline_admin_formsets"]
            for field in ("TOTAL_FORMS", "INITIAL_FORMS")
        }
        data = {name: value for name, value in data.items() if not hasattr(value, "tzinfo")}
        response = self.client.post(url, {**data, **inline, "username": "ann"})
        self.assertEqual(response.status_code, 302)
        self.ann.refresh_from_db()
        self.assertFalse(self.ann.is_active)
        self.assertFalse(AuthToken.objects.exists())

    def test_a_password_set_by_staff_ends_every_token(self) -> None:
        issue_token(user=self.ann, now=NOON)
        url = reverse("admin:auth_user_password_change", args=[self.ann.pk])
        response = self.client.post(url, {"password1": "1", "password2": "2"})
        self.assertEqual((response.status_code, AuthToken.objects.count()), (200, 1))
        response = self.client.post(
            url, {"password1": STRONG, "password2": STRONG, "usable_password": "true"}
        )
        self.assertEqual((response.status_code, AuthToken.objects.count()), (302, 0))

    def test_users_are_not_deleted(self) -> None:
        url = reverse("admin:users_user_delete", args=[self.ann.pk])
        self.assertEqual(self.client.post(url, {"post": "yes"}).status_code, 403)
        self.assertTrue(User.objects.filter(pk=self.ann.pk).exists())

    def test_actions_book_through_the_services(self) -> None:
        page = self.post_action("deposit_to", self.ann, amount="50.5")
        self.assertIn("ann: the balance is 150.5", page)
        page = self.post_action("withdraw_from", self.ann, amount="1000")
        self.assertIn("you dont have the fund to withdraw", page)
        self.assertEqual([entry.kind for entry in LedgerEntry.objects.all()], ["deposit", "deposit"])
        self.assertEqual(CashAccount.objects.get(user=self.ann).balance, Decimal("150.5"))

    def test_an_action_without_a_good_amount_books_nothing(self) -> None:
        for amount in ("", "0", "-5", "NaN", "1e400", "0.00001", "ten"):
            with self.subTest(amount):
                self.assertIn("Amount: ", self.post_action("deposit_to", self.ann, amount=amount))
        self.assertEqual(LedgerEntry.objects.count(), 1)

    def test_an_action_deactivates(self) -> None:
        self.post_action("deactivate", self.ann)
        self.ann.refresh_from_db()
        self.assertFalse(self.ann.is_active)

    def test_who_may_only_look_has_no_actions(self) -> None:
        clara = make_user("clara", is_staff=True)
        clara.user_permissions.add(Permission.objects.get(codename="view_user"))
        self.client.force_login(clara)
        page = self.post_action("deposit_to", self.ann, amount="50")
        self.assertNotIn("the balance is", page)
        self.assertEqual(CashAccount.objects.get(user=self.ann).balance, 100)


class BooksAdminTests(AdminTestCase):
    def test_books_are_shown_and_read_only(self) -> None:
        for model, pk in [("cashaccount", self.ann.pk), ("ledgerentry", LedgerEntry.objects.get().pk)]:
            with self.subTest(model):
                self.assertContains(self.client.get(reverse(f"admin:users_{model}_changelist")), "100.0000")
                change = reverse(f"admin:users_{model}_change", args=[pk])
                self.assertContains(self.client.get(change), "100.0000")
                self.assertEqual(self.client.post(change, {"balance": 5, "amount": 5}).status_code, 403)
                self.assertEqual(self.client.get(reverse(f"admin:users_{model}_add")).status_code, 403)
                delete = reverse(f"admin:users_{model}_delete", args=[pk])
                self.assertEqual(self.client.post(delete, {"post": "yes"}).status_code, 403)
        self.assertEqual(CashAccount.objects.get(user=self.ann).balance, 100)

    def test_lists_take_the_same_queries_for_many(self) -> None:
        for model in ("user", "cashaccount", "ledgerentry"):
            url = reverse(f"admin:users_{model}_changelist")
            few = self.queries_of(url)
            for number in range(10):
                make_user(f"{model}-{number}", 5)
            with self.subTest(model):
                self.assertEqual(self.queries_of(url), few)

    def test_lists_can_be_searched(self) -> None:
        make_user("bob", 7)
        for model, sought, shown, hidden in [
            ("user", "bob", "bob@bourse.example", "ann@bourse.example"),
            ("cashaccount", "bob", "7.0000", "100.0000"),
            ("ledgerentry", "bob", "7.0000", "100.0000"),
        ]:
            with self.subTest(model):
                page = self.client.get(reverse(f"admin:users_{model}_changelist"), {"q": sought})
                self.assertContains(page, shown)
                self.assertNotContains(page, hidden)
