"""Orders over REST: placing, the rules that refuse, looking, cancelling."""

from datetime import timedelta
from unittest import mock
from uuid import UUID, uuid4

from django.utils import timezone

from stocks.models import Stock
from trade.models import Order
from trade.services.refusals import EngineBusy
from trade.tests.api_base import ORDER_FIELDS, MarketApiTestCase, books
from trade.tests.factories import StockFactory
from users.inputs import json_time


class Placing(MarketApiTestCase):
    def test_it_answers_with_every_field_of_a_resting_order(self) -> None:
        order = self.placed(self.ann, "buy", 10, 12.5, client_order_id="first")
        self.assertEqual(set(order), ORDER_FIELDS)
        stored = Order.objects.get()
        self.assertEqual(
            order,
            {
                "order_id": str(stored.order_id),
                "client_order_id": "first",
                "user_id": self.ann.pk,
                "stock_id": "ACME",
                "side": "buy",
                "type": "limit",
                "time_in_force": "gtc",
                "quantity": 10,
                "price": 12.5,
                "lower_bound": None,
                "upper_bound": None,
                "stop_price": None,
                "display_quantity": None,
                "post_only": False,
                "self_trade_prevention": "expire_taker",
                "expires_at": None,
                "remaining_quantity": 10,
                "traded_quantity": 0,
                "average_traded_price": None,
                "reserved": 125.0,
                "status": "ACTIVE",
                "reason": "",
                "is_active": True,
                "sequence": 1,
                "created_at": json_time(stored.created_at),
                "updated_at": json_time(stored.updated_at),
            },
        )
        self.assertRegex(order["created_at"], r"^\d{4}-\d\d-\d\dT[0-9:.]+Z$")

    def test_it_answers_after_the_match(self) -> None:
        self.placed(self.bob, "sell", 6, 12)
        self.placed(self.bob, "sell", 6, 12.25)
        order = self.placed(self.ann, "buy", 10, 12.5)
        self.assertEqual((order["status"], order["is_active"]), ("FILLED", False))
        self.assertEqual((order["traded_quantity"], order["remaining_quantity"]), (10, 0))
        self.assertEqual((order["average_traded_price"], order["reserved"]), (12.1, 0.0))
        self.assertEqual(self.cash(self.ann), (10_000 - 121, 0))

    def test_it_rounds_the_average_price_to_four_places(self) -> None:
        self.placed(self.bob, "sell", 1, 10)
        self.placed(self.bob, "sell", 2, 10.01)
        order = self.placed(self.ann, "buy", 3, 11)
        self.assertEqual(order["average_traded_price"], 10.0067)

    def test_it_reserves_shares_for_a_sell(self) -> None:
        order = self.placed(self.bob, "sell", 30, 50)
        self.assertEqual(order["reserved"], 30)
        self.assertEqual(self.shares(self.bob), (100, 30))

    def test_it_trades_a_market_order_and_ends_the_rest(self) -> None:
        self.tick("12", 0)
        self.placed(self.bob, "sell", 6, 12)
        order = self.placed(self.ann, "buy", 10)
        self.assertEqual((order["type"], order["price"]), ("market", None))
        self.assertEqual((order["status"], order["reason"]), ("CANCELLED", "no_liquidity"))
        self.assertEqual((order["traded_quantity"], order["remaining_quantity"]), (6, 0))
        self.assertEqual(self.cash(self.ann), (10_000 - 72, 0))

    def test_it_obeys_time_in_force(self) -> None:
        self.placed(self.bob, "sell", 6, 12)
        killed = self.placed(self.ann, "buy", 10, 12, time_in_force="fok")
        self.assertEqual(
            (killed["status"], killed["reason"], killed["traded_quantity"]), ("CANCELLED", "fok", 0)
        )
        part = self.placed(self.ann, "buy", 10, 12, time_in_force="ioc")
        self.assertEqual((part["status"], part["reason"], part["traded_quantity"]), ("CANCELLED", "ioc", 6))
        day = self.placed(self.ann, "buy", 10, 12, time_in_force="day")
        self.assertEqual((day["status"], day["time_in_force"]), ("ACTIVE", "day"))

    def test_it_takes_text_numbers_and_forms(self) -> None:
        order = self.placed(self.ann, "buy", "10", "12.50")
        self.assertEqual((order["quantity"], order["price"]), (10, 12.5))
        body = {"stock_id": "ACME", "side": "buy", "type": "limit", "quantity": "3", "price": "1.5"}
        response = self.client_of(self.ann).post("/api/orders/", body, format="multipart")
        self.assertEqual((response.status_code, response.json()["quantity"]), (201, 3))

    def test_it_takes_the_path_without_its_slash(self) -> None:
        body = {"stock_id": "ACME", "side": "buy", "type": "limit", "quantity": 1, "price": 1}
        self.assertEqual(self.post(self.ann, "orders", body).status_code, 201)

    def test_it_takes_a_null_where_nothing_is_given(self) -> None:
        self.tick("12", 5)
        body = {"stock_id": "ACME", "side": "buy", "type": "market", "quantity": 1, "price": None}
        response = self.post(self.ann, "orders/", {**body, "client_order_id": None})
        self.assertEqual((response.status_code, response.json()["status"]), (201, "FILLED"))

    def test_it_shows_the_largest_amounts_exactly(self) -> None:
        Stock.objects.update(price_increment="0.0001")
        order = self.placed(self.bob, "sell", 1, "999999.9999")
        self.assertEqual(order["price"], 999999.9999)
        self.assertIn(b"999999.9999", self.get(self.bob, f"orders/{order['order_id']}/").content)


class Repeating(MarketApiTestCase):
    def test_it_returns_the_same_order_for_the_same_request(self) -> None:
        first = self.placed(self.ann, "buy", 5, 10, client_order_id="x" * 48)
        again = self.order(self.ann, "buy", 5, "10.00", client_order_id="x" * 48)
        self.assertEqual((again.status_code, again.json()), (200, first))
        self.assertEqual(self.cash(self.ann), (10_000, 50))

    def test_it_returns_what_has_become_of_it(self) -> None:
        self.placed(self.ann, "buy", 5, 10, client_order_id="x")
        self.placed(self.bob, "sell", 5, 10)
        again = self.order(self.ann, "buy", 5, 10, client_order_id="x")
        self.assertEqual((again.status_code, again.json()["status"]), (200, "FILLED"))
        self.assertEqual(Order.objects.count(), 2)

    def test_it_refuses_another_request_under_the_same_id(self) -> None:
        self.placed(self.ann, "buy", 5, 10, client_order_id="x")
        before = books()
        for other in [
            self.order(self.ann, "buy", 6, 10, client_order_id="x"),
            self.order(self.ann, "buy", 5, 11, client_order_id="x"),
            self.order(self.ann, "buy", 5, 10, client_order_id="x", time_in_force="day"),
            self.bounded(self.ann, "buy", 5, 10, 10, client_order_id="x"),
        ]:
            self.assert_refused(other, 409, "duplicate_client_order_id", "client_order_id")
        self.assertEqual(books(), before)

    def test_it_keeps_users_apart(self) -> None:
        first = self.placed(self.ann, "buy", 5, 10, client_order_id="x")
        second = self.placed(self.bob, "buy", 5, 10, client_order_id="x")
        self.assertNotEqual(first["order_id"], second["order_id"])

    def test_it_frees_the_id_of_a_refused_order(self) -> None:
        self.assert_refused(
            self.order(self.ann, "buy", 10_000, 10, client_order_id="x"), 400, "insufficient_funds"
        )
        self.placed(self.ann, "buy", 5, 10, client_order_id="x")


class Refusing(MarketApiTestCase):
    def test_it_refuses_by_the_rules_of_the_market(self) -> None:
        StockFactory(stock_id="LOTS", lot_size=10)
        StockFactory(stock_id="HALTED")
        self.engine.halt("HALTED")
        before = books()
        for response, status, code, attr in [
            (self.order(self.ann, "buy", 1001, 10), 400, "insufficient_funds", None),
            (self.order(self.bob, "sell", 101, 10), 400, "insufficient_shares", None),
            (self.order(self.ann, "sell", 1, 10), 400, "insufficient_shares", None),
            (self.order(self.ann, "buy", 1, 10.001), 400, "price_off_increment", "price"),
            (self.order(self.ann, "buy", 15, 10, stock_id="LOTS"), 400, "quantity_off_lot", "quantity"),
            (self.order(self.ann, "buy", 1, 10, stock_id="NONE"), 404, "unknown_stock", "stock_id"),
            (self.order(self.ann, "buy", 1, 10, stock_id="HALTED"), 400, "market_halted", "stock_id"),
            (self.order(self.ann, "buy", 10**8, 10**6), 400, "order_too_large", "quantity"),
            (self.order(self.ann, "buy", 1), 400, "no_reference_price", "type"),
        ]:
            with self.subTest(code):
                self.assert_refused(response, status, code, attr)
        self.assertEqual(books(), before)

    def test_it_counts_what_open_orders_hold(self) -> None:
        self.placed(self.ann, "buy", 600, 10)
        self.assert_refused(self.order(self.ann, "buy", 600, 10), 400, "insufficient_funds")
        self.placed(self.bob, "sell", 60, 10.5)
        self.assert_refused(self.order(self.bob, "sell", 60, 10.5), 400, "insufficient_shares")

    def test_it_refuses_fields_that_do_not_go_together(self) -> None:
        self.tick("10", 5)
        before = books()
        self.assert_refused(self.order(self.ann, "buy", 1, type="limit"), 400, "required", "price")
        self.assert_refused(
            self.order(self.ann, "buy", 1, 10, type="market"), 400, "price_not_taken", "price"
        )
        self.assert_refused(self.order(self.ann, "buy", 1, 10, type="bounded"), 400, "invalid_choice", "type")
        self.assertEqual(books(), before)

    def test_it_takes_words_in_lower_case_only(self) -> None:
        for field in ("side", "type", "time_in_force"):
            body = {"stock_id": "ACME", "side": "buy", "type": "limit", "quantity": 1, "price": 1}
            for word in ("BUY", "Limit", "GTC", "", "all", 1, True, None, [], {}, ["buy"]):
                with self.subTest(field=field, word=word):
                    response = self.post(self.ann, "orders/", {**body, field: word})
                    self.assertEqual(response.status_code, 400, response.content)
                    self.assertEqual(response.json()["errors"][0]["attr"], field)
        self.assertFalse(Order.objects.exists())

    def test_it_ends_a_taker_that_meets_its_own_users_order(self) -> None:
        self.placed(self.bob, "sell", 5, 10)
        order = self.placed(self.bob, "buy", 5, 10)
        self.assertEqual((order["status"], order["reason"]), ("CANCELLED", "self_trade"))

    def test_it_asks_for_a_token(self) -> None:
        for response in [
            self.post(None, "orders/", {}),
            self.get(None, "orders/"),
            self.get(None, f"orders/{uuid4()}/"),
            self.delete(None, "orders/"),
        ]:
            self.assert_refused(response, 401, "not_authenticated")
            self.assertEqual(response["WWW-Authenticate"], "Token")

    def test_it_says_when_to_try_again(self) -> None:
        with mock.patch("trade.engine.lanes.MAX_WAITING", 0):
            response = self.order(self.ann, "buy", 1, 1)
        self.assert_refused(response, 503, EngineBusy.code)
        self.assertIn("Retry-After", response)


class Looking(MarketApiTestCase):
    def test_it_shows_an_order_to_its_user_and_to_staff(self) -> None:
        order = self.placed(self.ann, "buy", 1, 1)
        path = f"orders/{order['order_id']}/"
        self.assertEqual(self.get(self.ann, path).json(), order)
        self.assertEqual(self.get(self.clara, path).json(), order)
        self.assert_refused(self.get(self.bob, path), 404, "not_found")

    def test_it_finds_no_order_that_is_not_there(self) -> None:
        for order_id in (uuid4(), "1", "not-a-uuid", "%00", "0" * 33, UUID(int=0)):
            with self.subTest(order_id=order_id):
                self.assert_refused(self.get(self.ann, f"orders/{order_id}/"), 404, "not_found")

    def test_it_lists_the_users_own_newest_first(self) -> None:
        orders = [self.placed(self.ann, "buy", 1, price) for price in (1, 2, 3)]
        self.placed(self.bob, "buy", 1, 1)
        page = self.get(self.ann, "orders/").json()
        self.assertEqual(page, {"count": 3, "next": None, "previous": None, "results": orders[::-1]})
        self.assertEqual(self.get(self.clara, "orders/").json()["count"], 0)

    def test_it_pages(self) -> None:
        for price in (1, 2, 3):
            self.placed(self.ann, "buy", 1, price)
        first = self.get(self.ann, "orders/", page_size=2).json()
        self.assertEqual([order["price"] for order in first["results"]], [3, 2])
        second = self.client_of(self.ann).get(first["next"]).json()
        self.assertEqual([order["price"] for order in second["results"]], [1])
        self.assertIsNone(second["next"])
        self.assert_refused(self.get(self.ann, "orders/", page=3, page_size=2), 404, "not_found")

    def test_it_filters(self) -> None:
        StockFactory(stock_id="OTHER")
        bid = self.placed(self.ann, "buy", 1, 9, client_order_id="mine")
        other = self.placed(self.ann, "buy", 1, 8, stock_id="OTHER")
        gone = self.placed(self.ann, "buy", 1, 7)
        self.delete(self.ann, f"orders/{gone['order_id']}/")
        tomorrow = json_time(timezone.now() + timedelta(days=1))
        for query, expected in [
            ({"stock_id": "OTHER"}, {other["order_id"]}),
            ({"stock_id": "NONE"}, set()),
            ({"side": "sell"}, set()),
            ({"side": "buy", "status": "CANCELLED"}, {gone["order_id"]}),
            ({"open": "true"}, {bid["order_id"], other["order_id"]}),
            ({"open": "false"}, {gone["order_id"]}),
            ({"client_order_id": "mine"}, {bid["order_id"]}),
            (
                {"user_id": self.ann.pk, "stock_id": ""},
                {bid["order_id"], other["order_id"], gone["order_id"]},
            ),
            ({"from_date": bid["created_at"], "to_date": bid["created_at"]}, {bid["order_id"]}),
            ({"from_date": tomorrow}, set()),
        ]:
            with self.subTest(query):
                results = self.get(self.ann, "orders/", **query).json()["results"]
                self.assertEqual({order["order_id"] for order in results}, expected)

    def test_it_lets_staff_look_at_anybodys(self) -> None:
        order = self.placed(self.ann, "buy", 1, 9)
        page = self.get(self.clara, "orders/", user_id=self.ann.pk).json()
        self.assertEqual(page["results"], [order])
        response = self.get(self.bob, "orders/", user_id=self.ann.pk)
        self.assert_refused(response, 403, "permission_denied")

    def test_it_names_the_filter_at_fault(self) -> None:
        for name, values in {
            "stock_id": ["A" * 65, "a b", "\x00"],
            "side": ["both", "BUY"],
            "status": ["active", "OPEN"],
            "open": ["maybe", "2"],
            "client_order_id": ["x" * 49, "\x00"],
            "user_id": ["0", "-1", "1.5", "me", str(2**63), "\uff11"],
            "from_date": ["yesterday", "2022-13-01", "1"],
            "to_date": ["2022-12-05T25:00", "0000-01-01"],
            "page": ["0", "-1", "x"],
            "page_size": ["0", "x"],
        }.items():
            for value in values:
                with self.subTest(name=name, value=value):
                    response = self.get(self.ann, "orders/", **{name: value})
                    self.assertEqual(response.status_code, 400, response.content)
                    self.assertEqual(response.json()["errors"][0]["attr"], name)
        self.assert_refused(
            self.get(self.ann, "orders/", from_date="2022-12-06", to_date="2022-12-05"),
            400,
            "range_reversed",
            "from_date",
        )

    def test_it_lists_with_two_queries_however_many_there_are(self) -> None:
        for count in (1, 20):
            for _ in range(count):
                self.placed(self.ann, "buy", 1, 9)
            self.get(self.ann, "orders/")
            with self.subTest(count=count), self.assertNumQueries(2):
                self.get(self.ann, "orders/")


class Cancelling(MarketApiTestCase):
    def test_it_frees_the_rest_of_the_reservation(self) -> None:
        order = self.placed(self.ann, "buy", 10, 10)
        self.placed(self.bob, "sell", 4, 10)
        response = self.delete(self.ann, f"orders/{order['order_id']}/")
        cancelled = response.json()
        self.assertEqual((response.status_code, cancelled["status"]), (200, "CANCELLED"))
        self.assertEqual((cancelled["traded_quantity"], cancelled["remaining_quantity"]), (4, 0))
        self.assertEqual((cancelled["reserved"], cancelled["is_active"]), (0.0, False))
        self.assertEqual(cancelled["reason"], "user")
        self.assertEqual(self.cash(self.ann), (9_960, 0))
        self.assertEqual(self.get(self.ann, f"orders/{order['order_id']}/").json(), cancelled)

    def test_it_refuses_a_finished_order(self) -> None:
        order = self.placed(self.ann, "buy", 4, 10)
        self.placed(self.bob, "sell", 4, 10)
        path = f"orders/{order['order_id']}/"
        self.assert_refused(self.delete(self.ann, path), 409, "order_not_open")
        other = self.placed(self.ann, "buy", 4, 10)
        self.delete(self.ann, f"orders/{other['order_id']}/")
        self.assert_refused(self.delete(self.ann, f"orders/{other['order_id']}/"), 409, "order_not_open")

    def test_it_is_for_the_user_and_staff(self) -> None:
        order = self.placed(self.ann, "buy", 4, 10)
        path = f"orders/{order['order_id']}/"
        self.assert_refused(self.delete(self.bob, path), 404, "not_found")
        self.assertEqual(self.cash(self.ann), (10_000, 40))
        self.assertEqual(self.delete(self.clara, path).json()["status"], "CANCELLED")
        self.assert_refused(self.delete(self.ann, f"orders/{uuid4()}/"), 404, "not_found")

    def test_it_works_while_the_stock_is_halted(self) -> None:
        order = self.placed(self.ann, "buy", 4, 10)
        self.engine.halt("ACME")
        self.assertEqual(self.delete(self.ann, f"orders/{order['order_id']}/").status_code, 200)

    def test_it_cancels_all_of_a_stock_or_side(self) -> None:
        StockFactory(stock_id="OTHER")
        self.placed(self.bob, "buy", 1, 5)
        self.placed(self.bob, "sell", 1, 50)
        self.placed(self.bob, "buy", 1, 5, stock_id="OTHER")
        self.bounded(self.bob, "sell", 1, 10, 20)
        self.placed(self.ann, "buy", 1, 5)
        self.assertEqual(self.delete(self.bob, "orders/?stock_id=ACME&side=buy").json(), {"cancelled": 1})
        self.assertEqual(self.delete(self.bob, "orders/", {"side": "sell"}).json(), {"cancelled": 2})
        self.assertEqual(self.delete(self.bob, "orders/").json(), {"cancelled": 1})
        self.assertEqual(self.delete(self.bob, "orders/").json(), {"cancelled": 0})
        self.assertEqual((self.cash(self.bob), self.shares(self.bob)), ((1_000, 0), (100, 0)))
        self.assertEqual(self.cash(self.ann), (10_000, 5))

    def test_it_cancels_nothing_when_a_filter_is_wrong(self) -> None:
        self.placed(self.ann, "buy", 1, 5)
        self.assert_refused(self.delete(self.ann, "orders/?side=BUY"), 400, "invalid_choice", "side")
        self.assert_refused(self.delete(self.ann, "orders/", {"sides": "buy"}), 400, "unknown_field", "sides")
        self.assert_refused(self.delete(self.ann, "orders/?sides=buy"), 400, "unknown_field", "sides")
        self.assertEqual(self.cash(self.ann), (10_000, 5))


class Cost(MarketApiTestCase):
    def test_it_asks_the_database_nothing_beside_the_engine(self) -> None:
        self.placed(self.ann, "buy", 1, 5)  # The token is known from here on.
        stored = Order.objects.latest("created_at")
        with mock.patch("trade.apis.entry.get_engine") as engine:
            engine.return_value.place_order.return_value = stored
            with self.assertNumQueries(0):
                self.order(self.ann, "buy", 1, 5)
