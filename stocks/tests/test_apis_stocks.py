from datetime import timedelta
from decimal import Decimal
from typing import Any

from stocks.models import Holding, ShareGrant, Stock
from stocks.tests.base import feed, make_stock
from users.fields import MAX_MONEY
from users.tests.base import NOON, ApiTestCase, client_of
from users.tests.test_inputs import BAD_AMOUNTS, BAD_QUANTITIES

FIELDS = {
    *("stock_id", "name", "price", "availability", "highest_price", "lowest_price", "average_price"),
    *(
        "status",
        "price_increment",
        "lot_size",
        "min_quantity",
        "max_quantity",
        "min_notional",
        "max_notional",
    ),
    *("price_collar_bps", "maker_fee_bps", "taker_fee_bps"),
}
HOUR = timedelta(hours=1)


class StockListTests(ApiTestCase):
    def test_stocks_come_by_id_with_all_their_fields(self) -> None:
        make_stock("BETA")
        make_stock("ACME")
        feed("ACME", [(100_000, 50, NOON), (200_000, 70, NOON + HOUR), (150_001, 30, NOON + 2 * HOUR)])
        body = client_of(None).get("/api/stocks/").json()
        self.assertEqual((body["count"], [set(stock) for stock in body["results"]]), (2, [FIELDS] * 2))
        acme, beta = body["results"]
        self.assertEqual(
            acme,
            {
                "stock_id": "ACME",
                "name": "Acme",
                "price": 15.0001,
                "availability": 30,
                "highest_price": 20.0,
                "lowest_price": 10.0,
                "average_price": 15.0,
                "status": "open",
                "price_increment": 0.01,
                "lot_size": 1,
                "min_quantity": None,
                "max_quantity": None,
                "min_notional": None,
                "max_notional": None,
                "price_collar_bps": None,
                "maker_fee_bps": 0,
                "taker_fee_bps": 0,
            },
        )
        self.assertEqual(
            [
                beta[name]
                for name in ("price", "availability", "highest_price", "lowest_price", "average_price")
            ],
            [None] * 5,
        )

    def test_it_takes_the_same_queries_for_many(self) -> None:
        for number in range(30):
            make_stock(f"S{number:02}")
            if number in (0, 29):
                with self.subTest(stocks=number + 1), self.assertNumQueries(2):
                    client_of(None).get("/api/stocks/")


class StockTests(ApiTestCase):
    def setUp(self) -> None:
        super().setUp()
        make_stock("ACME")

    def look(self, query: str = "") -> dict[str, Any]:
        response = client_of(None).get(f"/api/stocks/ACME/{query}")
        self.assertEqual(response.status_code, 200)
        body: dict[str, Any] = response.json()
        return body

    def test_it_shows_the_five_newest_ticks(self) -> None:
        feed("ACME", [(10_000 * number, number, NOON + number * HOUR) for number in range(1, 8)])
        recent = self.look()["recent_data"]
        self.assertEqual([tick["availability"] for tick in recent], [7, 6, 5, 4, 3])
        self.assertEqual(recent[0], {"price": 7.0, "availability": 7, "timestamp": "2024-05-06T19:00:00Z"})

    def test_a_range_is_inclusive_and_all_figures_are_its_own(self) -> None:
        feed("ACME", [(10_000 * number, number, NOON + number * HOUR) for number in range(1, 8)])
        body = self.look("?from_date=2024-05-06T14:00:00Z&to_date=2024-05-06 16:00:00")
        figures = [body[f"{name}_price"] for name in ("highest", "lowest", "average")]
        self.assertEqual(figures, [4.0, 2.0, 3.0])
        self.assertEqual((body["price"], body["availability"], len(body["recent_data"])), (4.0, 4, 3))
        self.assertEqual(self.look("?to_date=2024-05-06")["price"], 7.0)
        self.assertEqual(self.look("?from_date=2024-05-06T21:00:00%2B02:00")["lowest_price"], 7.0)

    def test_an_empty_range_is_all_null(self) -> None:
        feed("ACME", [(10_000, 1, NOON)])
        body = self.look("?from_date=2025-01-01")
        names = ("price", "availability", "highest_price", "lowest_price", "average_price")
        self.assertEqual([body[name] for name in names], [None] * 5)
        self.assertEqual(body["recent_data"], [])

    def test_bad_ranges_are_refused(self) -> None:
        client = client_of(None)
        for path in ("/api/stocks/ACME/", "/api/stocks/ACME/ticks/"):
            for query, code, attr in [
                ("from_date=x", "not_a_date", "from_date"),
                ("to_date=2024-13-01", "not_a_date", "to_date"),
                ("from_date=%00", "not_a_date", "from_date"),
                ("from_date=2024-05-07&to_date=2024-05-06", "range_reversed", "from_date"),
            ]:
                with self.subTest(path=path, query=query):
                    self.assert_refused(client.get(f"{path}?{query}"), 400, code, attr)
            for query in (
                "from_date=0001-01-01",
                "to_date=9999-12-31",
                "from_date=9999-12-31T23:59:59.999999Z",
            ):
                with self.subTest(path=path, query=query):
                    self.assertEqual(client.get(f"{path}?{query}").status_code, 200)

    def test_an_unknown_stock_is_404(self) -> None:
        for path in ("/api/stocks/NO/", "/api/stocks/NO/ticks/", "/api/stocks/acme/"):
            with self.subTest(path):
                self.assert_refused(client_of(None).get(path), 404, "unknown_stock", "stock_id")


class TickTests(ApiTestCase):
    def test_it_hands_out_every_tick_by_cursor(self) -> None:
        make_stock("ACME")
        make_stock("OTHER")
        feed("ACME", [(10_000 + number, number, NOON + (number % 10) * HOUR) for number in range(120)])
        feed("OTHER", [(1, 1, NOON)])
        client, url, seen = client_of(None), "/api/stocks/ACME/ticks/?page_size=50", []
        while url:
            with self.assertNumQueries(2):
                body = client.get(url).json()
            seen += body["results"]
            url = body["next"]
        self.assertEqual({tick["sequence"] for tick in seen}, set(range(1, 121)))
        self.assertEqual(len(seen), 120)
        moments = [tick["timestamp"] for tick in seen]
        self.assertEqual(moments, sorted(moments, reverse=True))
        self.assertEqual(set(seen[0]), {"sequence", "price", "availability", "timestamp", "is_late"})

    def test_a_range_holds_across_pages(self) -> None:
        make_stock("ACME")
        feed("ACME", [(10_000, number, NOON + number * HOUR) for number in range(10)])
        url = "/api/stocks/ACME/ticks/?page_size=2&to_date=2024-05-06T16:00:00Z"
        body = client_of(None).get(url).json()
        self.assertEqual([tick["availability"] for tick in body["results"]], [4, 3])
        body = client_of(None).get(body["next"]).json()
        self.assertEqual([tick["availability"] for tick in body["results"]], [2, 1])
        body = client_of(None).get(body["previous"]).json()
        self.assertEqual([tick["availability"] for tick in body["results"]], [4, 3])

    def test_a_bad_cursor_is_refused(self) -> None:
        make_stock("ACME")
        for cursor in ("x", "%00", "bzE", "A" * 500):
            response = client_of(None).get(f"/api/stocks/ACME/ticks/?cursor={cursor}")
            self.assert_refused(response, 400, "invalid_cursor", "cursor")


class StaffTests(ApiTestCase):
    def test_staff_list_stocks(self) -> None:
        client = client_of(self.clara)
        body = {"stock_id": "ACME", "name": "Acme", "price_increment": 0.05, "lot_size": 10}
        response = client.post("/api/stocks/", body)
        self.assertEqual(response.status_code, 201)
        self.assertEqual({name: response.json()[name] for name in body}, body)
        self.assertEqual(client.post("/api/stocks/", {"name": "Acme"}).json()["stock_id"], "ACME-2")
        self.assert_refused(client.post("/api/stocks/", body), 409, "stock_exists", "stock_id")

    def test_staff_change_stocks(self) -> None:
        make_stock("ACME")
        client = client_of(self.clara)
        response = client.patch(
            "/api/stocks/ACME/", {"name": "New", "price_increment": "0.5", "lot_size": "100"}
        )
        changed = [response.json()[name] for name in ("name", "price_increment", "lot_size")]
        self.assertEqual((response.status_code, changed), (200, ["New", 0.5, 100]))
        self.assert_refused(
            client.patch("/api/stocks/NO/", {"name": "New"}), 404, "unknown_stock", "stock_id"
        )

    def test_bad_input_is_refused_and_changes_nothing(self) -> None:
        make_stock("ACME")
        before = Stock.objects.values().get()
        cases: list[tuple[str, str, str | None]]
        cases = [(f'{{"lot_size": {text}}}', code, "lot_size") for text, code in BAD_QUANTITIES]
        cases += [
            (f'{{"price_increment": {text}}}', code, "price_increment")
            for text, code in BAD_AMOUNTS
            if not text.startswith("9999")
        ]
        cases += [
            ('{"name": ""}', "blank", "name"),
            ('{"name": null}', "null", "name"),
            ('{"name": true}', "invalid", "name"),
            (f'{{"name": "{"x" * 101}"}}', "max_length", "name"),
            ('{"price": 5}', "unknown_field", "price"),
            ('{"sequence": 5}', "unknown_field", "sequence"),
            ("{", "parse_error", None),
        ]
        for body, code, attr in cases:
            with self.subTest(body[:60]):
                client = client_of(self.clara)
                response = client.patch("/api/stocks/ACME/", body, content_type="application/json")
                self.assert_refused(response, 400, code, attr)
        self.assertEqual(Stock.objects.values().get(), before)

    def test_ids_have_a_form(self) -> None:
        for stock_id in ("", "A B", "../x", "<b>", ".A", "A" * 65, "\u00c4", "A\n", "A/B", "\uff21"):
            with self.subTest(stock_id[:10]):
                response = client_of(self.clara).post("/api/stocks/", {"stock_id": stock_id, "name": "X"})
                self.assertEqual(
                    (response.status_code, response.json()["errors"][0]["attr"]), (400, "stock_id")
                )
        self.assertFalse(Stock.objects.exists())


class RulesTests(ApiTestCase):
    RULES = {
        "min_quantity": 10,
        "max_quantity": 100,
        "min_notional": 0.5,
        "max_notional": float(MAX_MONEY),
        "price_collar_bps": 500,
        "maker_fee_bps": 5,
        "taker_fee_bps": 1_000,
    }

    def change(self, body: dict[str, Any]) -> Any:
        return client_of(self.clara).patch("/api/stocks/ACME/", body, format="json")

    def test_staff_list_a_stock_with_its_rules(self) -> None:
        body = {"stock_id": "ACME", "name": "Acme", **self.RULES}
        answer = client_of(self.clara).post("/api/stocks/", body, format="json")
        self.assertEqual(answer.status_code, 201, answer.json())
        (shown,) = client_of(None).get("/api/stocks/").json()["results"]
        for name, value in self.RULES.items():
            self.assertEqual((answer.json()[name], shown[name]), (value, value), name)

    def test_a_rule_is_changed_alone_and_null_takes_it_away(self) -> None:
        make_stock("ACME", **{**self.RULES, "min_notional": Decimal("0.5"), "max_notional": MAX_MONEY})
        shown = self.change({"min_quantity": None, "taker_fee_bps": 0}).json()
        self.assertEqual(
            {name: shown[name] for name in self.RULES},
            {**self.RULES, "min_quantity": None, "taker_fee_bps": 0},
        )
        bounds = [name for name in self.RULES if not name.endswith("fee_bps")]
        shown = self.change(dict.fromkeys(bounds)).json()
        self.assertEqual([shown[name] for name in bounds], [None] * len(bounds))

    def test_an_empty_form_field_takes_a_rule_away(self) -> None:
        make_stock("ACME", **{**self.RULES, "min_notional": Decimal("0.5"), "max_notional": MAX_MONEY})
        answer = client_of(self.clara).patch(
            "/api/stocks/ACME/", "max_notional=", content_type="application/x-www-form-urlencoded"
        )
        self.assertEqual((answer.status_code, answer.json()["max_notional"]), (200, None))

    def test_bounds_may_not_cross_what_is_there(self) -> None:
        make_stock("ACME", min_quantity=10, max_notional=1_000)
        before = Stock.objects.values().get()
        for body, attr in [
            ({"max_quantity": 9}, "min_quantity"),
            ({"min_quantity": 20, "max_quantity": 19}, "min_quantity"),
            ({"min_notional": 1000.01}, "min_notional"),
        ]:
            with self.subTest(body=body):
                self.assert_refused(self.change(body), 400, "bounds_crossed", attr)
        listing = {"name": "Beta", "min_quantity": 2, "max_quantity": 1}
        answer = client_of(self.clara).post("/api/stocks/", listing, format="json")
        self.assert_refused(answer, 400, "bounds_crossed", "min_quantity")
        self.assertEqual(Stock.objects.values().get(), before)
        self.assertEqual(self.change({"min_quantity": 7, "max_quantity": 7}).status_code, 200)

    def test_bad_rules_are_refused_and_change_nothing(self) -> None:
        make_stock("ACME")
        before = Stock.objects.values().get()
        wholes = [(text, code) for text, code in BAD_QUANTITIES if text != "null"]
        cases = [(name, *case) for name in ("min_quantity", "max_quantity") for case in wholes]
        cases += [("price_collar_bps", *case) for case in [*wholes, ("90001", "too_large")]]
        fees = [case for case in BAD_QUANTITIES if case[0] != "0"] + [
            ("1001", "too_large"),
            ("-1", "not_positive"),
        ]
        cases += [(name, *case) for name in ("maker_fee_bps", "taker_fee_bps") for case in fees]
        amounts = [case for case in BAD_AMOUNTS if case[0] != "null"]
        cases += [(name, *case) for name in ("min_notional", "max_notional") for case in amounts]
        client = client_of(self.clara)
        for name, text, code in cases:
            with self.subTest(name=name, text=text[:60]):
                body = f'{{"{name}": {text}}}'
                answer = client.patch("/api/stocks/ACME/", body, content_type="application/json")
                self.assert_refused(answer, 400, code, name)
        self.assertEqual(Stock.objects.values().get(), before)

    def test_others_may_not(self) -> None:
        make_stock("ACME")
        answer = client_of(self.ann).patch("/api/stocks/ACME/", {"taker_fee_bps": 0}, format="json")
        self.assertEqual(answer.status_code, 403)


class SharesTests(ApiTestCase):
    def setUp(self) -> None:
        super().setUp()
        make_stock("ACME")
        self.path = f"/api/users/{self.ann.pk}/shares/"

    def test_staff_grant_and_take_back(self) -> None:
        client = client_of(self.clara)
        for quantity, total in [(100, 100), (-40, 60), ("5", 65)]:
            response = client.post(self.path, {"stock_id": "ACME", "quantity": quantity})
            self.assertEqual(
                response.json(),
                {
                    "stock_id": "ACME",
                    "name": "Acme",
                    "total_count": total,
                    "reserved_count": 0,
                    "unsettled_count": 0,
                    "average_cost": 0.0,
                },
            )
        self.assertEqual([grant.granted_by for grant in ShareGrant.objects.all()], [self.clara] * 3)

    def test_more_than_is_free_cannot_be_taken(self) -> None:
        response = client_of(self.clara).post(self.path, {"stock_id": "ACME", "quantity": -1})
        self.assert_refused(response, 400, "insufficient_shares", "quantity")

    def test_bad_input_is_refused_and_changes_nothing(self) -> None:
        cases = [
            (f'{{"stock_id": "ACME", "quantity": {text}}}', code, "quantity")
            for text, code in BAD_QUANTITIES
            if code != "not_positive"
        ]
        cases += [
            ('{"stock_id": "ACME", "quantity": 0}', "zero", "quantity"),
            ('{"stock_id": "ACME", "quantity": -1000000000000}', "too_small", "quantity"),
            ('{"quantity": 5}', "required", "stock_id"),
            ('{"stock_id": "ACME", "quantity": 5, "cost": 1}', "unknown_field", "cost"),
            ('{"stock_id": "A B", "quantity": 5}', "invalid", "stock_id"),
            ('{"stock_id": null, "quantity": 5}', "null", "stock_id"),
        ]
        for body, code, attr in cases:
            with self.subTest(body[:60]):
                self.assert_refused(self.post_raw(self.clara, self.path, body), 400, code, attr)
        self.assertFalse(Holding.objects.exists())

    def test_unknown_users_and_stocks_are_404(self) -> None:
        client = client_of(self.clara)
        response = client.post(self.path, {"stock_id": "NO", "quantity": 5})
        self.assert_refused(response, 404, "unknown_stock", "stock_id")
        response = client.post("/api/users/999999/shares/", {"stock_id": "ACME", "quantity": 5})
        self.assert_refused(response, 404, "not_found")

    def test_balance_shows_cash_and_shares(self) -> None:
        make_stock("BETA")
        client = client_of(self.clara)
        for stock_id, quantity in [("BETA", 7), ("ACME", 5)]:
            client.post(self.path, {"stock_id": stock_id, "quantity": quantity})
        client.post(self.path, {"stock_id": "BETA", "quantity": -7})
        client = client_of(self.ann)
        with self.assertNumQueries(3):
            body = client.get("/api/users/me/balance/").json()
        self.assertEqual(
            body,
            {
                "user_id": self.ann.pk,
                "balance": 100.0,
                "reserved": 0.0,
                "available": 100.0,
                "unsettled": 0.0,
                "holdings": {"ACME": 5},
                "unsettled_holdings": {},
            },
        )
