import os
import re
from typing import Any

from django.contrib.staticfiles import finders
from django.core.management import call_command
from django.test import SimpleTestCase, override_settings
from django.urls import URLPattern, resolve

from config.errors import UnknownPath
from config.urls import api
from stocks.models import Stock
from trade.engine import reset_engine
from users.routes import ID_PATTERNS, route
from users.tests.base import ApiTestCase, client_of

EXAMPLES = {
    "user_id": "7",
    "trade_id": "7",
    "stock_id": "ACME.B-2_x",
    "order_id": "0190f5a4-3b7c-7d30-9a51-1f2e3d4c5b6a",
}


def example_path(pattern: URLPattern) -> str:
    """A path that the pattern answers, without its trailing slash."""
    text = str(pattern.pattern).removeprefix("^").removesuffix(r"/?\Z")
    for name, regex in ID_PATTERNS.items():
        text = text.replace(f"(?P<{name}>{regex})", EXAMPLES[name])
    return f"/api/{text}"


class PathTests(SimpleTestCase):
    def test_every_path_leads_to_the_same_view_with_and_without_its_slash(self) -> None:
        paths = [example_path(pattern) for pattern in api if pattern.name]
        self.assertGreater(len(paths), 10)
        for path in [*paths, "/health", "/metrics"]:
            with self.subTest(path):
                bare, slashed = resolve(path), resolve(f"{path}/")
                self.assertIs(bare.func, slashed.func)
                self.assertEqual(bare.kwargs, slashed.kwargs)
                self.assertIsNot(getattr(bare.func, "cls", None), UnknownPath)

    def test_ids_that_cannot_be_are_unknown_paths(self) -> None:
        for path in (
            *(
                "users/x/ledger",
                "users/-1/ledger",
                "users/1e3/ledger",
                "users/\u0661/ledger",
                "users/1\n/ledger",
            ),
            *("stocks/.hidden/ticks", f"stocks/{'A' * 65}/ticks", "stocks/A B/ticks", "stocks/A/ticks/\n"),
            *("orders/1", "orders/0190f5a4", "trades/x"),
        ):
            with self.subTest(path):
                self.assertIs(resolve(f"/api/{path}").func.cls, UnknownPath)

    def test_ids_of_paths_are_named_in_the_pattern(self) -> None:
        match = route("users/<user_id>/ledger", UnknownPath, "x").resolve("users/me/ledger/")
        assert match is not None
        self.assertEqual(match.kwargs, {"user_id": "me"})


class SchemaTests(SimpleTestCase):
    def test_it_is_valid_without_a_warning(self) -> None:
        call_command("spectacular", validate=True, fail_on_warn=True, file=os.devnull)

    def test_it_and_its_page_are_public_and_need_no_other_host(self) -> None:
        client = self.client_class()
        self.assertEqual(client.get("/api/schema/").status_code, 200)
        page = client.get("/api/docs").content.decode()
        self.assertEqual(re.findall(r"""(?:src|href)=["'](?:https?:)?//[^"']*""", page), [])
        scripts = re.findall(r'src="/static/([^"]+)"', page)
        self.assertGreater(len(scripts), 1)
        for script in scripts:
            self.assertTrue(finders.find(script), script)


@override_settings(ENGINE_THREADS=0)
class PermissionTests(ApiTestCase):
    """Who may do what: nobody logged in, the owner, another user, staff."""

    MATRIX: list[tuple[str, str, Any, tuple[int, int, int, int]]] = [
        ("get", "/api/users/", None, (401, 200, 200, 200)),
        ("get", "/api/users/{ann}/", None, (401, 200, 404, 200)),
        ("patch", "/api/users/{ann}/", {"email": "a@bourse.example"}, (401, 200, 404, 200)),
        ("post", "/api/users/{ann}/deposit/", {"amount": 1}, (401, 200, 404, 200)),
        ("post", "/api/users/{ann}/withdraw/", {"amount": 1}, (401, 200, 404, 200)),
        ("get", "/api/users/{ann}/balance/", None, (401, 200, 404, 200)),
        ("get", "/api/users/{ann}/ledger/", None, (401, 200, 404, 200)),
        ("get", "/api/users/{ann}/transactions/", None, (401, 200, 404, 200)),
        ("post", "/api/users/{ann}/shares/", {"stock_id": "ACME", "quantity": 1}, (401, 403, 403, 200)),
        ("get", "/api/stocks/", None, (200, 200, 200, 200)),
        ("post", "/api/stocks/", {"name": "Beta"}, (401, 403, 403, 201)),
        ("get", "/api/stocks/ACME/", None, (200, 200, 200, 200)),
        ("patch", "/api/stocks/ACME/", {"name": "Acme"}, (401, 403, 403, 200)),
        ("get", "/api/stocks/ACME/ticks/", None, (200, 200, 200, 200)),
        ("get", "/api/orderbook/?stock_id=ACME", None, (200, 200, 200, 200)),
        ("get", "/api/trades/", None, (200, 200, 200, 200)),
        ("get", "/api/orders/", None, (401, 200, 200, 200)),
        ("get", "/api/orders/?user_id={ann}", None, (401, 200, 403, 200)),
        ("get", "/metrics", None, (401, 403, 403, 200)),
        ("get", "/health/", None, (200, 200, 200, 200)),
        ("post", "/api/auth/logout/", None, (401, 204, 204, 204)),
    ]

    def setUp(self) -> None:
        super().setUp()
        reset_engine()
        self.addCleanup(reset_engine)
        Stock.objects.create(stock_id="ACME", name="Acme")

    def test_everybody_may_do_what_is_theirs(self) -> None:
        for method, path, body, statuses in self.MATRIX:
            for user, status in zip((None, self.ann, self.bob, self.clara), statuses, strict=True):
                with self.subTest(f"{user} {method} {path}"):
                    url = path.format(ann=self.ann.pk)
                    response = getattr(client_of(user), method)(url, body)
                    self.assertEqual(response.status_code, status, response.content)

    def test_a_stranger_cannot_tell_whether_a_user_exists(self) -> None:
        client = client_of(self.bob)
        for path in ("", "balance/", "ledger/", "transactions/"):
            answers = [
                client.get(f"/api/users/{user_id}/{path}").content for user_id in (self.ann.pk, 999_999)
            ]
            self.assertEqual(answers[0], answers[1])

    def test_nobody_is_deactivated_by_others(self) -> None:
        for user, status in [(None, 401), (self.bob, 404), (self.clara, 204)]:
            with self.subTest(user):
                self.assertEqual(client_of(user).delete(f"/api/users/{self.ann.pk}/").status_code, status)
