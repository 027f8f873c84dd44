"""What is read of the market: the book in one statement, the tape, and users' sides of trades."""

from datetime import timedelta
from decimal import Decimal as D
from uuid import UUID

from django.db import connection
from django.test.utils import CaptureQueriesContext

from stocks.models import Stock
from stocks.services.ticks import UnknownStock
from trade.models import Order, Trade
from trade.selectors.book import BookQuote, only_stock_id, order_book
from trade.selectors.fills import UserFills, newest_fills_of_stock
from trade.selectors.orders import find_order, orders_of
from trade.selectors.trades import find_trade, public_trades, trades_since
from trade.signals import BookLevel
from trade.tests.base import MarketTestCase, make_trader, units


class Book(MarketTestCase):
    def test_it_adds_up_levels_best_first(self) -> None:
        ann = make_trader("ann", 10_000, ACME=100)
        for price, quantity in [("9", 10), ("9.50", 5), ("9", 7)]:
            self.place(ann, "buy", quantity, price)
        for price, quantity in [("11", 3), ("10", 4)]:
            self.place(ann, "sell", quantity, price)
        book = order_book("ACME")
        self.assertEqual(book.bids, (BookLevel(units("9.50"), 5, 1), BookLevel(units("9"), 17, 2)))
        self.assertEqual(book.asks, (BookLevel(units("10"), 4, 1), BookLevel(units("11"), 3, 1)))
        self.assertEqual((book.stock_id, book.sequence, book.quote), ("ACME", 5, None))

    def test_it_shows_what_is_left_of_orders(self) -> None:
        ann, bob = make_trader("ann", 10_000), make_trader("bob", ACME=100)
        self.place(ann, "buy", 10, "9")
        self.place(bob, "sell", 4, "9")
        self.assertEqual(order_book("ACME").bids, (BookLevel(units("9"), 6, 1),))

    def test_it_goes_as_deep_as_asked(self) -> None:
        ann = make_trader("ann", 10_000)
        for price in range(1, 8):
            self.place(ann, "buy", 1, str(price))
        self.assertEqual([level.price for level in order_book("ACME", 2).bids], [units(7), units(6)])
        self.assertEqual(len(order_book("ACME").bids), 5)
        self.assertEqual(len(order_book("ACME", 500).bids), 7)

    def test_it_hides_bounded_pending_and_finished_orders(self) -> None:
        ann = make_trader("ann", 10_000, ACME=50)
        self.place_bounded(ann, "buy", 10, "1", "9")
        self.place_bounded(ann, "sell", 10, "1", "9")
        cancelled = self.place(ann, "buy", 10, "9")
        self.engine.cancel_order(cancelled.order_id)
        waiting = self.place(ann, "buy", 10, "9")
        Order.objects.filter(pk=waiting.pk).update(status=Order.Status.PENDING)
        book = order_book("ACME")
        self.assertEqual((book.bids, book.asks), ((), ()))

    def test_it_has_the_quote_and_what_is_left_of_it(self) -> None:
        ann = make_trader("ann", 10_000)
        self.tick("20", 50)
        self.place(ann, "buy", 30, "21")
        self.assertEqual(order_book("ACME").quote, BookQuote(units(20), 50, 50, 20))

    def test_it_is_one_query(self) -> None:
        with self.assertNumQueries(1):
            order_book("ACME", 500)

    def test_it_keeps_to_its_stock(self) -> None:
        other = Stock.objects.create(stock_id="OTHER", name="Other")
        ann = make_trader("ann", 10_000)
        self.place(ann, "buy", 1, "9")
        self.assertEqual(order_book(other.stock_id).bids, ())
        with self.assertRaises(UnknownStock):
            order_book("NONE")

    def test_it_reads_no_more_levels_than_asked_for(self) -> None:
        ann = make_trader("ann", 10_000)
        for price in range(1, 8):
            self.place(ann, "buy", 1, str(price))
        if connection.vendor == "postgresql":
            _forbid("seqscan", "bitmapscan", "sort", "hashagg")
        with CaptureQueriesContext(connection) as queries:
            order_book("ACME")
        plan = _plan(queries[0]["sql"])
        self.assertIn("order_open_by_price", plan)
        for sorting in ("TEMP B-TREE", "->  Sort"):
            self.assertNotIn(sorting, plan)

    def test_it_knows_the_only_stock(self) -> None:
        self.assertEqual(only_stock_id(), "ACME")
        Stock.objects.create(stock_id="OTHER", name="Other")
        self.assertIsNone(only_stock_id())


class Orders(MarketTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.ann, self.bob = make_trader("ann", 10_000, ACME=100), make_trader("bob", 10_000, ACME=100)

    def test_it_finds_only_the_users_own(self) -> None:
        order = self.place(self.ann, "buy", 1, "9")
        self.assertEqual(find_order(order.order_id, user_id=self.ann.pk), order)
        self.assertEqual(find_order(order.order_id, user_id=None), order)
        self.assertIsNone(find_order(order.order_id, user_id=self.bob.pk))
        self.assertIsNone(find_order(UUID(int=1), user_id=None))

    def test_it_filters(self) -> None:
        Stock.objects.create(stock_id="OTHER", name="Other")
        bid = self.place(self.ann, "buy", 1, "9", client_order_id="mine")
        ask = self.place(self.ann, "sell", 1, "30")
        gone = self.place(self.ann, "buy", 1, "8", stock_id="OTHER")
        self.engine.cancel_order(gone.order_id)
        self.place(self.bob, "buy", 1, "7")
        for filters, expected in [
            ({}, {bid, ask, gone}),
            ({"stock_id": "OTHER"}, {gone}),
            ({"side": "sell"}, {ask}),
            ({"status": "CANCELLED"}, {gone}),
            ({"is_open": True}, {bid, ask}),
            ({"is_open": False}, {gone}),
            ({"client_order_id": "mine"}, {bid}),
            ({"from_date": bid.created_at, "to_date": gone.created_at}, {bid, ask, gone}),
            ({"from_date": gone.created_at + timedelta(microseconds=1)}, set()),
            ({"to_date": bid.created_at - timedelta(microseconds=1)}, set()),
        ]:
            with self.subTest(**filters):
                self.assertEqual(set(orders_of(self.ann.pk, **filters)), expected)

    def test_it_lists_the_newest_first(self) -> None:
        placed = [self.place(self.ann, "buy", 1, "9") for _ in range(4)]
        self.assertEqual(
            [order.created_at for order in orders_of(self.ann.pk)],
            sorted((order.created_at for order in placed), reverse=True),
        )


class Trades(MarketTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.ann, self.bob = make_trader("ann", 10_000, ACME=100), make_trader("bob", 10_000, ACME=100)

    def trade(self, quantity: int, price: str = "10") -> Trade:
        """bob sells to ann, who comes to him."""
        self.place(self.bob, "sell", quantity, price)
        self.place(self.ann, "buy", quantity, price)
        return Trade.objects.order_by("-sequence")[0]

    def test_it_lists_the_newest_first_and_what_was_missed_oldest_first(self) -> None:
        first, second, third = self.trade(1), self.trade(2), self.trade(3)
        self.assertEqual(list(public_trades()), [third, second, first])
        self.assertEqual(list(public_trades(stock_id="ACME")), [third, second, first])
        self.assertEqual(list(public_trades(stock_id="NONE")), [])
        since = public_trades(stock_id="ACME", since_sequence=first.sequence)
        self.assertEqual(list(since), [second, third])

    def test_it_hands_out_the_next_few(self) -> None:
        first, second, third = self.trade(1), self.trade(2), self.trade(3)
        self.assertEqual(trades_since("ACME", 0, 2), [first, second])
        self.assertEqual(trades_since("ACME", second.sequence, 2), [third])
        self.assertEqual(trades_since("ACME", 0, 9, until_sequence=second.sequence), [first, second])

    def test_it_takes_both_ends_of_a_range(self) -> None:
        trade = self.trade(1)
        at = trade.executed_at
        step = timedelta(microseconds=1)
        for from_date, to_date, expected in [
            (at, at, [trade]),
            (at + step, None, []),
            (None, at - step, []),
            (None, at, [trade]),
        ]:
            with self.subTest(from_date=from_date, to_date=to_date):
                self.assertEqual(list(public_trades(from_date=from_date, to_date=to_date)), expected)
                fills = newest_fills_of_stock("ACME", limit=9, from_date=from_date, to_date=to_date)
                self.assertEqual(len(fills), 2 * len(expected))
                fills_of_ann = UserFills(self.ann.pk, from_date=from_date, to_date=to_date)
                self.assertEqual((len(fills_of_ann), len(fills_of_ann[:9])), (len(expected), len(expected)))

    def test_it_finds_one(self) -> None:
        trade = self.trade(1)
        self.assertEqual(find_trade(trade.trade_id), trade)
        self.assertIsNone(find_trade(trade.trade_id + 1))
        self.assertIsNone(find_trade(10**19 - 1))

    def test_it_tells_each_user_its_own_side(self) -> None:
        trade = self.trade(4)
        (bought,), (sold,) = map(self.fills, (self.ann, self.bob))
        self.assertEqual((bought.side, bought.order_id), ("buy", trade.bid_order_id))
        self.assertEqual((sold.side, sold.order_id), ("sell", trade.ask_order_id))
        for fill, user in [(bought, self.ann), (sold, self.bob)]:
            self.assertEqual(fill.user_id, user.pk)
            self.assertEqual((fill.price, fill.quantity, fill.stock_id), (D(10), 4, "ACME"))
            self.assertEqual(fill.executed_at, trade.executed_at)

    def test_it_merges_both_sides_newest_first(self) -> None:
        self.trade(1)
        self.place(self.ann, "sell", 2, "10")
        self.place(self.bob, "buy", 2, "10")
        self.tick("10", 5)
        self.place(self.ann, "buy", 3, "10")
        fills = self.fills(self.ann)
        self.assertEqual(
            [(fill.side, fill.quantity) for fill in fills], [("buy", 3), ("sell", 2), ("buy", 1)]
        )
        self.assertEqual(len(UserFills(self.ann.pk)), 3)
        self.assertEqual(UserFills(self.ann.pk)[1:3], fills[1:])
        self.assertEqual(UserFills(self.ann.pk)[2:2], [])
        self.assertEqual(len(UserFills(self.ann.pk, stock_id="NONE")), 0)
        self.assertEqual(UserFills(self.ann.pk, stock_id="ACME")[:9], fills)

    def test_it_shows_a_stock_both_sides_of_a_trade_the_taker_first(self) -> None:
        self.trade(1)
        self.tick("10", 5)
        self.place(self.bob, "sell", 2, "10")
        fills = newest_fills_of_stock("ACME", limit=5)
        self.assertEqual(
            [(fill.user_id, fill.side, fill.quantity) for fill in fills],
            [(self.bob.pk, "sell", 2), (self.ann.pk, "buy", 1), (self.bob.pk, "sell", 1)],
        )
        self.assertEqual(newest_fills_of_stock("ACME", limit=2), fills[:2])

    def test_it_reads_the_newest_along_indexes(self) -> None:
        if connection.vendor == "postgresql":
            _forbid("seqscan", "bitmapscan")
        with CaptureQueriesContext(connection) as queries:
            UserFills(self.ann.pk)[:5]
        (query,) = queries
        plan = _plan(query["sql"])
        self.assertRegex(plan, "(?i)index.*buyer")
        self.assertRegex(plan, "(?i)index.*seller")
        # SQLite sorts the few rows that each side gave; the sides themselves nobody sorts.
        self.assertEqual(plan.count("->  Sort"), 0)
        self.assertLessEqual(plan.count("TEMP B-TREE"), 2)

    def fills(self, user):
        return UserFills(user.pk)[:100]


def _forbid(*methods: str) -> None:
    """Let the planner of PostgreSQL show whether it can do without: a table of ten rows it would scan."""
    with connection.cursor() as cursor:
        for method in methods:
            cursor.execute(f"SET LOCAL enable_{method} = off")


def _plan(sql: str) -> str:
    word = "EXPLAIN QUERY PLAN" if connection.vendor == "sqlite" else "EXPLAIN"
    with connection.cursor() as cursor:
        cursor.execute(f"{word} {sql}")
        return "\n".join(str(row[-1]) for row in cursor.fetchall())
