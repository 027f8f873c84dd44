"""The house bots: where they quote, how they trade, and that nothing ends them but `stop`."""

import threading
from concurrent.futures import Future
from random import Random
from types import SimpleNamespace
from unittest import mock

from django.db import OperationalError, connection
from django.test import SimpleTestCase, tag
from django.test.utils import CaptureQueriesContext

from config.demo.bots import PAUSE_AFTER_ERROR_S, BotFloor, MarketMaker, NoiseTrader
from config.demo.desk import Desk, OwnOrders
from config.demo.quoting import BUY, SELL, Resting, StockView, Style, grid_step, plan_quotes, rebalance
from trade.models import Order
from trade.services.order_rules import NewOrder
from trade.services.refusals import MarketHalted
from trade.tests.base import MarketTestCase, make_trader, units
from users.models import CashAccount
from users.rows import fetch_rows

CENT = 100
STYLE = Style()


def view(
    fair: int = 1_000_000,
    *,
    stock_id: str = "AVLN",
    increment: int = CENT,
    lot: int = 1,
    outside: int = 500,
) -> StockView:
    return StockView(stock_id, fair, increment, lot, outside, outside)


def target_shares(stock: StockView, style: Style = STYLE) -> int:
    return style.target_worth // stock.fair


class Book:
    """A maker's quotes as the market would hold them."""

    def __init__(self) -> None:
        self.resting: dict[str, Resting] = {}
        self._next_id = 0

    def follow(self, stock: StockView, shares: int, style: Style = STYLE) -> int:
        plan = plan_quotes(stock, style, shares, self.resting.values())
        for order_id in plan.cancel:
            del self.resting[order_id]
        for quote in plan.place:
            self._next_id += 1
            self.resting[str(self._next_id)] = Resting(str(self._next_id), *quote)
        return len(plan.cancel) + len(plan.place)

    def prices(self, side: str) -> list[int]:
        return sorted(
            (order.price for order in self.resting.values() if order.side == side), reverse=side == BUY
        )

    def fill(self, stock: StockView) -> None:
        """Take out what a tick at the fair price would trade with."""
        self.resting = {
            key: order
            for key, order in self.resting.items()
            if (order.price < stock.fair if order.side == BUY else order.price > stock.fair)
        }


class PlanQuotesTests(SimpleTestCase):
    def test_it_quotes_every_level_on_both_sides_of_the_price(self) -> None:
        for fair in (300, 50_000, 1_000_000, 12_750_000, 9_999_999_900):
            for increment in (1, CENT, 5_000):
                with self.subTest(fair=fair, increment=increment):
                    stock, book = view(max(fair, 20 * increment), increment=increment), Book()
                    book.follow(stock, target_shares(stock))
                    bids, asks = book.prices(BUY), book.prices(SELL)
                    self.assertEqual((len(bids), len(asks)), (STYLE.levels, STYLE.levels))
                    self.assertLess(bids[0], stock.fair)
                    self.assertGreater(asks[0], stock.fair)
                    self.assertEqual([price % increment for price in bids + asks], [0] * 2 * STYLE.levels)

    def test_it_quotes_no_price_below_one_increment(self) -> None:
        book = Book()
        book.follow(view(300), 100)
        self.assertEqual(book.prices(BUY), [200, 100])

    def test_it_changes_nothing_while_the_price_stays(self) -> None:
        stock, book = view(), Book()
        book.follow(stock, target_shares(stock))
        self.assertEqual(book.follow(stock, target_shares(stock)), 0)

    def test_it_follows_a_small_move_with_a_few_changes(self) -> None:
        stock, book = view(), Book()
        book.follow(stock, target_shares(stock))
        step = grid_step(stock.fair, CENT, STYLE.step_ratio)
        moved = view(stock.fair + step)
        book.fill(moved)
        self.assertLessEqual(book.follow(moved, target_shares(moved)), 4)

    def test_it_keeps_full_sides_through_a_random_walk(self) -> None:
        for seed in range(20):
            with self.subTest(seed=seed):
                rng, book, fair, changes = Random(seed), Book(), 500_000, 0
                for _ in range(500):
                    fair = max(2_000, fair + rng.randint(-6, 6) * CENT)
                    stock = view(fair)
                    book.fill(stock)
                    shares = int(target_shares(stock) * rng.uniform(0.5, 1.5))
                    changes += book.follow(stock, shares)
                    self.assertGreaterEqual(min(len(book.prices(BUY)), len(book.prices(SELL))), STYLE.levels)
                    self.assertLess(book.prices(BUY)[0], fair)
                    self.assertGreater(book.prices(SELL)[0], fair)
                self.assertLess(changes, 500 * 6)

    def test_it_replaces_a_quote_that_is_nearly_used_up(self) -> None:
        stock, book = view(), Book()
        book.follow(stock, target_shares(stock))
        order_id, order = next(iter(book.resting.items()))
        book.resting[order_id] = order._replace(quantity=order.quantity // 4)
        plan = plan_quotes(stock, STYLE, target_shares(stock), book.resting.values())
        self.assertEqual(plan.cancel, [order_id])
        self.assertEqual([(quote.side, quote.price) for quote in plan.place], [(order.side, order.price)])

    def test_it_cancels_a_second_order_at_the_same_place(self) -> None:
        stock, book = view(), Book()
        book.follow(stock, target_shares(stock))
        twin = next(iter(book.resting.values()))._replace(order_id="twin")
        plan = plan_quotes(stock, STYLE, target_shares(stock), [*book.resting.values(), twin])
        self.assertEqual((plan.cancel, plan.place), (["twin"], []))

    def test_it_leans_against_its_inventory(self) -> None:
        stock = view()
        long, short = Book(), Book()
        long.follow(stock, 2 * target_shares(stock))
        short.follow(stock, 0)
        self.assertLess(long.prices(BUY)[0], short.prices(BUY)[0])
        self.assertLess(long.prices(SELL)[0], short.prices(SELL)[0])

    def test_two_makers_stand_on_different_prices(self) -> None:
        stock, north, south = view(), Book(), Book()
        north.follow(stock, target_shares(stock))
        south.follow(stock, target_shares(stock), Style(grid_shift=2))
        self.assertFalse(
            {*north.prices(BUY), *north.prices(SELL)} & {*south.prices(BUY), *south.prices(SELL)}
        )

    def test_quantities_are_whole_lots_of_about_the_same_worth(self) -> None:
        for fair in (50_000, 1_000_000, 400_000_000):
            quote = plan_quotes(view(fair, lot=10), STYLE, 0, []).place[0]
            self.assertEqual(quote.quantity % 10, 0)
            self.assertEqual(quote.quantity, max(10, STYLE.worth // fair // 10 * 10))


class RebalanceTests(SimpleTestCase):
    def test_it_leaves_a_small_excess_alone(self) -> None:
        stock = view()
        for part in (80, 100, 120):
            self.assertIsNone(rebalance(stock, STYLE, target_shares(stock) * part // 100))

    def test_it_trades_the_excess_at_the_outside_price(self) -> None:
        stock = view(outside=10_000)
        target = target_shares(stock)
        self.assertEqual(rebalance(stock, STYLE, 2 * target), (SELL, stock.fair, target))
        self.assertEqual(rebalance(stock, STYLE, 0), (BUY, stock.fair, target))

    def test_it_takes_no_more_than_the_outside_has_left(self) -> None:
        self.assertEqual(rebalance(view(outside=7), STYLE, 0), (BUY, 1_000_000, 7))
        self.assertIsNone(rebalance(view(outside=0), STYLE, 0))


class RefusingEngine:
    """Refuses the orders of one user."""

    def __init__(self, refused_user_id: int) -> None:
        self._refused_user_id = refused_user_id

    def submit_order(self, new_order: NewOrder) -> "Future[SimpleNamespace]":
        future: Future[SimpleNamespace] = Future()
        if new_order.user_id == self._refused_user_id:
            future.set_exception(MarketHalted("the market is halted"))
        else:
            future.set_result(SimpleNamespace(order_id="0" * 32))
        return future

    def cancel_order(self, order_id: object, user_id: int | None) -> None:
        raise MarketHalted("the market is halted")


class DeskTests(SimpleTestCase):
    def test_a_refusal_is_counted_and_the_other_orders_stand(self) -> None:
        desk = Desk(RefusingEngine(refused_user_id=1))
        orders = [NewOrder(user_id, "AVLN", "buy", "limit", 1, price=CENT) for user_id in (1, 2)]
        self.assertEqual(len(desk.place(orders)), 1)
        desk.cancel(2, ["0" * 32])
        self.assertEqual((desk.placed, desk.cancelled, desk.refused), (1, 0, {"market_halted": 2}))

    def test_own_orders_stay_below_the_limit(self) -> None:
        orders = OwnOrders(["old", "older"][::-1], limit=3)
        self.assertEqual(orders.take_excess(), [])
        orders.add(["new"])
        self.assertEqual(orders.take_excess(), ["older"])


class StubBot:
    def __init__(self, *, fails: bool = False) -> None:
        self.seen: list[str] = []
        self._fails = fails

    def step(self, view: StockView) -> int:
        self.seen.append(view.stock_id)
        if self._fails:
            raise RuntimeError("planted")
        return 1


class BotFloorTests(SimpleTestCase):
    def setUp(self) -> None:
        self.views = {stock_id: view(stock_id=stock_id) for stock_id in ("A", "B")}

    def floor(self, *makers: StubBot, noise: tuple[StubBot, ...] = (), rate: float = 1e6) -> BotFloor:
        return BotFloor(
            look=lambda: self.views,
            makers=makers,
            noise_traders=noise,
            stock_ids=["A", "B"],
            orders_per_second=rate,
            rng=Random(1),
        )

    def test_every_maker_has_its_turn_on_every_stock(self) -> None:
        north, south = StubBot(), StubBot()
        floor = self.floor(north, south)
        for _ in range(8):
            floor.step()
        for maker in (north, south):
            self.assertEqual(sorted(maker.seen), ["A", "A", "B", "B"])

    def test_the_stock_that_moved_comes_first(self) -> None:
        maker = StubBot()
        floor = self.floor(maker)
        for _ in range(4):
            floor.step()
        maker.seen.clear()
        for number in range(1, 4):
            self.views["B"] = view(1_000_000 + number * 10_000, stock_id="B")
            floor.step()
        self.assertEqual(maker.seen, ["B"] * 3)

    def test_a_stock_without_a_price_is_left_alone(self) -> None:
        del self.views["A"]
        maker = StubBot()
        floor = self.floor(maker)
        self.assertEqual([floor.step() for _ in range(3)], [1, 1, 1])
        self.views.clear()
        self.assertEqual(floor.step(), 0)
        self.assertEqual(maker.seen, ["B"] * 3)

    def test_a_bot_that_fails_stops_nobody(self) -> None:
        bad, good = StubBot(fails=True), StubBot()
        floor = self.floor(bad, noise=(good,))
        with self.assertLogs("config.demo.bots", "ERROR"):
            for _ in range(20):
                floor.step()
        self.assertEqual(floor.errors, 20)
        self.assertTrue(good.seen)

    def test_it_goes_on_when_the_market_cannot_be_seen(self) -> None:
        floor = self.floor(StubBot())
        stopping = mock.Mock()
        stopping.is_set.side_effect = [False, False, True]
        with mock.patch.object(floor, "_look", side_effect=OperationalError("away")):
            with self.assertLogs("config.demo.bots", "ERROR"):
                floor.run(stopping)
        self.assertEqual(floor.errors, 2)
        self.assertIn(mock.call(PAUSE_AFTER_ERROR_S), stopping.wait.call_args_list)

    def test_it_keeps_the_rate_and_stops_when_told(self) -> None:
        stopping = mock.Mock(wraps=threading.Event())
        stopping.is_set.side_effect = [False] * 5 + [True]
        self.floor(StubBot(), rate=500).run(stopping)
        self.assertEqual([call.args for call in stopping.wait.call_args_list], [(1 / 500,)] * 5)


class OnTheMarketTests(MarketTestCase):
    """Makers and noise traders on a stock whose price walks, through the real engine."""

    STYLE = Style(target_worth=20_000 * 10_000)

    def setUp(self) -> None:
        super().setUp()
        self.desk = Desk(self.engine)
        self.makers = [make_trader(name, 200_000, ACME=200) for name in ("north", "south")]
        self.noise = [make_trader(name, 50_000, ACME=100) for name in ("cleo", "dan")]
        self.rng = Random(7)

    def floor(self) -> BotFloor:
        makers = [
            MarketMaker(
                self.desk,
                user.pk,
                Style(grid_shift=2 * number, target_worth=self.STYLE.target_worth),
                self.rng,
            )
            for number, user in enumerate(self.makers)
        ]
        noise_traders = [NoiseTrader(self.desk, user.pk, self.rng) for user in self.noise]
        return BotFloor(
            look=self.desk.views,
            makers=makers,
            noise_traders=noise_traders,
            stock_ids=["ACME"],
            orders_per_second=1,
            rng=self.rng,
        )

    def levels(self, side: str) -> int:
        open_orders = Order.objects.filter(side=side, type="limit", remaining_quantity__gt=0)
        return open_orders.values("limit_price").distinct().count()

    def test_they_wait_for_the_first_price(self) -> None:
        floor = self.floor()
        self.assertEqual([floor.step() for _ in range(4)], [0] * 4)

    def test_they_leave_a_halted_stock_alone(self) -> None:
        self.tick("100", 500)
        self.engine.halt("ACME")
        floor = self.floor()
        self.assertEqual([floor.step() for _ in range(4)], [0] * 4)

    # Thousands of small commits, which say the same on PostgreSQL and take ten times as long there.
    @tag("sqlite")
    def test_the_book_keeps_five_levels_while_the_price_walks(self) -> None:
        floor, cents = self.floor(), 10_000
        for number in range(150):
            cents = max(200, cents + self.rng.choice((-60, -20, -5, 0, 5, 20, 60)))
            self.tick(f"{cents / 100:.2f}", self.rng.randint(20, 400))
            for _ in range(4):
                floor.step()
            if number > 5:
                self.assertGreaterEqual(min(self.levels("buy"), self.levels("sell")), 5)
        self.assertEqual(floor.errors, 0)
        self.assertLess(Order.objects.filter(remaining_quantity__gt=0).count(), 150)
        self.assertLess(self.desk.refused["insufficient_funds"], 5)

    def test_a_maker_without_cash_still_sells(self) -> None:
        self.tick("100", 500)
        CashAccount.objects.update(balance=0)
        floor = self.floor()
        for _ in range(6):
            floor.step()
        self.assertEqual(self.levels("buy"), 0)
        self.assertGreaterEqual(self.levels("sell"), self.STYLE.levels)

    @tag("sqlite")
    def test_a_makers_look_at_its_orders_does_not_grow_with_its_history(self) -> None:
        with CaptureQueriesContext(connection) as queries:
            self.desk.resting(self.makers[0].pk, "ACME")
        plan = fetch_rows(f"EXPLAIN QUERY PLAN {queries[0]['sql']}")
        self.assertIn("order_open_by_price", plan[0][3])

    def test_a_noise_trader_keeps_few_orders_open(self) -> None:
        self.tick("100", 0)
        trader = NoiseTrader(self.desk, self.noise[0].pk, self.rng)
        for _ in range(60):
            trader.step(self.desk.views()["ACME"])
        self.assertLessEqual(
            Order.objects.filter(remaining_quantity__gt=0).count(), NoiseTrader.MAX_OPEN_ORDERS
        )

    def test_a_noise_trader_remembers_its_orders_of_the_last_run(self) -> None:
        self.tick("100", 0)
        for _ in range(NoiseTrader.MAX_OPEN_ORDERS):
            self.place(self.noise[0], "buy", 1, "50")
        NoiseTrader(self.desk, self.noise[0].pk, self.rng).step(self.desk.views()["ACME"])
        self.assertEqual(Order.objects.filter(status="CANCELLED", reason="user").count(), 1)

    def test_it_bounds_its_orders_by_increment(self) -> None:
        self.tick("0.03", 100)
        trader = NoiseTrader(self.desk, self.noise[0].pk, self.rng)
        for _ in range(60):
            trader.step(self.desk.views()["ACME"])
        self.assertLessEqual(
            set(self.desk.refused), {"insufficient_funds", "insufficient_shares", "order_not_open"}
        )
        self.assertTrue(
            all(units(str(order.limit_price)) % 100 == 0 for order in Order.objects.exclude(type="market"))
        )
