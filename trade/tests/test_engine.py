"""What becomes of orders and ticks, through the engine and the database."""

from datetime import timedelta
from decimal import Decimal as D
from unittest import mock
from uuid import UUID

from django.db import OperationalError
from django.test import override_settings
from django.utils import timezone

from stocks.models import Candle, Holding, Stock, Tick
from stocks.services.holdings import InsufficientShares
from stocks.services.ticks import FeedTick, UnknownStock
from trade.engine import get_engine, reset_engine
from trade.engine.engine import ENTRY_LANE
from trade.engine.entry import Placement
from trade.models import Order, OrderEvent, Trade
from trade.services import refusals
from trade.services.order_rules import NewOrder
from trade.services.reservation import new_order_id, reserve_orders
from trade.signals import CommittedBatch, batch_committed
from trade.tests.base import NOON, MarketTestCase, make_trader, units
from users.models import LedgerEntry
from users.services.cash import InsufficientFunds


class Reserving(MarketTestCase):
    def test_it_holds_the_cash_of_a_buy(self) -> None:
        ann = make_trader("ann", 1000)
        order = self.place(ann, "buy", 10, "12.50")
        self.assertEqual(order.status, "ACTIVE")
        self.assertEqual(self.cash(ann), (D(1000), D(125)))

    def test_it_holds_the_shares_of_a_sell(self) -> None:
        ann = make_trader("ann", 0, ACME=30)
        self.place(ann, "sell", 20, "12.50")
        self.assertEqual(self.shares(ann), (30, 20))

    def test_it_refuses_what_is_not_paid_for_and_changes_nothing(self) -> None:
        ann = make_trader("ann", 100, ACME=5)
        self.place(ann, "buy", 9, "10")
        with self.assertRaises(InsufficientFunds):
            self.place(ann, "buy", 2, "10")
        with self.assertRaises(InsufficientShares):
            self.place(ann, "sell", 6, "10")
        self.assertEqual((self.cash(ann), self.shares(ann)), ((D(100), D(90)), (5, 0)))
        self.assertEqual(Order.objects.count(), 1)

    def test_it_does_not_sell_the_same_shares_twice_in_one_batch(self) -> None:
        ann = make_trader("ann", 0, ACME=10)
        sell = NewOrder(ann.pk, "ACME", "sell", "limit", 6, price=units(10))
        first, second = self.engine.place_orders([sell, sell])
        self.assertIsInstance(first, Order)
        self.assertIsInstance(second, InsufficientShares)
        self.assertEqual(self.shares(ann), (10, 6))

    def test_it_refuses_by_the_rules_of_the_stock(self) -> None:
        ann = make_trader("ann", 10**6)
        Stock.objects.filter(pk="ACME").update(lot_size=10)
        for error, price, quantity in [
            (refusals.PriceOffIncrement, "1.005", 10),
            (refusals.QuantityOffLot, "1", 15),
            (refusals.InvalidOrder, "0", 10),
            (refusals.InvalidOrder, "1000001", 10),
            (refusals.OrderTooLarge, "1000000", 10**7),
            (refusals.QuantityOffLot, "1", 0),
        ]:
            with self.subTest(error=error, price=price), self.assertRaises(error):
                self.place(ann, "buy", quantity, price)
        with self.assertRaises(UnknownStock):
            self.place(ann, "buy", 1, "1", stock_id="NONE")
        with self.assertRaises(refusals.BoundsCrossed):
            self.place_bounded(ann, "buy", 10, "3", "2")
        with self.assertRaises(refusals.NoReferencePrice):
            self.place(ann, "buy", 10)
        self.assertEqual(self.cash(ann), (D(10**6), D(0)))

    def test_it_refuses_a_user_who_is_not_there(self) -> None:
        with self.assertRaises(refusals.UnknownUser):
            self.engine.place_order(NewOrder(424242, "ACME", "buy", "limit", 1, price=units(1)))

    def test_it_returns_the_same_order_for_a_repeated_request(self) -> None:
        ann = make_trader("ann", 1000)
        first = self.place(ann, "buy", 5, "10", client_order_id="a-1")
        again = self.place(ann, "buy", 5, "10", client_order_id="a-1")
        self.assertEqual(first.order_id, again.order_id)
        self.assertEqual(self.cash(ann), (D(1000), D(50)))
        with self.assertRaises(refusals.DuplicateClientOrderId):
            self.place(ann, "buy", 6, "10", client_order_id="a-1")
        bob = make_trader("bob", 1000)
        self.assertNotEqual(self.place(bob, "buy", 5, "10", client_order_id="a-1").order_id, first.order_id)

    def test_it_recognises_a_repeat_within_one_batch(self) -> None:
        ann = make_trader("ann", 1000)
        buy = NewOrder(ann.pk, "ACME", "buy", "limit", 5, price=units(10), client_order_id="x")
        first, second = self.engine.place_orders([buy, buy])
        assert isinstance(first, Order) and isinstance(second, Order)
        self.assertEqual(first.order_id, second.order_id)
        self.assertEqual(Order.objects.count(), 1)


class Matching(MarketTestCase):
    def test_it_trades_at_the_makers_price_and_frees_the_difference(self) -> None:
        ann, bob = make_trader("ann", 1000), make_trader("bob", 0, ACME=100)
        self.place(bob, "sell", 10, "9")
        bought = self.place(ann, "buy", 10, "10")
        self.assertEqual((bought.status, bought.traded_value), ("FILLED", D(90)))
        self.assertEqual((self.cash(ann), self.shares(ann)), ((D(910), D(0)), (10, 0)))
        self.assertEqual((self.cash(bob), self.shares(bob)), ((D(90), D(0)), (90, 0)))

    def test_it_writes_trade_ledger_and_events_with_one_sequence(self) -> None:
        ann, bob = make_trader("ann", 1000), make_trader("bob", 0, ACME=100)
        sold = self.place(bob, "sell", 10, "9")
        bought = self.place(ann, "buy", 4, "9")
        trade = Trade.objects.get()
        self.assertEqual((trade.bid_order_id, trade.ask_order_id), (bought.order_id, sold.order_id))
        self.assertEqual(
            (trade.price, trade.quantity, trade.source, trade.taker_side), (D(9), 4, "book", "buy")
        )
        events = list(OrderEvent.objects.order_by("sequence").values_list("sequence", "kind"))
        self.assertEqual((events, trade.sequence), ([(1, "entered"), (2, "entered")], 3))
        self.assertEqual(Stock.objects.get().sequence, 3)
        lines = LedgerEntry.objects.filter(kind="trade").order_by("id")
        self.assertEqual(
            [(line.account_id, line.amount, line.balance_after, line.reference) for line in lines],
            [(ann.pk, D(-36), D(964), "ACME:3"), (bob.pk, D(36), D(36), "ACME:3")],
        )

    def test_it_keeps_the_average_cost_of_a_holding(self) -> None:
        ann, bob = make_trader("ann", 1000), make_trader("bob", 1000, ACME=100)
        self.place(bob, "sell", 3, "10")
        self.place(bob, "sell", 1, "12")
        self.place(ann, "buy", 4, "12")
        self.assertEqual(Holding.objects.get(user=ann).cost, D(42))
        self.place(ann, "sell", 1, "5")
        self.place(bob, "buy", 1, "5")
        self.assertEqual(Holding.objects.get(user=ann).cost, D("31.5"))

    def test_it_ends_what_a_market_order_could_not_trade(self) -> None:
        ann, bob = make_trader("ann", 1000), make_trader("bob", 0, ACME=100)
        self.tick("10", 0)
        self.place(bob, "sell", 5, "10.50")
        self.place(bob, "sell", 5, "11.01")
        order = self.place(ann, "buy", 10)
        self.assertEqual((order.status, order.reason), ("CANCELLED", "no_liquidity"))
        self.assertEqual((order.traded_quantity, order.remaining_quantity), (5, 0))
        self.assertEqual(self.cash(ann), (D("947.5"), D(0)))

    def test_it_frees_the_reservation_of_a_cancelled_order(self) -> None:
        ann, bob = make_trader("ann", 1000), make_trader("bob", 0, ACME=100)
        order = self.place(ann, "buy", 10, "10")
        self.place(bob, "sell", 4, "10")
        cancelled = self.engine.cancel_order(order.order_id, ann.pk)
        self.assertEqual((cancelled.status, cancelled.traded_quantity), ("CANCELLED", 4))
        self.assertEqual(self.cash(ann), (D(960), D(0)))
        with self.assertRaises(refusals.OrderNotOpen):
            self.engine.cancel_order(order.order_id, ann.pk)

    def test_it_does_not_cancel_somebody_elses_order(self) -> None:
        ann, bob = make_trader("ann", 1000), make_trader("bob", 0)
        order = self.place(ann, "buy", 10, "10")
        with self.assertRaises(refusals.UnknownOrder):
            self.engine.cancel_order(order.order_id, bob.pk)
        with self.assertRaises(refusals.UnknownOrder):
            self.engine.cancel_order(UUID(int=7))

    def test_it_cancels_all_orders_of_one_side(self) -> None:
        ann = make_trader("ann", 1000, ACME=50)
        for price in ("5", "6"):
            self.place(ann, "buy", 1, price)
        self.place(ann, "sell", 1, "20")
        self.assertEqual(self.engine.cancel_orders(ann.pk, side="buy"), 2)
        self.assertEqual((self.cash(ann), self.shares(ann)), ((D(1000), D(0)), (50, 1)))
        self.assertEqual(self.engine.cancel_orders(ann.pk, stock_id="ACME"), 1)

    def test_it_takes_only_cancels_while_halted(self) -> None:
        ann = make_trader("ann", 1000)
        order = self.place(ann, "buy", 1, "5")
        self.assertTrue(self.engine.halt("ACME"))
        self.assertFalse(self.engine.halt("ACME"))
        with self.assertRaises(refusals.MarketHalted):
            self.place(ann, "buy", 1, "5")
        self.tick("4", 100)
        self.assertEqual(self.engine.cancel_order(order.order_id).status, "CANCELLED")
        self.assertTrue(self.engine.resume("ACME"))
        self.assertEqual(self.place(ann, "buy", 1, "5").status, "ACTIVE")

    def test_it_rejects_an_order_that_arrives_at_a_halt(self) -> None:
        ann = make_trader("ann", 1000)
        self.engine.halt("ACME")
        # Reserved before the halt was seen, matched after it.
        Stock.objects.update(status="open")
        with mock.patch("trade.engine.books._take_over_stock"):
            order = self.place(ann, "buy", 1, "5")
        self.assertEqual((order.status, order.reason), ("REJECTED", "market_halted"))
        self.assertEqual(self.cash(ann), (D(1000), D(0)))

    def test_it_expires_orders_that_are_good_for_the_day(self) -> None:
        ann = make_trader("ann", 1000)
        day = self.place(ann, "buy", 1, "5", time_in_force="day")
        self.place(ann, "buy", 1, "5")
        self.assertEqual(self.engine.expire_day_orders("ACME"), 1)
        day.refresh_from_db()
        self.assertEqual((day.status, self.cash(ann)), ("EXPIRED", (D(1000), D(5))))


class Ticking(MarketTestCase):
    def test_it_fills_a_bounded_order_tick_by_tick(self) -> None:
        ann = make_trader("ann", 5000)
        order = self.place_bounded(ann, "buy", 100, "0.01", "20")
        self.assertEqual(self.cash(ann), (D(5000), D(2000)))
        self.assertEqual(self.tick("20", 50).trades, 1)
        order.refresh_from_db()
        self.assertEqual((order.status, order.traded_quantity), ("PARTIALLY_FILLED", 50))
        self.assertEqual((self.cash(ann), self.shares(ann)), ((D(4000), D(1000)), (50, 0)))
        self.tick("19", 500)
        order.refresh_from_db()
        self.assertEqual((order.status, order.traded_value), ("FILLED", D(1950)))
        self.assertEqual((self.cash(ann), self.shares(ann)), ((D(3050), D(0)), (100, 0)))

    def test_it_shares_out_the_availability_of_a_tick_once(self) -> None:
        ann, bob = make_trader("ann", 5000), make_trader("bob", 5000)
        self.place_bounded(ann, "buy", 40, "1", "20")
        self.place(bob, "buy", 40, "20")
        self.tick("20", 50)
        self.assertEqual((self.shares(ann)[0], self.shares(bob)[0]), (40, 10))

    def test_it_stores_a_repeated_tick_once(self) -> None:
        at = timezone.now()
        self.assertEqual(self.tick("20", 50, at=at).stored, 1)
        self.assertEqual(self.tick("20", 50, at=at).duplicate, 1)
        twice = [FeedTick("ACME", units(21), 5, at + timedelta(seconds=1))] * 2
        self.assertEqual(self.engine.apply_ticks(twice).result(0).duplicate, 1)
        self.assertEqual(Tick.objects.count(), 2)

    def test_it_keeps_a_late_tick_as_history_only(self) -> None:
        ann = make_trader("ann", 5000)
        self.place(ann, "buy", 10, "5")
        self.tick("20", 50, at=NOON)
        report = self.tick("4", 50, at=NOON - timedelta(seconds=90))
        self.assertEqual((report.late, report.trades), (1, 0))
        self.assertTrue(Tick.objects.get(price=D(4)).is_late)
        stock = Stock.objects.get()
        self.assertEqual((stock.last_price, stock.last_tick_at, stock.lowest_price), (D(20), NOON, D(4)))

    def test_it_drops_a_tick_that_is_too_far_from_the_last_price(self) -> None:
        self.tick("20", 50)
        self.assertEqual(self.tick("201", 50).refused, 1)
        self.assertEqual(self.tick("1.99", 50).refused, 1)
        self.assertEqual(self.tick("200", 50).stored, 1)

    def test_it_sums_ticks_up_in_candles_and_figures(self) -> None:
        for second, price in [(0, "10"), (59, "12"), (60, "9"), (-1, "11")]:
            self.tick(price, 5, at=NOON + timedelta(seconds=second))
        minutes = Candle.objects.filter(interval=60).order_by("start")
        self.assertEqual(
            [(c.open, c.high, c.low, c.close, c.ticks) for c in minutes],
            [(D(11), D(11), D(11), D(11), 1), (D(10), D(12), D(10), D(12), 2), (D(9), D(9), D(9), D(9), 1)],
        )
        day = Candle.objects.get(interval=86400)
        self.assertEqual((day.open, day.high, day.low, day.close, day.ticks), (D(11), D(12), D(9), D(9), 4))
        stock = Stock.objects.get()
        self.assertEqual((stock.tick_price_sum, stock.tick_count, stock.highest_price), (D(42), 4, D(12)))

    def test_it_gives_what_is_left_of_a_tick_to_later_orders(self) -> None:
        ann = make_trader("ann", 5000)
        self.tick("20", 50)
        self.assertEqual(self.place(ann, "buy", 30, "21").traded_value, D(600))
        # Another process, or this one after a restart, knows what is left.
        reset_engine()
        order = self.place(ann, "buy", 30, "21")
        self.assertEqual((order.traded_quantity, order.remaining_quantity), (20, 10))
        self.assertEqual(Stock.objects.get().quote_ask_quantity, 0)

    def test_it_fails_for_a_stock_that_is_not_listed_and_applies_the_rest(self) -> None:
        future = self.engine.apply_ticks(
            [FeedTick("NONE", units(1), 1, NOON), FeedTick("ACME", units(1), 1, NOON)]
        )
        self.assertIsInstance(future.exception(0), UnknownStock)
        self.assertEqual(Tick.objects.count(), 1)


class CatchingUp(MarketTestCase):
    """Two engines on one database, as two processes would be."""

    def setUp(self) -> None:
        super().setUp()
        self.here = get_engine()
        with mock.patch("trade.engine.gateway._engine", None):
            self.there = get_engine()

    def on(self, engine: object) -> None:
        self.enterContext(mock.patch("trade.engine.gateway._engine", engine))

    def test_it_sees_what_the_other_process_did(self) -> None:
        ann, bob = make_trader("ann", 1000), make_trader("bob", 1000, ACME=100)
        self.on(self.here)
        first = self.place(ann, "buy", 5, "10")
        self.on(self.there)
        second = self.place(ann, "buy", 5, "10")
        gone = self.place(ann, "buy", 5, "9")
        self.on(self.here)
        self.engine.cancel_order(gone.order_id)
        self.on(self.there)
        sold = self.place(bob, "sell", 7, "9")
        self.assertEqual((sold.status, sold.traded_quantity), ("FILLED", 7))
        self.on(self.here)
        self.place(bob, "sell", 5, "9")
        first.refresh_from_db()
        second.refresh_from_db()
        self.assertEqual((first.traded_quantity, second.traded_quantity), (5, 5))

    def test_it_recovers_an_order_that_was_left_pending(self) -> None:
        ann = make_trader("ann", 1000)
        long_ago = timezone.now() - timedelta(seconds=60)
        new_order = NewOrder(ann.pk, "ACME", "buy", "limit", 5, price=units(10))
        order_id = new_order_id(long_ago)
        reserve_orders(orders=[(order_id, new_order)], collar=D("0.1"), now=long_ago)
        for engine in (self.here, self.there):
            engine.sweep_orphans()
            while engine.step():
                pass
        self.assertEqual(Order.objects.get(pk=UUID(order_id)).status, "ACTIVE")
        self.assertEqual(OrderEvent.objects.count(), 1)

    def test_it_cancels_an_order_whose_match_has_not_come(self) -> None:
        ann = make_trader("ann", 1000)
        now = timezone.now()
        order_id = new_order_id(now)
        new_order = NewOrder(ann.pk, "ACME", "buy", "limit", 5, price=units(10))
        reserve_orders(orders=[(order_id, new_order)], collar=D("0.1"), now=now)
        self.assertEqual(self.engine.cancel_order(UUID(order_id)).status, "CANCELLED")
        self.assertEqual(self.cash(ann), (D(1000), D(0)))


class Trouble(MarketTestCase):
    def test_it_drops_a_book_that_is_stale_and_goes_on(self) -> None:
        ann, bob = make_trader("ann", 1000), make_trader("bob", 1000, ACME=100)
        self.place(ann, "buy", 5, "10")
        Order.objects.update(sequence=99)
        self.assertEqual(self.place(bob, "sell", 5, "10").status, "FILLED")

    def test_it_refuses_only_the_command_that_cannot_be_stored(self) -> None:
        ann = make_trader("ann", 1000)
        bad = FeedTick("ACME", -5, 1, NOON)
        with mock.patch.object(self.engine, "_work_inline"):
            bad_future = self.engine.apply_ticks([bad])
            good_future = self.engine.apply_ticks([FeedTick("ACME", units(5), 1, NOON)])
            order_future = self.engine.submit_order(
                NewOrder(ann.pk, "ACME", "buy", "limit", 1, price=units(4))
            )
        with self.assertLogs("trade.engine", "WARNING"):
            while self.engine.step():
                pass
        self.assertIsNotNone(bad_future.exception(0))
        self.assertEqual(good_future.result(0).stored, 1)
        self.assertEqual(order_future.result(0).status, "ACTIVE")

    def test_it_answers_everybody_when_it_stops(self) -> None:
        ann = make_trader("ann", 1000)
        with mock.patch.object(self.engine, "_work_inline"):
            future = self.engine.submit_order(NewOrder(ann.pk, "ACME", "buy", "limit", 1, price=units(4)))
        self.engine.stop()
        self.assertIsInstance(future.exception(0), refusals.EngineBusy)
        with self.assertRaises(refusals.EngineBusy):
            self.place(ann, "buy", 1, "4")

    def test_it_turns_callers_away_when_too_much_waits(self) -> None:
        ann = make_trader("ann", 1000)
        buy = NewOrder(ann.pk, "ACME", "buy", "limit", 1, price=units(4))
        with (
            mock.patch("trade.engine.lanes.MAX_WAITING", 2),
            mock.patch.object(self.engine, "_work_inline"),
        ):
            self.engine.submit_entry([Placement.of(buy), Placement.of(buy)])
            with self.assertRaises(refusals.EngineBusy):
                self.engine.submit_entry([Placement.of(buy)])
        self.assertEqual(self.engine.status()["waiting"], 2)

    def test_it_takes_back_an_order_that_nobody_took_in_time(self) -> None:
        ann = make_trader("ann", 1000)
        buy = NewOrder(ann.pk, "ACME", "buy", "limit", 1, price=units(4))
        with mock.patch.object(self.engine, "_work_inline"), self.assertRaises(refusals.EngineBusy):
            self.engine.place_order(buy, timeout_s=0)
        while self.engine.step():
            pass
        self.assertEqual(Order.objects.count(), 0)

    def test_it_reports_what_broke(self) -> None:
        ann = make_trader("ann", 1000)
        with (
            mock.patch("trade.engine.entry.reserve_orders", side_effect=OperationalError("gone")),
            self.assertLogs("trade.engine", "ERROR"),
            self.assertRaises(OperationalError),
        ):
            self.place(ann, "buy", 1, "4")
        self.assertIn("gone", self.engine.status()["last_error"])
        self.assertEqual(self.engine._lanes.waiting().get(ENTRY_LANE, 0), 0)


class News(MarketTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.batches: list[CommittedBatch] = []
        batch_committed.connect(self.hear)
        self.addCleanup(batch_committed.disconnect, self.hear)

    def hear(self, *, batch: CommittedBatch, **_: object) -> None:
        self.batches.append(batch)

    def test_it_tells_of_trades_orders_and_the_book(self) -> None:
        ann, bob = make_trader("ann", 1000), make_trader("bob", 0, ACME=100)
        self.place(bob, "sell", 10, "9")
        self.place(ann, "buy", 4, "9")
        first, second = self.batches
        self.assertEqual((first.first_sequence, first.sequence, first.trades), (1, 1, ()))
        self.assertEqual((second.first_sequence, second.sequence), (2, 3))
        self.assertEqual((second.previous_trade_sequence, second.trade_sequence), (0, 3))
        (trade,) = second.trades
        self.assertEqual(trade.trade_id, Trade.objects.get().trade_id)
        self.assertEqual(
            [(level.price, level.quantity, level.orders) for level in second.book.asks], [(90000, 6, 1)]
        )
        self.assertEqual({order.status for order in second.orders}, {"FILLED", "PARTIALLY_FILLED"})

    def test_it_is_silent_when_nothing_happened(self) -> None:
        self.tick("5", 1, at=NOON)
        self.batches.clear()
        self.tick("5", 1, at=NOON)
        self.assertEqual(self.batches, [])

    def test_it_goes_on_when_a_listener_breaks(self) -> None:
        def broken(**_: object) -> None:
            raise RuntimeError("listener")

        batch_committed.connect(broken)
        self.addCleanup(batch_committed.disconnect, broken)
        with self.assertLogs("django.dispatch", "ERROR"):
            self.assertEqual(self.tick("5", 1).stored, 1)


@override_settings(ENGINE_THREADS=0)
class TheOneEngine(MarketTestCase):
    def test_it_is_the_same_until_it_is_reset(self) -> None:
        engine = get_engine()
        self.assertIs(get_engine(), engine)
        reset_engine()
        self.assertIsNot(get_engine(), engine)
