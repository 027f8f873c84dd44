"""Whatever comes in: a refusal with a stable code, never a defect, and the books as they were."""

import json
from typing import Any

from trade.tests.api_base import MarketApiTestCase, books

NOT_A_NUMBER = [
    True,
    False,
    None,
    [],
    {},
    "",
    " 5",
    "5 ",
    "1_000",
    "abc",
    "\uff15",
    "0x10",
    "+5",
    "5,0",
    "--5",
]
NOT_FINITE = ["NaN", "nan", "Infinity", "-Infinity", "inf"]
OUT_OF_RANGE = [0, -1, "-0", "0.0", "-0.5", 10**30, "1" * 60, "1e309", "1e-309", "1e999999999", "9" * 500]

LIMIT = {"stock_id": "ACME", "side": "buy", "type": "limit", "quantity": 10, "price": 10}
BOUNDED = {"stock_id": "ACME", "total": 10, "lower_bound": 10, "upper_bound": 20}


class BadInput(MarketApiTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.tick("10", 0)
        self.before = books()

    def tearDown(self) -> None:
        self.assertEqual(books(), self.before)
        super().tearDown()

    def assert_named(self, path: str, body: dict[str, Any], field: str) -> None:
        with self.subTest(path=path, field=field, value=body[field]):
            response = self.post(self.bob, path, body)
            self.assertEqual(response.status_code, 400, response.content)
            self.assertEqual(response.json()["type"], "validation_error")
            self.assertEqual({error["attr"] for error in response.json()["errors"]}, {field})

    def test_it_refuses_numbers_that_are_none(self) -> None:
        for value in [*NOT_A_NUMBER, *NOT_FINITE, *OUT_OF_RANGE]:
            for field in ("quantity", "price"):
                self.assert_named("orders/", {**LIMIT, field: value}, field)
            for field in ("total", "lower_bound", "upper_bound"):
                for call in ("buy", "sell"):
                    self.assert_named(f"users/me/{call}/", {**BOUNDED, field: value}, field)

    def test_it_refuses_parts_of_shares_and_of_units(self) -> None:
        for value in (1.5, "1.5", 10.0, "1e1", "10.0"):
            self.assert_named("orders/", {**LIMIT, "quantity": value}, "quantity")
            self.assert_named("users/me/sell/", {**BOUNDED, "total": value}, "total")
        for value in (1.00001, "1.00001", "0.00001", "10.0000000000000000000000001"):
            self.assert_named("orders/", {**LIMIT, "price": value}, "price")
            self.assert_named("users/me/buy/", {**BOUNDED, "upper_bound": value}, "upper_bound")

    def test_it_says_what_is_wrong_with_a_number(self) -> None:
        for field, value, code in [
            ("price", "NaN", "not_finite"),
            ("price", True, "not_a_number"),
            ("price", 0, "not_positive"),
            ("price", 1_000_000.01, "too_large"),
            ("price", "1e309", "too_large"),
            ("price", 1.00001, "too_many_decimals"),
            ("price", 10.005, "price_off_increment"),
            ("quantity", -3, "not_positive"),
            ("quantity", 10**9, "too_large"),
            ("quantity", 1.5, "not_a_whole_number"),
        ]:
            with self.subTest(field=field, value=value):
                self.assert_refused(self.post(self.bob, "orders/", {**LIMIT, field: value}), 400, code, field)

    def test_it_refuses_bad_names(self) -> None:
        for value in [True, None, [], {}, "", "a b", "../etc", "A" * 65, "<b>", "ACME\n", "é"]:
            self.assert_named("orders/", {**LIMIT, "stock_id": value}, "stock_id")
            self.assert_named("users/me/buy/", {**BOUNDED, "stock_id": value}, "stock_id")
        for value in [True, [], {}, "", "x" * 49]:
            self.assert_named("orders/", {**LIMIT, "client_order_id": value}, "client_order_id")

    def test_it_names_every_missing_and_unknown_field(self) -> None:
        response = self.post(self.bob, "orders/", {})
        self.assertEqual(
            {(error["code"], error["attr"]) for error in response.json()["errors"]},
            {("required", field) for field in ("stock_id", "side", "type", "quantity")},
        )
        for field in ("user_id", "status", "reserved", "lower_bound", "hidden_quantity", "__proto__"):
            response = self.post(self.bob, "orders/", {**LIMIT, field: 1})
            self.assert_refused(response, 400, "unknown_field", field)

    def test_it_refuses_a_body_that_is_no_object(self) -> None:
        for body in ([], [LIMIT], "text", 5, None, True):
            for path in ("orders/", "users/me/buy/"):
                with self.subTest(path=path, body=body):
                    response = self.client_of(self.bob).post(
                        f"/api/{path}", json.dumps(body), content_type="application/json"
                    )
                    self.assertEqual(response.status_code, 400, response.content)

    def test_it_refuses_what_is_not_json(self) -> None:
        whole = json.dumps(LIMIT)
        for body in [
            b"",
            b"{",
            b"\xff\xfe",
            b"\x00",
            whole[:-1].encode(),
            whole.replace("10", "NaN").encode(),
            whole.replace("10", "Infinity").encode(),
            whole.replace("10", "1" * 5000).encode(),
            whole.replace('"ACME"', '"\\u0000"').encode(),
            whole.replace('"ACME"', '"\\ud800"').encode(),
            (whole[:-1] + ', "price": 11}').encode(),
            b"[" * 5000,
            b'{"stock_id":' * 5000,
        ]:
            with self.subTest(body=body[:40]):
                response = self.client_of(self.bob).post(
                    "/api/orders/", body, content_type="application/json"
                )
                self.assertEqual(response.status_code, 400, response.content)
                self.assertEqual(response["Content-Type"], "application/json")

    def test_it_refuses_other_kinds_of_body(self) -> None:
        for content_type in ("text/plain", "application/xml", "application/octet-stream"):
            response = self.client_of(self.bob).post(
                "/api/orders/", json.dumps(LIMIT), content_type=content_type
            )
            self.assert_refused(response, 415, "unsupported_media_type")

    def test_it_refuses_a_body_beyond_all_measure(self) -> None:
        response = self.client_of(self.bob).post(
            "/api/orders/", b'{"stock_id": "' + b"A" * 3_000_000 + b'"}', content_type="application/json"
        )
        self.assert_refused(response, 413, "request_too_large")

    def test_it_refuses_other_methods(self) -> None:
        for method, path in [
            ("put", "orders/"),
            ("patch", "orders/"),
            ("get", "users/me/buy/"),
            ("delete", "users/me/sell/"),
            ("post", "trades/"),
            ("delete", "trades/1/"),
            ("post", "orderbook/"),
            ("put", "stocks/ACME/"),
            ("post", "users/me/transactions/"),
        ]:
            with self.subTest(method=method, path=path):
                response = getattr(self.client_of(self.clara), method)(f"/api/{path}", {}, format="json")
                self.assert_refused(response, 405, "method_not_allowed")
