"""Stops, icebergs, post-only, expiry, replace, fees and baskets, through the engine and the database."""

from collections.abc import Callable
from concurrent.futures import Future
from datetime import timedelta
from decimal import Decimal as D
from unittest import mock

from django.utils import timezone

from stocks.models import Holding, Stock
from stocks.services.holdings import InsufficientShares
from trade.engine import reset_engine
from trade.engine.entry import BasketRefused, ChangeRequest
from trade.models import Order, OrderEvent, PendingChange, Trade
from trade.selectors.audit import run_audit
from trade.services import refusals
from trade.services.order_rules import NewOrder
from trade.services.replacement import Change, hold_for_change
from trade.tests.base import MarketTestCase, make_trader, units
from users.models import LedgerEntry, User
from users.services.cash import InsufficientFunds


class OrderTypeTestCase(MarketTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.ann = make_trader("ann", 10_000, ACME=100)
        self.bob = make_trader("bob", 10_000, ACME=1_000)

    def tearDown(self) -> None:
        self.assertEqual([str(finding) for finding in run_audit() if not finding.holds], [])

    def order(self, order: Order) -> Order:
        return Order.objects.get(pk=order.pk)

    def drain(self) -> None:
        """Cancel all there is: nothing may stay reserved."""
        for user in User.objects.all():
            self.engine.cancel_orders(user.pk)
            self.assertEqual((self.cash(user)[1], self.shares(user)[1]), (D(0), 0))


class Stops(OrderTypeTestCase):
    def test_it_waits_for_its_stop_and_survives_a_restart(self) -> None:
        self.tick("10", 0)
        stop = self.place(self.ann, "buy", 5, type="stop", stop_price="11")
        self.assertEqual((stop.status, self.cash(self.ann)[1]), ("ACTIVE", D("60.5")))
        self.place(self.bob, "sell", 5, "11.50")
        reset_engine()
        self.tick("11", 0)
        self.assertEqual((self.order(stop).status, self.order(stop).traded_value), ("FILLED", D("57.5")))
        kinds = OrderEvent.objects.filter(order=stop).values_list("kind", flat=True)
        self.assertEqual(list(kinds), ["entered", "triggered"])

    def test_it_rests_a_stop_limit_once_it_is_triggered(self) -> None:
        self.tick("10", 0)
        stop = self.place(self.ann, "sell", 5, "9", type="stop_limit", stop_price="9.50")
        self.tick("9.40", 0)
        reset_engine()
        self.place(self.bob, "buy", 5, "9")
        self.assertEqual(self.order(stop).status, "FILLED")

    def test_it_shows_a_waiting_stop_to_nobody(self) -> None:
        from trade.selectors.book import order_book

        self.tick("10", 0)
        self.place(self.ann, "sell", 5, "9", type="stop_limit", stop_price="9.50")
        self.assertEqual(order_book("ACME").asks, ())
        self.drain()


class Icebergs(OrderTypeTestCase):
    def test_it_shows_a_slice_and_holds_all(self) -> None:
        from trade.selectors.book import order_book

        iceberg = self.place(self.ann, "sell", 50, "10", display_quantity=20)
        self.assertEqual(self.shares(self.ann), (100, 50))
        self.assertEqual(order_book("ACME").asks[0].quantity, 20)
        self.place(self.bob, "sell", 5, "10")
        reset_engine()
        self.place(self.bob, "buy", 20, "10")
        self.assertEqual(order_book("ACME").asks[0].quantity, 25)
        self.assertEqual(self.order(iceberg).remaining_quantity, 30)
        self.drain()

    def test_it_queues_the_next_slice_behind_the_others(self) -> None:
        carl = make_trader("carl", 0, ACME=10)
        iceberg = self.place(self.ann, "sell", 50, "10", display_quantity=20)
        other = self.place(carl, "sell", 10, "10")
        self.place(self.bob, "buy", 20, "10")
        reset_engine()
        self.place(self.bob, "buy", 10, "10")
        self.assertEqual((self.order(iceberg).traded_quantity, self.order(other).status), (20, "FILLED"))

    def test_it_is_filled_to_the_end_slice_by_slice(self) -> None:
        by_users = self.place(self.ann, "sell", 50, "10", display_quantity=20)
        self.place(self.bob, "buy", 50, "10")
        by_the_feed = self.place(self.ann, "sell", 50, "10", display_quantity=20)
        self.tick("10", 50)
        for order in (by_users, by_the_feed):
            self.assertEqual((self.order(order).status, self.order(order).shown_quantity), ("FILLED", 0))

    def test_it_may_be_filled_on_the_way_to_a_new_price(self) -> None:
        iceberg = self.place(self.ann, "sell", 50, "10", display_quantity=20)
        self.place(self.bob, "buy", 70, "9")
        changed = self.engine.replace_order(iceberg.pk, self.ann.pk, price=units(9))
        self.assertEqual(changed.status, "FILLED")


class PostOnly(OrderTypeTestCase):
    def test_it_rejects_what_would_trade(self) -> None:
        self.place(self.bob, "sell", 5, "10")
        order = self.place(self.ann, "buy", 5, "10", post_only=True)
        self.assertEqual((order.status, order.reason), ("REJECTED", "post_only"))
        self.assertEqual(self.cash(self.ann), (D(10_000), D(0)))
        self.assertEqual(self.place(self.ann, "buy", 5, "9.99", post_only=True).status, "ACTIVE")


class SelfTrades(OrderTypeTestCase):
    def test_it_keeps_a_record_of_what_was_prevented(self) -> None:
        resting = self.place(self.ann, "sell", 5, "10")
        taker = self.place(self.ann, "buy", 8, "10")
        self.assertEqual((taker.status, taker.reason), ("CANCELLED", "self_trade"))
        event = OrderEvent.objects.get(kind="prevented")
        self.assertEqual((event.order_id, event.other_order_id, event.quantity), (taker.pk, resting.pk, 5))
        self.drain()

    def test_it_decrements_both(self) -> None:
        resting = self.place(self.ann, "sell", 5, "10")
        taker = self.place(self.ann, "buy", 8, "10", self_trade_prevention="decrement")
        self.assertEqual((self.order(resting).status, taker.remaining_quantity), ("CANCELLED", 3))
        self.assertEqual((self.cash(self.ann)[1], self.shares(self.ann)[1]), (D(30), 0))
        self.assertEqual(Trade.objects.count(), 0)

    def test_it_lets_the_maker_give_way(self) -> None:
        resting = self.place(self.ann, "sell", 5, "10")
        self.place(self.bob, "sell", 5, "10")
        taker = self.place(self.ann, "buy", 5, "10", self_trade_prevention="expire_maker")
        self.assertEqual((self.order(resting).status, taker.status), ("CANCELLED", "FILLED"))


class GoodTill(OrderTypeTestCase):
    def test_it_expires_at_its_time_exactly_once(self) -> None:
        until = timezone.now() + timedelta(seconds=30)
        order = self.place(self.ann, "buy", 5, "10", time_in_force="gtd", expires_at=until)
        self.engine.expire_due_orders()
        self.assertFalse(self.engine.step())
        with mock.patch("django.utils.timezone.now", return_value=until):
            self.engine.expire_due_orders()
            self.engine.expire_due_orders()
            while self.engine.step():
                pass
        self.assertEqual((self.order(order).status, self.order(order).reason), ("EXPIRED", "gtd"))
        self.assertEqual(
            (self.cash(self.ann)[1], OrderEvent.objects.filter(kind="expired").count()), (D(0), 1)
        )


class Replacing(OrderTypeTestCase):
    def replace(self, order: Order, price: str | None = None, quantity: int | None = None) -> Order:
        new_price = None if price is None else units(price)
        return self.engine.replace_order(order.pk, order.user_id, price=new_price, quantity=quantity)

    def test_it_keeps_its_place_for_less(self) -> None:
        first = self.place(self.ann, "buy", 10, "10")
        second = self.place(self.bob, "buy", 10, "10")
        changed = self.replace(first, quantity=4)
        self.assertEqual(
            (changed.quantity, changed.remaining_quantity, self.cash(self.ann)[1]), (4, 4, D(40))
        )
        carl = make_trader("carl", 0, ACME=5)
        self.place(carl, "sell", 5, "10")
        self.assertEqual((self.order(first).status, self.order(second).traded_quantity), ("FILLED", 1))

    def test_it_goes_to_the_end_for_more_and_links_the_events(self) -> None:
        first = self.place(self.ann, "buy", 5, "10")
        second = self.place(self.bob, "buy", 5, "10")
        self.assertEqual(self.replace(first, quantity=8).remaining_quantity, 8)
        self.assertEqual(self.cash(self.ann)[1], D(80))
        again = self.replace(first, price="11")
        self.assertEqual((again.price, self.cash(self.ann)[1]), (D(11), D(88)))
        self.assertEqual(self.replace(first, price="10").price, D(10))
        carl = make_trader("carl", 0, ACME=5)
        self.place(carl, "sell", 5, "10")
        self.assertEqual((self.order(second).status, self.order(first).traded_quantity), ("FILLED", 0))
        events = OrderEvent.objects.filter(order=first).order_by("sequence")
        self.assertEqual([event.replaces for event in events], [None, *[e.sequence for e in events][:-1]])
        self.drain()

    def test_it_may_trade_at_its_new_price(self) -> None:
        self.place(self.bob, "sell", 5, "11")
        order = self.place(self.ann, "buy", 5, "10")
        self.assertEqual(self.replace(order, price="11").status, "FILLED")

    def test_it_refuses_without_a_change(self) -> None:
        order = self.place(self.ann, "buy", 100, "10")
        self.place(self.bob, "sell", 10, "10")
        for error, change in [
            (InsufficientFunds, {"price": "150"}),
            (refusals.QuantityBelowTraded, {"quantity": 9}),
            (refusals.PriceOffIncrement, {"price": "10.001"}),
            (refusals.QuantityOffLot, {"quantity": 0}),
        ]:
            with self.subTest(error=error), self.assertRaises(error):
                self.replace(order, **change)  # type: ignore[arg-type]
        with self.assertRaises(refusals.UnknownOrder):
            self.engine.replace_order(order.pk, self.bob.pk, quantity=50)
        self.assertEqual((self.order(order).quantity, self.cash(self.ann)), (100, (D(9_900), D(900))))

    def test_it_ends_as_filled_when_nothing_is_left(self) -> None:
        order = self.place(self.ann, "buy", 100, "10")
        self.place(self.bob, "sell", 10, "10")
        done = self.replace(order, quantity=10)
        self.assertEqual((done.status, done.remaining_quantity, self.cash(self.ann)[1]), ("FILLED", 0, D(0)))
        with self.assertRaises(refusals.OrderNotOpen):
            self.replace(order, quantity=20)

    def test_it_holds_more_shares_for_a_bigger_sell(self) -> None:
        order = self.place(self.ann, "sell", 50, "10")
        self.assertEqual(self.replace(order, quantity=90).remaining_quantity, 90)
        self.assertEqual(self.shares(self.ann), (100, 90))
        with self.assertRaises(InsufficientShares):
            self.replace(order, quantity=101)

    def test_it_frees_what_a_dead_process_held_for_a_change(self) -> None:
        order = self.place(self.ann, "buy", 10, "10")
        long_ago = timezone.now() - timedelta(minutes=1)
        hold_for_change(Change(order.pk.hex, self.ann.pk, quantity=20), now=long_ago)
        self.assertEqual(self.cash(self.ann)[1], D(200))
        self.engine.sweep_orphans()
        while self.engine.step():
            pass
        self.assertEqual((self.cash(self.ann)[1], PendingChange.objects.count()), (D(100), 0))

    def test_it_frees_the_hold_of_a_change_that_came_too_late(self) -> None:
        order = self.place(self.ann, "buy", 10, "10")
        with mock.patch.object(self.engine, "_work_inline"):
            request = ChangeRequest(Change(order.pk.hex, self.ann.pk, quantity=20), Future())
            self.engine.submit_entry([request])
            self.engine.step()
        self.assertEqual(PendingChange.objects.count(), 1)
        with mock.patch("trade.engine.gateway._engine", None):
            self.place(self.bob, "sell", 10, "10")
        self.engine.step()
        self.assertIsInstance(request.future.exception(0), refusals.OrderNotOpen)
        self.assertEqual((self.cash(self.ann), PendingChange.objects.count()), ((D(9_900), D(0)), 0))

    def together(self, *steps: Callable[[], object]) -> list[Future[object]]:
        """Queue commands so that they share one batch of the stock's lane."""
        with mock.patch.object(self.engine, "_work_inline"):
            futures = [step() for step in steps]
            self.engine.step()
        while self.engine.step():
            pass
        return futures  # type: ignore[return-value]

    def change(self, order: Order, price: str | None, quantity: int) -> Future[object]:
        request = ChangeRequest(
            Change(order.pk.hex, order.user_id, None if price is None else units(price), quantity), Future()
        )
        self.engine.submit_entry([request])
        return request.future

    def sell(self, quantity: int, price: str) -> Future[object]:
        return self.engine.submit_order(
            NewOrder(self.bob.pk, "ACME", "sell", "limit", quantity, price=units(price))
        )

    def test_it_does_not_count_on_what_was_spent_in_the_same_batch(self) -> None:
        poor = make_trader("poor", 100)
        order = self.place(poor, "buy", 10, "10")
        _, changed = self.together(lambda: self.sell(9, "10"), lambda: self.change(order, "5", 20))
        self.assertIsInstance(changed.exception(0), InsufficientFunds)
        self.assertEqual((self.cash(poor), self.order(order).quantity), ((D(10), D(10)), 10))

    def test_it_frees_the_hold_when_the_order_is_filled_in_the_same_batch(self) -> None:
        order = self.place(self.ann, "buy", 10, "10")
        _, changed = self.together(lambda: self.sell(10, "10"), lambda: self.change(order, None, 20))
        self.assertIsInstance(changed.exception(0), refusals.OrderNotOpen)
        self.assertEqual((self.cash(self.ann), PendingChange.objects.count()), ((D(9_900), D(0)), 0))


class Fees(OrderTypeTestCase):
    def setUp(self) -> None:
        super().setUp()
        Stock.objects.update(maker_fee_bps=10, taker_fee_bps=25)

    def test_it_books_the_makers_and_the_takers_fee(self) -> None:
        self.place(self.bob, "sell", 10, "10")
        self.assertEqual(self.place(self.ann, "buy", 10, "10.50").status, "FILLED")
        trade = Trade.objects.get()
        self.assertEqual((trade.buyer_fee, trade.seller_fee), (D("0.25"), D("0.1")))
        self.assertEqual(self.cash(self.ann), (D("9899.75"), D(0)))
        self.assertEqual(self.cash(self.bob), (D("10099.9"), D(0)))
        self.assertEqual(LedgerEntry.objects.filter(kind="fee").count(), 2)

    def test_it_holds_the_fee_with_the_price(self) -> None:
        self.place(self.ann, "buy", 10, "10")
        self.assertEqual(self.cash(self.ann)[1], D("100.25"))
        Stock.objects.update(taker_fee_bps=1_000)
        self.tick("9.99", 3)
        self.drain()

    def test_it_never_charges_more_than_it_held(self) -> None:
        poor = make_trader("poor", "3.0075")
        self.place(poor, "buy", 3, "1")
        for _ in range(3):
            self.place(self.bob, "sell", 1, "1")
        self.assertEqual(self.cash(poor)[1], D(0))
        self.assertEqual(Holding.objects.get(user=poor).quantity, 3)


class Baskets(OrderTypeTestCase):
    def leg(self, user: User, side: str, quantity: int, price: str, stock_id: str = "ACME") -> NewOrder:
        return NewOrder(user.pk, stock_id, side, "limit", quantity, price=units(price))

    def test_it_reserves_all_or_none(self) -> None:
        Stock.objects.create(stock_id="BEAN", name="Bean")
        legs = [self.leg(self.ann, "buy", 10, "10"), self.leg(self.ann, "buy", 10, "20", "BEAN")]
        placed = self.engine.place_basket(legs)
        self.assertEqual([order.status for order in placed], ["ACTIVE", "ACTIVE"])
        with self.assertRaises(BasketRefused) as refused:
            self.engine.place_basket([*legs, self.leg(self.ann, "sell", 101, "30")])
        self.assertEqual((refused.exception.leg, refused.exception.code), (2, "insufficient_shares"))
        self.assertEqual((self.cash(self.ann)[1], Order.objects.count()), (D(300), 2))

    def test_it_previews_without_a_trace(self) -> None:
        fine, broken = self.engine.preview_orders(
            [self.leg(self.ann, "buy", 10, "10"), self.leg(self.ann, "buy", 10, "1000")]
        )
        self.assertEqual(getattr(fine, "hold", None), units(100))
        self.assertIsInstance(broken, InsufficientFunds)
        self.assertEqual((self.cash(self.ann)[1], Order.objects.count()), (D(0), 0))


class StockRules(OrderTypeTestCase):
    def test_it_refuses_by_each_rule_of_the_stock(self) -> None:
        self.tick("10", 0)
        Stock.objects.update(
            min_quantity=5, max_quantity=50, min_notional=D(60), max_notional=D(400), price_collar_bps=500
        )
        for error, quantity, price in [
            (refusals.QuantityOutOfRange, 4, "10"),
            (refusals.QuantityOutOfRange, 51, "10"),
            (refusals.NotionalOutOfRange, 5, "10"),
            (refusals.NotionalOutOfRange, 41, "10"),
            (refusals.PriceOutsideCollar, 20, "10.51"),
            (refusals.PriceOutsideCollar, 20, "9.49"),
        ]:
            with self.subTest(quantity=quantity, price=price), self.assertRaises(error):
                self.place(self.ann, "buy", quantity, price)
        self.assertEqual(self.place(self.ann, "buy", 20, "10.50").status, "ACTIVE")
        self.drain()

    def test_it_refuses_terms_that_do_not_go_together(self) -> None:
        self.tick("10", 0)
        soon = timezone.now() + timedelta(hours=1)
        for field, words in [
            ("expires_at", {"time_in_force": "gtd"}),
            ("expires_at", {"expires_at": soon}),
            ("expires_at", {"time_in_force": "gtd", "expires_at": timezone.now() - timedelta(seconds=1)}),
            ("post_only", {"post_only": True, "time_in_force": "ioc"}),
            ("stop_price", {"stop_price": "11"}),
            ("stop_price", {"type": "stop_limit"}),
            ("display_quantity", {"display_quantity": 10}),
            ("display_quantity", {"display_quantity": 5, "time_in_force": "fok"}),
        ]:
            with self.subTest(words=words), self.assertRaises(refusals.InvalidOrder) as refused:
                self.place(self.ann, "buy", 10, "10", **words)
            self.assertEqual(refused.exception.field, field)
