"""Order types, changes, batches, baskets and dry runs over REST, and each refusal's code."""

from datetime import timedelta
from typing import Any

from django.utils import timezone
from rest_framework.response import Response

from stocks.models import Stock
from trade.models import Order
from trade.tests.api_base import MarketApiTestCase, books
from users.inputs import json_time
from users.models import User


class TypesTestCase(MarketApiTestCase):
    def change(self, user: User, order: dict[str, Any], **body: Any) -> Response:
        return self.client_of(user).patch(f"/api/orders/{order['order_id']}/", body, format="json")

    def leg(self, side: str, quantity: int, price: Any, **words: Any) -> dict[str, Any]:
        return {
            "stock_id": "ACME",
            "side": side,
            "type": "limit",
            "quantity": quantity,
            "price": price,
            **words,
        }


class Placing(TypesTestCase):
    def test_it_takes_every_type(self) -> None:
        self.tick("10", 0)
        until = timezone.now() + timedelta(hours=1)
        for words in (
            {"type": "stop", "stop_price": 11},
            {"type": "stop_limit", "stop_price": 11, "price": 11.5},
            {"type": "limit", "price": 9, "display_quantity": 2, "post_only": True},
            {"type": "limit", "price": 9, "time_in_force": "gtd", "expires_at": json_time(until)},
            {"type": "limit", "price": 9, "self_trade_prevention": "decrement"},
        ):
            with self.subTest(words=words):
                order = self.post(
                    self.ann, "orders/", {"stock_id": "ACME", "side": "buy", "quantity": 5, **words}
                )
                self.assertEqual((order.status_code, order.json()["status"]), (201, "ACTIVE"), order.json())
                self.assertEqual({name: order.json()[name] for name in words}, words)
        self.assertEqual(self.client_of(self.ann).delete("/api/orders/").json(), {"cancelled": 5})
        self.assertEqual(self.cash(self.ann)[1], 0)

    def test_it_refuses_each_broken_rule_by_its_own_code(self) -> None:
        self.tick("10", 0)
        Stock.objects.update(
            lot_size=5,
            min_quantity=10,
            max_quantity=100,
            min_notional=80,
            max_notional=600,
            price_collar_bps=1000,
        )
        before = books()
        for code, attr, words in (
            ("quantity_off_lot", "quantity", {"quantity": 12}),
            ("quantity_out_of_range", "quantity", {"quantity": 5}),
            ("quantity_out_of_range", "quantity", {"quantity": 105}),
            ("notional_out_of_range", "quantity", {"quantity": 65}),
            ("price_outside_collar", "price", {"price": 11.01}),
            ("price_off_increment", "price", {"price": 9.999}),
            ("invalid", "expires_at", {"time_in_force": "gtd"}),
            ("invalid", "stop_price", {"stop_price": 11}),
            ("invalid", "post_only", {"post_only": True, "time_in_force": "ioc"}),
            ("invalid", "display_quantity", {"display_quantity": 10}),
            ("invalid", "post_only", {"post_only": "yes"}),
            ("invalid_choice", "self_trade_prevention", {"self_trade_prevention": "none"}),
            ("invalid_choice", "type", {"type": "bounded"}),
        ):
            with self.subTest(code=code, words=words):
                body = {**self.leg("buy", 10, 10), **words}
                self.assert_refused(self.post(self.ann, "orders/", body), 400, code, attr)
        self.assertEqual(books(), before)


class Changing(TypesTestCase):
    def test_it_changes_price_and_quantity(self) -> None:
        order = self.placed(self.ann, "buy", 10, 10)
        changed = self.change(self.ann, order, price=9.5, quantity=20).json()
        self.assertEqual((changed["price"], changed["quantity"], changed["reserved"]), (9.5, 20, 190.0))
        put = self.client_of(self.ann).put(f"/api/orders/{order['order_id']}", {"quantity": "5"})
        self.assertEqual((put.status_code, put.json()["remaining_quantity"]), (200, 5))
        self.assertEqual(self.get(self.ann, f"orders/{order['order_id']}/").json(), put.json())

    def test_it_refuses_without_a_change(self) -> None:
        order = self.placed(self.ann, "buy", 10, 10, post_only=True)
        self.placed(self.bob, "sell", 4, 10)
        self.placed(self.bob, "sell", 4, 11)
        before = books()
        for status, code, attr, body in (
            (409, "quantity_below_traded", "quantity", {"quantity": 3}),
            (400, "insufficient_funds", None, {"price": 5_000}),
            (400, "post_only_would_trade", "price", {"price": 11}),
            (400, "price_off_increment", "price", {"price": 10.001}),
            (400, "unknown_field", "side", {"side": "sell"}),
            (400, "required", "non_field_errors", {}),
        ):
            with self.subTest(code=code):
                self.assert_refused(self.change(self.ann, order, **body), status, code, attr)
        self.assert_refused(self.change(self.bob, order, quantity=20), 404, "not_found")
        self.assertEqual(books(), before)
        self.delete(self.ann, f"orders/{order['order_id']}/")
        self.assert_refused(self.change(self.ann, order, quantity=20), 409, "order_not_open")

    def test_it_refuses_while_the_stock_is_halted(self) -> None:
        order = self.placed(self.ann, "buy", 10, 10)
        self.engine.halt("ACME")
        self.assert_refused(self.change(self.ann, order, quantity=5), 400, "market_halted", "stock_id")


class Batches(TypesTestCase):
    def test_it_places_each_on_its_own(self) -> None:
        body = [self.leg("buy", 5, 10), self.leg("buy", 5, -1), {"side": 7}, self.leg("sell", 5, 10), "x"]
        results = self.post(self.ann, "orders/batch/", body).json()
        self.assertEqual([result["status"] for result in results], [201, 400, 400, 400, 400])
        self.assertEqual(results[0]["order"]["status"], "ACTIVE")
        self.assertEqual(
            (results[1]["errors"][0]["attr"], results[3]["errors"][0]["code"]),
            ("price", "insufficient_shares"),
        )
        self.assertEqual(Order.objects.count(), 1)

    def test_it_takes_five_hundred_and_no_more(self) -> None:
        results = self.post(self.ann, "orders/batch/", [self.leg("buy", 1, 1)] * 500).json()
        self.assertEqual({result["status"] for result in results}, {201})
        for body in ([self.leg("buy", 1, 1)] * 501, [], {}, None):
            self.assertEqual(self.post(self.ann, "orders/batch/", body).status_code, 400)
        self.assertEqual(Order.objects.count(), 500)


class Baskets(TypesTestCase):
    def setUp(self) -> None:
        super().setUp()
        Stock.objects.create(stock_id="BEAN", name="Bean")

    def test_it_places_all(self) -> None:
        response = self.post(
            self.ann, "orders/basket/", [self.leg("buy", 5, 10), self.leg("buy", 5, 10, stock_id="BEAN")]
        )
        self.assertEqual((response.status_code, len(response.json()["orders"])), (201, 2))
        self.assertEqual(self.cash(self.ann)[1], 100)

    def test_it_places_none_and_names_the_leg(self) -> None:
        good = self.leg("buy", 5, 10)
        before = books()
        for code, attr, leg in (
            ("insufficient_funds", "1", self.leg("buy", 10_000, 10, stock_id="BEAN")),
            ("insufficient_shares", "1", self.leg("sell", 5, 10)),
            ("price_off_increment", "1.price", self.leg("buy", 5, 10.001)),
            ("required", "1.price", self.leg("buy", 5, None)),
            ("unknown_stock", "1.stock_id", self.leg("buy", 5, 10, stock_id="NONE")),
        ):
            with self.subTest(code=code):
                self.assert_refused(self.post(self.ann, "orders/basket/", [good, leg]), 400, code, attr)
        self.assert_refused(self.post(self.ann, "orders/basket/", [good] * 51), 400, "invalid")
        self.assertEqual(books(), before)


class DryRuns(TypesTestCase):
    def test_it_says_what_would_happen_and_changes_nothing(self) -> None:
        before = books()
        fine = self.post(self.ann, "orders/?dry_run=true", self.leg("buy", 10, 10)).json()
        self.assertEqual(fine, {"accepted": True, "reserved": 100.0, "limit_price": 10.0, "errors": []})
        broken = self.post(self.ann, "orders/?dry_run=true", self.leg("sell", 10, 10)).json()
        self.assertEqual((broken["accepted"], broken["errors"][0]["code"]), (False, "insufficient_shares"))
        self.assertEqual(books(), before)
        self.assertEqual(
            self.post(self.ann, "orders/?dry_run=perhaps", self.leg("buy", 1, 1)).status_code, 400
        )
        self.assertEqual(self.post(self.ann, "orders/?dryrun=true", self.leg("buy", 1, 1)).status_code, 400)
        self.assertEqual(self.post(self.ann, "orders/?dry_run=false", self.leg("buy", 1, 1)).status_code, 201)
