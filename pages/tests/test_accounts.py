from django.contrib.auth import get_user
from django.http import HttpResponse
from django.test import Client, TestCase

from users.models import CashAccount, User
from users.tests.base import PASSWORD, forget_everything, make_user
from users.tests.test_throttling import rates

NEW = {"username": "dora", "email": "dora@example.com", "password": PASSWORD}


class AccountPageCase(TestCase):
    def setUp(self) -> None:
        forget_everything()

    def assert_logged_in(self, name: str) -> None:
        user = get_user(self.client)  # type: ignore[arg-type]
        self.assertEqual(user.get_username(), name)


class SignUpPageTests(AccountPageCase):
    def test_it_makes_a_user_with_an_account_and_logs_in(self) -> None:
        self.assertRedirects(self.client.post("/sign-up/", NEW), "/")
        self.assertEqual(CashAccount.objects.get(user__username="dora").balance, 0)
        self.assert_logged_in("dora")

    def test_it_says_at_each_field_what_is_wrong_and_keeps_the_rest(self) -> None:
        page = self.client.post("/sign-up/", {"username": "do ra", "email": "nowhere", "password": PASSWORD})
        self.assertEqual(page.status_code, 400)
        self.assertContains(page, 'aria-invalid="true"', count=2, status_code=400)
        self.assertContains(page, 'value="do ra"', status_code=400)
        self.assertNotContains(page, PASSWORD, status_code=400)
        self.assertFalse(User.objects.exists())

    def test_it_refuses_a_name_that_is_taken_and_a_weak_password(self) -> None:
        make_user("dora")
        self.assertContains(
            self.client.post("/sign-up/", {**NEW, "username": "Dora"}), "already exists", status_code=400
        )
        page = self.client.post("/sign-up/", {**NEW, "username": "eve", "password": "12345"})
        self.assertContains(page, "too short", status_code=400)

    def test_it_takes_nothing_but_its_fields(self) -> None:
        self.client.post("/sign-up/", {**NEW, "is_staff": "true", "balance": "1000"})
        self.assertFalse(User.objects.get().is_staff)

    def test_it_counts_attempts_with_those_of_rest(self) -> None:
        with rates(sign_up="2/min"):
            self.client.post("/api/users/", {})
            self.client.post("/sign-up/", {})
            page = self.client.post("/sign-up/", NEW)
        self.assertEqual(page.status_code, 429)
        self.assertTrue(0 < int(page["Retry-After"]) <= 61)
        self.assertContains(page, "Too many attempts", status_code=429)
        self.assertFalse(User.objects.exists())


class LogInPageTests(AccountPageCase):
    def setUp(self) -> None:
        super().setUp()
        make_user("ann")

    def log_in(self, query: str = "", **changes: str) -> HttpResponse:
        return self.client.post(f"/log-in/{query}", {"username": "ann", "password": PASSWORD, **changes})

    def test_it_opens_a_session_and_closes_it(self) -> None:
        self.assertRedirects(self.log_in(), "/")
        self.assert_logged_in("ann")
        self.assertEqual(self.client.get("/log-out/").status_code, 405)
        self.assertRedirects(self.client.post("/log-out/"), "/")
        self.assert_logged_in("")

    def test_it_does_not_say_whether_the_name_or_the_password_was_wrong(self) -> None:
        pages = [self.log_in(password="wrong"), self.log_in(username="nobody")]
        for page in pages:
            self.assertContains(page, "The user name or the password is wrong.", status_code=400)

    def test_it_leads_back_to_where_it_was_asked_for_but_never_elsewhere(self) -> None:
        targets = {"/api/docs/": "/api/docs/", "//evil.example/": "/", "https://evil.example/": "/", "": "/"}
        for wanted, target in targets.items():
            self.client.logout()
            self.assertRedirects(self.log_in(f"?next={wanted}"), target, fetch_redirect_response=False)

    def test_it_slows_guessing_down_together_with_rest(self) -> None:
        with rates(log_in="2/min"):
            self.client.post("/api/auth/token/", {"username": "ann", "password": "wrong"})
            self.log_in(password="wrong")
            self.assertEqual(self.log_in().status_code, 429)

    def test_it_needs_the_forms_token(self) -> None:
        client = Client(enforce_csrf_checks=True)
        self.assertEqual(client.post("/log-in/", {"username": "ann", "password": PASSWORD}).status_code, 403)
        client.get("/log-in/")
        token = client.cookies["csrftoken"].value
        form = {"username": "ann", "password": PASSWORD, "csrfmiddlewaretoken": token}
        self.assertEqual(client.post("/log-in/", form).status_code, 302)

    def test_it_sends_who_is_logged_in_on(self) -> None:
        self.log_in()
        for path in ("/log-in/", "/sign-up/"):
            self.assertRedirects(self.client.get(path), "/")

    def test_its_pages_are_not_kept_and_load_nothing_from_elsewhere(self) -> None:
        for path in ("/log-in/", "/sign-up/"):
            page = self.client.get(path)
            self.assertIn("no-store", page["Cache-Control"])
            self.assertIn("default-src 'none'", page["Content-Security-Policy"])
