"""Whatever is thrown at whatever path: an answer in the one shape, never a 500, and the books as they were."""

import json
from collections.abc import Iterator
from typing import Any
from urllib.parse import quote

from django.conf import settings
from django.test import override_settings
from rest_framework.response import Response
from rest_framework.test import APIClient

from config.tests.test_urls import example_path
from config.urls import api
from stocks.models import Holding, Stock
from trade.engine import reset_engine
from trade.models import Order
from users.models import CashAccount, User
from users.tests.base import PASSWORD, ApiTestCase, client_of

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
FILE = b'--x\r\nContent-Disposition: form-data; name="amount"; filename="f"\r\n\r\n5\r\n--x--'
BODIES = [
    *((JSON, body) for body in (b"", b"null", b"[]", b"[[]]", b"5", b'"text"', b"{}", b"{", b"\xff\x00")),
    (JSON, b"[" * 5000),
    (f"{JSON}; charset=bz2_codec", b"{}"),
    (f"{JSON}; charset=nonsense", b"{}"),
    (FORM, b"a=%00&b=%FF&amount=\xff"),
    (f"{FORM}; charset=nonsense", b"amount=5"),
    ("multipart/form-data; boundary=x", FILE),
    ("multipart/form-data", b"x"),
    ("text/html", b"<p>"),
    ("", b"x"),
]
BOUNDED = {"stock_id": "ACME", "total": 1, "lower_bound": 1, "upper_bound": 2}
# Bodies that are right but for one field at a time.
GOOD: dict[tuple[str, str], dict[str, Any]] = {
    ("post", "/api/users"): {"username": "dora", "password": PASSWORD, "email": "d@bourse.example"},
    ("patch", "/api/users/me"): {"email": "d@bourse.example", "password": PASSWORD},
    ("post", "/api/auth/token"): {"username": "ann", "password": PASSWORD},
    ("post", "/api/users/me/deposit"): {"amount": 1},
    ("post", "/api/users/me/withdraw"): {"amount": 1},
    ("post", "/api/users/me/shares"): {"stock_id": "ACME", "quantity": 1},
    ("post", "/api/users/me/buy"): BOUNDED,
    ("post", "/api/users/me/sell"): BOUNDED,
    ("post", "/api/stocks"): {"stock_id": "BETA", "name": "Beta", "price_increment": 1, "lot_size": 1},
    ("patch", "/api/stocks/ACME"): {"name": "Acme", "price_increment": 0.01, "lot_size": 1, "status": "open"},
    ("post", "/api/orders"): {
        "stock_id": "ACME",
        "side": "buy",
        "type": "limit",
        "quantity": 1,
        "price": 1,
        "time_in_force": "gtc",
        "client_order_id": "c",
    },
}
# Wrong for every number, choice and flag; some of it is text like any other.
BAD = [
    *(0, True, None, "", "x" * 5000, "NaN", "\uff11", "1_0", "\n", "<b>/", [], [[]], {}, {"a": {}}),
    *(10**30, -(10**30), 0.12345678, 1e300, "9" * 400, "\x00", "\ud800", "a\x00b", "\ufdfa" * 300),
]
TEXT_FIELDS = {"username", "password", "name", "stock_id", "client_order_id"}
QUERIES = (
    *("from_date", "to_date", "page", "page_size", "cursor", "stock_id", "side", "status", "open", "user_id"),
    *("since_sequence", "depth", "client_order_id", "format"),
)
TEXTS = ("", "-1", "x", "%00", "%FF", "9" * 30, "\uff11")
UNTHROTTLED = {
    **settings.REST_FRAMEWORK,
    "DEFAULT_THROTTLE_RATES": dict.fromkeys(settings.REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"]),
}


@override_settings(ENGINE_THREADS=0, REST_FRAMEWORK=UNTHROTTLED)
class Never500Tests(ApiTestCase):
    def setUp(self) -> None:
        super().setUp()
        reset_engine()
        self.addCleanup(reset_engine)
        Stock.objects.create(stock_id="ACME", name="Acme", last_price=10)
        Holding.objects.create(user=self.clara, stock_id="ACME", quantity=10)

    def staff(self) -> APIClient:
        """A client that may do everything, and shows a 500 as its users see it."""
        User.objects.update(is_active=True)
        client = client_of(self.clara)
        client.raise_request_exception = False
        return client

    def paths(self) -> Iterator[str]:
        for pattern in api:
            if getattr(pattern, "name", None) and pattern.name not in {"schema", "docs"}:
                yield example_path(pattern).replace("/7", "/me").replace("ACME.B-2_x", "ACME")

    def assert_answered(self, response: Response) -> None:
        self.assertLess(response.status_code, 500, response.content[:500])
        if response.status_code >= 400 and response.content:
            self.assertEqual(set(json.loads(response.content)), {"type", "errors"})

    def test_any_method_with_any_body(self) -> None:
        for path in self.paths():
            for method in ("GET", "HEAD", "OPTIONS", "TRACE", "DELETE", "POST", "PUT", "PATCH"):
                client = self.staff()
                for kind, body in BODIES if method.startswith("P") else BODIES[:1]:
                    with self.subTest(path=path, method=method, kind=kind, body=body[:30]):
                        self.assert_answered(client.generic(method, path, body, kind))
        self.assertFalse(CashAccount.objects.exclude(balance__in=[0, 100]).exists())

    def test_one_bad_value_among_good_ones(self) -> None:
        self.staff().post("/api/users/me/deposit/", {"amount": 1000})
        for (method, path), good in GOOD.items():
            client = self.staff()
            for field in good:
                for value in BAD:
                    with self.subTest(method=method, path=path, field=field, value=ascii(value)[:40]):
                        body = json.dumps({**good, field: value})
                        response = client.generic(method.upper(), path, body, JSON)
                        self.assert_answered(response)
                        if response.status_code < 300 and value is not None:
                            self.assertIn(field, TEXT_FIELDS)

    def test_any_text_in_any_query(self) -> None:
        client = self.staff()
        for path in self.paths():
            for name in QUERIES:
                for text in TEXTS:
                    with self.subTest(path=path, name=name, text=text[:20]):
                        self.assert_answered(client.get(f"{path}?{name}={quote(text, safe='%')}"))

    def test_good_bodies_are_good(self) -> None:
        """Else the tests above prove nothing."""
        client = self.staff()
        client.post("/api/users/me/deposit/", {"amount": 100})
        for (method, path), good in GOOD.items():
            with self.subTest(path):
                response = client.generic(method.upper(), path, json.dumps(good), JSON)
                self.assertLess(response.status_code, 300, response.content)
        self.assertEqual(Order.objects.count(), 3)
