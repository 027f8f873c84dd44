"""GET /api/orders/<order_id>/why/ over REST."""

from trade.models import Order
from trade.tests.api_base import ORDER_FIELDS, MarketApiTestCase


class WhyTests(MarketApiTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.bounded(self.ann, "buy", 100, 10, 20)
        self.order_id = Order.objects.get().pk
        self.path = f"orders/{self.order_id}/why/"

    def test_it_explains_an_order(self) -> None:
        self.tick("20", 50)
        self.tick("21", 5)
        response = self.get(self.ann, self.path)
        self.assertEqual(response.status_code, 200, response.content)
        body = response.json()
        self.assertEqual(set(body), {"order", "summary", "facts", "more", "next_since_sequence"})
        self.assertEqual(set(body["order"]), ORDER_FIELDS)
        self.assertEqual((body["more"], body["next_since_sequence"]), (False, None))
        self.assertEqual(
            [fact["kind"] for fact in body["facts"]], ["reserved", "entered", "tick", "trade", "tick"]
        )
        filled, trade, outside = body["facts"][2:]
        self.assertEqual((filled["verdict"], filled["quantity"], filled["price"]), ("filled", 50, 20.0))
        self.assertEqual(filled["trade_id"], trade["trade_id"])
        self.assertEqual((trade["role"], trade["source"], trade["left"]), ("maker", "feed", 50))
        self.assertEqual(outside["verdict"], "price_too_high")
        self.assertEqual(body["facts"][0]["reserved"], 2000.0)

    def test_it_goes_on_from_a_sequence(self) -> None:
        self.tick("20", 50)
        first = self.get(self.ann, self.path, limit=2).json()
        self.assertTrue(first["more"])
        rest = self.get(self.ann, self.path, since_sequence=first["next_since_sequence"]).json()
        self.assertEqual([fact["kind"] for fact in rest["facts"]], ["tick", "trade"])
        self.assertFalse(rest["more"])

    def test_it_keeps_orders_private(self) -> None:
        self.assert_refused(self.get(self.bob, self.path), 404, "not_found")
        self.assert_refused(self.get(None, self.path), 401, "not_authenticated")
        self.assertEqual(self.get(self.clara, self.path).status_code, 200)

    def test_it_names_no_other_user(self) -> None:
        self.order(self.bob, "sell", 5, "20")
        mine = self.placed(self.ann, "buy", 5, "20")
        answer = self.get(self.ann, f"orders/{mine['order_id']}/why/").json()
        self.assertIn("trade", [fact["kind"] for fact in answer["facts"]])
        self.assertNotIn("bob", str(answer))
        self.assertFalse(any("user_id" in fact for fact in answer["facts"]))

    def test_it_refuses_bad_queries(self) -> None:
        self.assert_refused(self.get(self.ann, self.path, limit=501), 400, "too_large", "limit")
        self.assert_refused(self.get(self.ann, self.path, limit=0), 400, "not_positive", "limit")
        self.assert_refused(
            self.get(self.ann, self.path, since_sequence="x"), 400, "not_a_whole_number", "since_sequence"
        )
        self.assert_refused(self.get(self.ann, self.path, page=2), 400, "unknown_field", "page")

    def test_it_answers_with_and_without_a_slash(self) -> None:
        self.assertEqual(self.get(self.ann, self.path.rstrip("/")).status_code, 200)
