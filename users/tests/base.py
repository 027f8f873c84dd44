"""What tests of users start from: people with cash, and clients that speak for them."""

from datetime import UTC, datetime
from decimal import Decimal
from typing import Any

from django.core.cache import cache
from django.test import TestCase
from rest_framework.response import Response
from rest_framework.test import APIClient

from users.models import CashAccount, LedgerEntry, User
from users.services import deposit, issue_token
from users.token_cache import token_cache

NOON = datetime(2024, 5, 6, 12, 0, tzinfo=UTC)
PASSWORD = "correct horse 9"


def make_user(name: str, cash: str | int = 0, **fields: Any) -> User:
    """A user with `cash` and the password `PASSWORD`."""
    user = User(username=name, email=f"{name}@bourse.example", **fields)
    user.set_password(PASSWORD)
    user.save()
    if cash:
        deposit(user_id=user.pk, amount=Decimal(cash), now=NOON)
    return user


def client_of(user: User | None) -> APIClient:
    """A client with a token of that user; of nobody without one."""
    client = APIClient()
    if user is not None:
        token, _ = issue_token(user=user, now=NOON)
        client.credentials(HTTP_AUTHORIZATION=f"Token {token}")
    return client


def forget_everything() -> None:
    """What processes keep between requests: counts of throttles, and checked tokens."""
    cache.clear()
    token_cache.clear()


class ApiTestCase(TestCase):
    """Ann and Bob trade, Clara is staff."""

    def setUp(self) -> None:
        forget_everything()
        self.ann = make_user("ann", 100)
        self.bob = make_user("bob", 100)
        self.clara = make_user("clara", is_staff=True)

    def post_raw(self, user: User | None, path: str, body: str | bytes, **headers: Any) -> Response:
        return client_of(user).post(path, body, content_type="application/json", **headers)

    def assert_refused(self, response: Response, status: int, code: str, attr: str | None = None) -> None:
        """The answer has the one shape of errors, with this code first."""
        self.assertEqual(response.status_code, status, response.content)
        body = response.json()
        self.assertEqual(set(body), {"type", "errors"})
        self.assertIn(body["type"], {"validation_error", "client_error", "server_error"})
        for error in body["errors"]:
            self.assertEqual(set(error), {"code", "detail", "attr"})
        self.assertEqual((body["errors"][0]["code"], body["errors"][0]["attr"]), (code, attr))

    def assert_books(self, user: User, balance: str | int, entries: int) -> None:
        """The account and its ledger say this, and agree."""
        booked = [entry.amount for entry in LedgerEntry.objects.filter(account_id=user.pk)]
        self.assertEqual(CashAccount.objects.get(user=user).balance, Decimal(balance))
        self.assertEqual((sum(booked), len(booked)), (Decimal(balance), entries))
