"""What users see of their own over REST: cash, shares, fills."""

from datetime import timedelta

from trade.models import Trade
from trade.tests.api_base import MarketApiTestCase
from trade.tests.factories import HoldingFactory, StockFactory
from users.inputs import json_time


class Portfolio(MarketApiTestCase):
    def test_it_shows_cash_and_shares_and_what_is_held(self) -> None:
        HoldingFactory(user=self.bob, stock=StockFactory(stock_id="BETA", name="Beta"), quantity=7)
        self.placed(self.bob, "buy", 10, 5)
        self.placed(self.bob, "sell", 30, 50)
        self.assertEqual(
            self.get(self.bob, f"users/{self.bob.pk}/").json(),
            {
                "id": self.bob.pk,
                "username": "bob",
                "email": "bob@example.com",
                "balance": 1000.0,
                "reserved": 50.0,
                "available": 950.0,
                "unsettled": 0.0,
                "stocks": [
                    {
                        "stock_id": "ACME",
                        "name": "Acme",
                        "total_count": 100,
                        "reserved_count": 30,
                        "unsettled_count": 0,
                        "average_cost": 0.0,
                    },
                    {
                        "stock_id": "BETA",
                        "name": "Beta",
                        "total_count": 7,
                        "reserved_count": 0,
                        "unsettled_count": 0,
                        "average_cost": 0.0,
                    },
                ],
                "recent_transactions": [],
            },
        )

    def test_it_shows_the_newest_five_fills_of_both_sides(self) -> None:
        for quantity in range(1, 6):
            self.placed(self.bob, "sell", quantity, 10)
            self.placed(self.ann, "buy", quantity, 10)
        self.placed(self.bob, "buy", 6, 9.5)
        self.placed(self.ann, "sell", 6, 9)
        recent = self.get(self.ann, "users/me/").json()["recent_transactions"]
        self.assertEqual(
            [(fill["type"], fill["total_count"]) for fill in recent],
            [("Sell", 6), ("Buy", 5), ("Buy", 4), ("Buy", 3), ("Buy", 2)],
        )
        newest = Trade.objects.first()
        assert newest is not None
        self.assertEqual(
            recent[0],
            {
                "stock": "ACME",
                "type": "Sell",
                "stock_price": 9.5,
                "total_price": 57.0,
                "total_count": 6,
                "timestamp": json_time(newest.executed_at),
            },
        )

    def test_it_is_for_the_user_and_staff(self) -> None:
        for path in (f"users/{self.bob.pk}/", f"users/{self.bob.pk}/transactions/"):
            self.assert_refused(self.get(self.ann, path), 404, "not_found")
            self.assert_refused(self.get(None, path), 401, "not_authenticated")
            self.assertEqual(self.get(self.clara, path).status_code, 200)
        for user_id in (987654, 2**63, 0):
            self.assert_refused(self.get(self.clara, f"users/{user_id}/"), 404, "not_found")

    def test_it_takes_the_same_queries_however_much_there_is(self) -> None:
        for count in (1, 10):
            for _ in range(count):
                stock = StockFactory()
                HoldingFactory(user=self.ann, stock=stock)
                self.placed(self.bob, "sell", 1, 10)
                self.placed(self.ann, "buy", 1, 10)
            self.get(self.ann, "users/me/")
            with self.subTest(count=count), self.assertNumQueries(3):
                self.get(self.ann, "users/me/")


class Transactions(MarketApiTestCase):
    def test_it_lists_fills_newest_first_in_pages(self) -> None:
        for quantity in (1, 2, 3):
            self.placed(self.bob, "sell", quantity, 10)
            bought = self.placed(self.ann, "buy", quantity, 10)
        page = self.get(self.ann, "users/me/transactions/", page_size=2).json()
        self.assertEqual((page["count"], page["previous"]), (3, None))
        self.assertEqual([fill["total_count"] for fill in page["results"]], [3, 2])
        newest = Trade.objects.first()
        assert newest is not None
        self.assertEqual(
            page["results"][0],
            {
                "trade_id": newest.trade_id,
                "order_id": bought["order_id"],
                "stock": "ACME",
                "type": "Buy",
                "stock_price": 10.0,
                "total_price": 30.0,
                "total_count": 3,
                "timestamp": json_time(newest.executed_at),
            },
        )
        rest = self.client_of(self.ann).get(page["next"]).json()
        self.assertEqual([fill["total_count"] for fill in rest["results"]], [1])
        self.assertIsNone(rest["next"])
        path = "users/me/transactions/"
        self.assert_refused(self.get(self.ann, path, page=3, page_size=2), 404, "not_found")

    def test_it_filters(self) -> None:
        self.placed(self.bob, "sell", 1, 10)
        self.placed(self.ann, "buy", 1, 10)
        at = Trade.objects.get().executed_at
        second = timedelta(seconds=1)
        for query, count in [
            ({}, 1),
            ({"stock_id": "ACME"}, 1),
            ({"stock_id": "NONE"}, 0),
            ({"from_date": json_time(at), "to_date": json_time(at)}, 1),
            ({"from_date": json_time(at + second)}, 0),
            ({"to_date": json_time(at - second)}, 0),
            ({"from_date": at.strftime("%Y-%m-%d %H:%M:%S")}, 1),
        ]:
            with self.subTest(query):
                page = self.get(self.ann, "users/me/transactions/", **query).json()
                self.assertEqual((page["count"], len(page["results"])), (count, count))
        for query, attr in [({"from_date": "x"}, "from_date"), ({"stock_id": "\x00"}, "stock_id")]:
            response = self.get(self.ann, "users/me/transactions/", **query)
            self.assertEqual((response.status_code, response.json()["errors"][0]["attr"]), (400, attr))

    def test_it_agrees_with_the_ledger(self) -> None:
        self.tick("10", 7)
        self.placed(self.ann, "buy", 9, 10)
        self.placed(self.bob, "sell", 2, 9)
        fills = self.get(self.ann, "users/me/transactions/").json()["results"]
        entries = self.get(self.ann, "users/me/ledger/").json()["results"]
        paid = [-entry["amount"] for entry in entries if entry["kind"] == "trade"]
        self.assertEqual([fill["total_price"] for fill in fills], paid)
        self.assertEqual(entries[0]["balance"], self.get(self.ann, "users/me/").json()["balance"])

    def test_it_takes_the_same_queries_however_much_there_is(self) -> None:
        self.tick("10", 1000)
        for count in (1, 20):
            for _ in range(count):
                self.placed(self.ann, "buy", 1)
            self.get(self.ann, "users/me/transactions/")
            # The user, the count, the page.
            with self.subTest(count=count), self.assertNumQueries(3):
                self.get(self.ann, "users/me/transactions/")


class Leaving(MarketApiTestCase):
    def test_it_cancels_the_orders_of_who_leaves(self) -> None:
        self.placed(self.ann, "buy", 10, 10)
        self.assertEqual(self.delete(self.ann, "users/me/").status_code, 204)
        self.assertEqual(self.cash(self.ann), (10_000, 0))
        self.assertEqual(self.get(self.ann, "orders/").status_code, 401)
