"""Buying from and selling to the feed over REST, and what its users see of it."""

from trade.models import Order
from trade.tests.api_base import ORDER_FIELDS, MarketApiTestCase, books
from trade.tests.factories import StockFactory


class WorkedExample(MarketApiTestCase):
    """A buy of 100 up to 20: a tick of 50 at 20 fills half of it, a later one the rest."""

    def test_it_fills_tick_by_tick(self) -> None:
        response = self.bounded(self.ann, "buy", 100, 10, 20)
        self.assertEqual(response.status_code, 200)
        self.assertEqual(response.json()["message"], "your order is being placed")
        order = response.json()["order"]
        self.assertEqual(set(order), ORDER_FIELDS)
        self.assertEqual((order["type"], order["status"], order["reserved"]), ("bounded", "ACTIVE", 2000.0))
        self.assertEqual((order["price"], order["lower_bound"], order["upper_bound"]), (None, 10.0, 20.0))
        self.assert_page(reserved=2000.0, balance=10_000.0, shares=0)

        self.tick("20", 50)
        half = self.look_at(order)
        self.assertEqual((half["status"], half["traded_quantity"]), ("PARTIALLY_FILLED", 50))
        self.assertEqual((half["remaining_quantity"], half["reserved"]), (50, 1000.0))
        self.assert_page(reserved=1000.0, balance=9_000.0, shares=50)
        self.assert_bought((50, 20.0))

        self.tick("21", 500)
        self.assertEqual(self.look_at(order), half)

        self.tick("19", 500)
        whole = self.look_at(order)
        self.assertEqual((whole["status"], whole["is_active"]), ("FILLED", False))
        self.assertEqual((whole["average_traded_price"], whole["reserved"]), (19.5, 0.0))
        self.assert_page(reserved=0.0, balance=8_050.0, shares=100)
        self.assert_bought((50, 19.0), (50, 20.0))

    def look_at(self, order):
        return self.get(self.ann, f"orders/{order['order_id']}/").json()

    def assert_page(self, *, reserved: float, balance: float, shares: int) -> None:
        page = self.get(self.ann, f"users/{self.ann.pk}/").json()
        cash = (page["balance"], page["reserved"], page["available"])
        self.assertEqual(cash, (balance, reserved, balance - reserved))
        held = [(stock["stock_id"], stock["total_count"]) for stock in page["stocks"]]
        self.assertEqual(held, [("ACME", shares)] if shares else [])
        for stock in page["stocks"]:
            self.assertEqual((stock["name"], stock["reserved_count"]), ("Acme", 0))
            self.assertEqual(stock["average_cost"], (10_000.0 - balance) / shares)
        glance = self.get(self.ann, "users/me/balance/").json()
        self.assertEqual(
            glance,
            {
                "user_id": self.ann.pk,
                "balance": balance,
                "reserved": reserved,
                "available": balance - reserved,
                "unsettled": 0.0,
                "holdings": {"ACME": shares} if shares else {},
                "unsettled_holdings": {},
            },
        )

    def assert_bought(self, *fills: tuple[int, float]) -> None:
        recent = self.get(self.ann, "users/me/").json()["recent_transactions"]
        self.assertTrue(all(fill.pop("timestamp").endswith("Z") for fill in recent))
        self.assertEqual(
            recent,
            [
                {
                    "stock": "ACME",
                    "type": "Buy",
                    "stock_price": price,
                    "total_price": price * count,
                    "total_count": count,
                }
                for count, price in fills
            ],
        )


class Placing(MarketApiTestCase):
    def test_it_sells_within_its_bounds(self) -> None:
        order = self.bounded(self.bob, "sell", 40, 10, 20).json()["order"]
        self.assertEqual((order["side"], order["reserved"]), ("sell", 40))
        self.tick("21", 500)
        self.tick("9.99", 500)
        self.assertEqual(self.shares(self.bob), (100, 40))
        self.tick("10", 500)
        self.assertEqual((self.cash(self.bob), self.shares(self.bob)), ((1_400, 0), (60, 0)))

    def test_it_takes_me_and_the_users_own_id(self) -> None:
        body = {"stock_id": "ACME", "total": 1, "lower_bound": 1, "upper_bound": 2}
        for user_id in ("me", self.ann.pk, f"0{self.ann.pk}"):
            response = self.post(self.ann, f"users/{user_id}/buy/", body)
            self.assertEqual((response.status_code, response.json()["order"]["user_id"]), (200, self.ann.pk))

    def test_it_is_for_the_user_and_staff(self) -> None:
        body = {"stock_id": "ACME", "total": 1, "lower_bound": 1, "upper_bound": 2}
        before = books()
        for call in ("buy", "sell"):
            path = f"users/{self.bob.pk}/{call}/"
            self.assert_refused(self.post(self.ann, path, body), 404, "not_found")
            self.assert_refused(self.post(None, path, body), 401, "not_authenticated")
            self.assert_refused(self.post(self.clara, f"users/987654/{call}/", body), 404, "not_found")
            self.assert_refused(self.post(self.clara, f"users/{2**63}/{call}/", body), 404, "not_found")
        self.assertEqual(books(), before)
        response = self.post(self.clara, f"users/{self.bob.pk}/sell/", body)
        self.assertEqual(response.json()["order"]["user_id"], self.bob.pk)

    def test_it_returns_the_same_order_for_the_same_request(self) -> None:
        first = self.bounded(self.ann, "buy", 1, 1, 2, client_order_id="x").json()
        self.assertEqual(self.bounded(self.ann, "buy", 1, 1, 2, client_order_id="x").json(), first)
        self.assertEqual(self.cash(self.ann), (10_000, 2))

    def test_it_is_not_shown_in_the_book(self) -> None:
        self.bounded(self.ann, "buy", 1, 1, 2)
        self.bounded(self.bob, "sell", 1, 1, 2)
        book = self.get(self.ann, "orderbook/").json()
        self.assertEqual((book["bids"], book["asks"]), ([], []))

    def test_it_is_cancelled_like_any_order(self) -> None:
        order = self.bounded(self.ann, "buy", 10, 1, 2).json()["order"]
        self.assertEqual(self.delete(self.ann, f"orders/{order['order_id']}/").json()["reserved"], 0.0)
        self.assertEqual(self.cash(self.ann), (10_000, 0))


class Refusing(MarketApiTestCase):
    def test_it_refuses_by_the_rules_of_the_market(self) -> None:
        StockFactory(stock_id="LOTS", lot_size=10)
        StockFactory(stock_id="HALTED")
        self.engine.halt("HALTED")
        before = books()
        for response, status, code, attr in [
            (self.bounded(self.ann, "buy", 501, 10, 20), 400, "insufficient_funds", None),
            (self.bounded(self.ann, "sell", 1, 10, 20), 400, "insufficient_shares", None),
            (self.bounded(self.bob, "sell", 101, 10, 20), 400, "insufficient_shares", None),
            (self.bounded(self.ann, "buy", 1, 20.01, 20), 400, "bounds_crossed", "lower_bound"),
            (self.bounded(self.ann, "buy", 1, 10.001, 20), 400, "price_off_increment", "lower_bound"),
            (self.bounded(self.ann, "buy", 1, 10, 20.001), 400, "price_off_increment", "upper_bound"),
            (self.bounded(self.ann, "buy", 5, 1, 2, stock_id="LOTS"), 400, "quantity_off_lot", "total"),
            (self.bounded(self.ann, "buy", 1, 1, 2, stock_id="NONE"), 404, "unknown_stock", "stock_id"),
            (self.bounded(self.ann, "buy", 1, 1, 2, stock_id="HALTED"), 400, "market_halted", "stock_id"),
            (self.bounded(self.ann, "buy", 10**8, 1, 10**6), 400, "order_too_large", "total"),
        ]:
            with self.subTest(code=code, attr=attr):
                self.assert_refused(response, status, code, attr)
        self.assertEqual(books(), before)

    def test_it_takes_its_own_fields_and_no_others(self) -> None:
        body = {"stock_id": "ACME", "total": 1, "lower_bound": 1, "upper_bound": 2}
        for field in body:
            without = {name: value for name, value in body.items() if name != field}
            for call in ("buy", "sell"):
                response = self.post(self.bob, f"users/me/{call}/", without)
                self.assert_refused(response, 400, "required", field)
        for field in ("price", "user_id", "status", "side"):
            response = self.post(self.bob, "users/me/buy/", {**body, field: 1})
            self.assert_refused(response, 400, "unknown_field", field)
        self.assertFalse(Order.objects.exists())
