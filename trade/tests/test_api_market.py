"""What everybody sees of the market over REST: trades, the book, a stock; and how staff halt it."""

from datetime import timedelta

from django.utils import timezone

from stocks.models import Stock
from trade.models import Trade
from trade.tests.api_base import MarketApiTestCase
from trade.tests.base import NOON
from trade.tests.factories import StockFactory
from users.inputs import json_time

TRADE_FIELDS = {
    *("trade_id", "stock_id", "sequence", "price", "quantity", "bid_order_id", "ask_order_id", "source"),
    *("execution_timestamp", "is_settled", "settlement_timestamp"),
}


class Trades(MarketApiTestCase):
    def test_it_shows_a_trade_of_the_book(self) -> None:
        sold = self.placed(self.bob, "sell", 4, 10)
        bought = self.placed(self.ann, "buy", 6, 10.5)
        (trade,) = self.get(self.ann, "trades/").json()["results"]
        stored = Trade.objects.get()
        at = json_time(stored.executed_at)
        self.assertEqual(
            trade,
            {
                "trade_id": stored.trade_id,
                "stock_id": "ACME",
                "sequence": 3,
                "price": 10.0,
                "quantity": 4,
                "bid_order_id": bought["order_id"],
                "ask_order_id": sold["order_id"],
                "source": "book",
                "execution_timestamp": at,
                "is_settled": True,
                "settlement_timestamp": at,
            },
        )
        self.assertEqual(self.get(self.bob, f"trades/{stored.trade_id}/").json(), trade)

    def test_it_leaves_out_the_outside_of_a_trade_with_the_feed(self) -> None:
        self.tick("10", 5)
        bought = self.placed(self.ann, "buy", 2)
        sold = self.placed(self.bob, "sell", 3)
        newest, oldest = self.get(self.ann, "trades/").json()["results"]
        self.assertEqual((oldest["bid_order_id"], oldest["ask_order_id"]), (bought["order_id"], None))
        self.assertEqual((newest["bid_order_id"], newest["ask_order_id"]), (None, sold["order_id"]))
        self.assertEqual((newest["source"], oldest["source"]), ("feed", "feed"))

    def test_it_never_says_whose_trades_they_were(self) -> None:
        self.placed(self.bob, "sell", 4, 10)
        self.placed(self.ann, "buy", 4, 10)
        for viewer in (self.ann, self.clara, None):
            for trade in self.get(viewer, "trades/").json()["results"]:
                self.assertEqual(set(trade), TRADE_FIELDS)

    def test_it_hands_out_what_was_missed_oldest_first(self) -> None:
        for quantity in (1, 2, 3):
            self.placed(self.bob, "sell", quantity, 10)
            self.placed(self.ann, "buy", quantity, 10)
        everything = self.get(self.ann, "trades/", stock_id="ACME", since_sequence=0).json()["results"]
        self.assertEqual([trade["quantity"] for trade in everything], [1, 2, 3])
        since = everything[0]["sequence"]
        missed = self.get(self.ann, "trades/", stock_id="ACME", since_sequence=since).json()["results"]
        self.assertEqual(missed, everything[1:])
        newest_first = self.get(self.ann, "trades/", stock_id="ACME").json()["results"]
        self.assertEqual(newest_first, everything[::-1])

    def test_it_filters(self) -> None:
        StockFactory(stock_id="OTHER")
        self.placed(self.bob, "sell", 1, 10)
        self.placed(self.ann, "buy", 1, 10)
        at = Trade.objects.get().executed_at
        second = timedelta(seconds=1)
        for query, count in [
            ({"stock_id": "OTHER"}, 0),
            ({"from_date": json_time(at), "to_date": json_time(at)}, 1),
            ({"from_date": json_time(at + second)}, 0),
            ({"to_date": json_time(at - second)}, 0),
            ({"from_date": at.date().isoformat(), "to_date": at.date().isoformat()}, 1),
            ({"from_date": "", "to_date": ""}, 1),
        ]:
            with self.subTest(query):
                self.assertEqual(self.get(self.ann, "trades/", **query).json()["count"], count)

    def test_it_names_the_filter_at_fault(self) -> None:
        for query, code, attr in [
            ({"since_sequence": 3}, "required", "stock_id"),
            ({"since_sequence": -1, "stock_id": "ACME"}, "not_positive", "since_sequence"),
            ({"since_sequence": "x", "stock_id": "ACME"}, "not_a_whole_number", "since_sequence"),
            ({"since_sequence": 2**63, "stock_id": "ACME"}, "too_large", "since_sequence"),
            ({"stock_id": "a b"}, "invalid", "stock_id"),
            ({"from_date": "soon"}, "not_a_date", "from_date"),
            ({"from_date": "2022-12-06", "to_date": "2022-12-05"}, "range_reversed", "from_date"),
        ]:
            with self.subTest(query):
                self.assert_refused(self.get(self.ann, "trades/", **query), 400, code, attr)

    def test_it_finds_no_trade_that_is_not_there(self) -> None:
        for trade_id in ("1", "9" * 19, "0", "x", "-1"):
            self.assert_refused(self.get(self.ann, f"trades/{trade_id}/"), 404, "not_found")

    def test_it_lists_with_two_queries_however_many_there_are(self) -> None:
        self.tick("10", 10_000)
        for count in (1, 20):
            for _ in range(count):
                self.placed(self.ann, "buy", 1)
            self.get(self.ann, "trades/")
            with self.subTest(count=count), self.assertNumQueries(2):
                self.get(self.ann, "trades/")


class Book(MarketApiTestCase):
    def test_it_shows_levels_best_first_and_the_quote(self) -> None:
        self.tick("10", 50)
        self.placed(self.ann, "buy", 20, 10.5)
        self.placed(self.ann, "buy", 3, 9)
        self.placed(self.ann, "buy", 4, 9)
        self.placed(self.ann, "buy", 5, 9.5)
        self.placed(self.bob, "sell", 6, 11)
        before = timezone.now()
        book = self.get(self.ann, "orderbook/", stock_id="ACME").json()
        self.assertGreaterEqual(book.pop("timestamp"), json_time(before))
        self.assertEqual(
            book,
            {
                "stock_id": "ACME",
                "sequence": Stock.objects.get().sequence,
                "bids": [
                    {"price": 9.5, "quantity": 5, "orders": 1},
                    {"price": 9.0, "quantity": 7, "orders": 2},
                ],
                "asks": [{"price": 11.0, "quantity": 6, "orders": 1}],
                "quote": {"price": 10.0, "availability": 50, "bid_quantity": 50, "ask_quantity": 30},
            },
        )

    def test_it_goes_as_deep_as_asked(self) -> None:
        for price in range(1, 9):
            self.placed(self.ann, "buy", 1, price)
        self.assertEqual(len(self.get(self.ann, "orderbook/").json()["bids"]), 5)
        self.assertEqual(len(self.get(self.ann, "orderbook/", depth=1).json()["bids"]), 1)
        self.assertEqual(len(self.get(self.ann, "orderbook/", depth=500).json()["bids"]), 8)
        for depth, code in [
            ("0", "not_positive"),
            ("501", "too_large"),
            ("-1", "not_positive"),
            ("all", "not_a_whole_number"),
            ("1.5", "not_a_whole_number"),
        ]:
            self.assert_refused(self.get(self.ann, "orderbook/", depth=depth), 400, code, "depth")

    def test_it_asks_which_stock_when_there_are_several(self) -> None:
        self.assertIsNone(self.get(self.ann, "orderbook/").json()["quote"])
        StockFactory(stock_id="OTHER")
        self.assert_refused(self.get(self.ann, "orderbook/"), 400, "required", "stock_id")
        self.assertEqual(self.get(self.ann, "orderbook/", stock_id="OTHER").json()["sequence"], 0)
        response = self.get(self.ann, "orderbook/", stock_id="NONE")
        self.assert_refused(response, 404, "unknown_stock", "stock_id")

    def test_it_is_one_query_when_the_stock_is_named(self) -> None:
        self.get(self.ann, "orderbook/", stock_id="ACME")
        with self.assertNumQueries(1):
            self.get(self.ann, "orderbook/", stock_id="ACME", depth=500)


class StockPage(MarketApiTestCase):
    def trade(self, quantity: int, price: int) -> None:
        self.placed(self.bob, "sell", quantity, price)
        self.placed(self.ann, "buy", quantity, price)

    def test_it_shows_the_newest_five_transactions(self) -> None:
        self.tick("10", 1)
        self.placed(self.ann, "buy", 1)
        for quantity in (2, 3):
            self.trade(quantity, 11)
        page = self.get(self.clara, "stocks/ACME/").json()
        self.assertEqual(
            [(row["user"], row["type"], row["total_count"]) for row in page["transactions"]],
            [
                (self.ann.pk, "Buy", 3),
                (self.bob.pk, "Sell", 3),
                (self.ann.pk, "Buy", 2),
                (self.bob.pk, "Sell", 2),
                (self.ann.pk, "Buy", 1),
            ],
        )
        self.assertEqual(
            page["transactions"][0],
            {"user": self.ann.pk, "type": "Buy", "stock_price": 11.0, "total_price": 33.0, "total_count": 3},
        )
        self.assertEqual((page["price"], page["highest_price"], len(page["recent_data"])), (11.0, 10.0, 1))

    def test_it_tells_a_user_only_of_itself(self) -> None:
        self.trade(2, 11)
        for viewer, users in [
            (self.ann, [self.ann.pk, None]),
            (self.bob, [None, self.bob.pk]),
            (self.clara, [self.ann.pk, self.bob.pk]),
            (None, [None, None]),
        ]:
            page = self.get(viewer, "stocks/ACME/").json()
            self.assertEqual([row["user"] for row in page["transactions"]], users)

    def test_it_keeps_to_the_range(self) -> None:
        self.tick("10", 0, at=NOON)
        self.trade(2, 11)
        day = Trade.objects.get().executed_at.date().isoformat()
        self.assertEqual(len(self.get(self.ann, "stocks/ACME/", from_date=day).json()["transactions"]), 2)
        noon = self.get(self.ann, "stocks/ACME/", to_date=json_time(NOON)).json()
        self.assertEqual((noon["transactions"], noon["price"]), ([], 10.0))
        empty = self.get(self.ann, "stocks/ACME/", from_date="2001-01-01", to_date="2001-01-02")
        self.assertEqual(empty.status_code, 200)
        self.assertEqual((empty.json()["price"], empty.json()["transactions"]), (None, []))

    def test_it_takes_the_same_queries_however_much_there_is(self) -> None:
        counts = []
        for _ in range(2):
            for _ in range(4):
                self.trade(1, 11)
                self.tick("11", 5)
            for query, queries in ({}, 3), ({"from_date": "2020-01-01"}, 4):
                with self.assertNumQueries(queries):
                    self.get(self.ann, "stocks/ACME/", **query)
            counts.append(len(self.get(self.ann, "stocks/ACME/").json()["transactions"]))
        self.assertEqual(counts, [5, 5])

    def test_it_knows_no_other_stock(self) -> None:
        self.assert_refused(self.get(self.ann, "stocks/NONE/"), 404, "unknown_stock", "stock_id")


class Halting(MarketApiTestCase):
    def patch(self, user, body, stock_id="ACME"):
        return self.client_of(user).patch(f"/api/stocks/{stock_id}/", body, format="json")

    def test_it_halts_and_opens(self) -> None:
        response = self.patch(self.clara, {"status": "halted"})
        self.assertEqual((response.status_code, response.json()["status"]), (200, "halted"))
        self.assert_refused(self.order(self.ann, "buy", 1, 1), 400, "market_halted", "stock_id")
        self.assertEqual(self.patch(self.clara, {"status": "halted"}).json()["status"], "halted")
        response = self.patch(self.clara, {"status": "open", "name": "Acme again", "lot_size": 2})
        self.assertEqual((response.json()["status"], response.json()["name"]), ("open", "Acme again"))
        self.placed(self.ann, "buy", 2, 1)

    def test_it_changes_only_what_is_given(self) -> None:
        self.patch(self.clara, {"status": "halted"})
        response = self.patch(self.clara, {"price_increment": "0.05"})
        self.assertEqual((response.json()["status"], response.json()["price_increment"]), ("halted", 0.05))
        self.assertEqual(self.patch(self.clara, {}).json(), response.json())

    def test_it_is_for_staff(self) -> None:
        self.assert_refused(self.patch(self.ann, {"status": "halted"}), 403, "permission_denied")
        self.assert_refused(self.patch(None, {"status": "halted"}), 401, "not_authenticated")
        self.assertEqual(Stock.objects.get().status, "open")

    def test_it_refuses_other_words_and_other_stocks(self) -> None:
        for status in ("closed", "HALTED", "", None, 1):
            response = self.patch(self.clara, {"name": "New", "status": status})
            self.assertEqual(response.status_code, 400)
            self.assertEqual(response.json()["errors"][0]["attr"], "status")
        self.assert_refused(self.patch(self.clara, {"sequence": 9}), 400, "unknown_field", "sequence")
        self.assert_refused(self.patch(self.clara, {}, "NONE"), 404, "unknown_stock", "stock_id")
        self.assertEqual(Stock.objects.get().name, "Acme")
