"""Faults put into the engine one by one: commits whose answer is lost, poisoned orders, stops."""

import sqlite3
import threading
import time
from collections.abc import Callable
from datetime import datetime, timedelta
from decimal import Decimal as D
from typing import Any
from unittest import mock
from uuid import UUID

from django.db import OperationalError, connection, transaction
from django.db.backends.base.base import BaseDatabaseWrapper
from django.test import TransactionTestCase, override_settings, tag
from django.utils import timezone

from stocks.models import Stock, Tick
from stocks.services.ticks import FeedTick
from trade.engine import MarketEngine, get_engine, reset_engine
from trade.engine.entry import Placement
from trade.models import Order, OrderEvent
from trade.selectors.audit import run_audit
from trade.services.order_rules import NewOrder
from trade.services.refusals import EngineBusy, OutcomeUnknown
from trade.services.reservation import Repeated, new_order_id, reserve_orders
from trade.services.settlement import settle
from trade.tests.base import NOON, MarketTestCase, make_trader, units
from users.models import CashAccount, User


def offenders() -> list[str]:
    return [str(finding) for finding in run_audit() if not finding.holds]


def reserve_only(user: User, now: datetime, **words: Any) -> str:
    """Store a buy as a process leaves it that dies between its two commits."""
    order_id = new_order_id(now)
    new_order = NewOrder(user.pk, "ACME", "buy", "limit", 5, price=units(10), **words)
    reserve_orders(orders=[(order_id, new_order)], collar=D("0.1"), now=now)
    return order_id


class Poison(MarketTestCase):
    """One order that breaks, among others that do not."""

    def test_it_fails_only_the_order_that_cannot_be_reserved(self) -> None:
        ann = make_trader("ann", 1000)
        good = NewOrder(ann.pk, "ACME", "buy", "limit", 1, price=units(4))
        bad = NewOrder(ann.pk, "ACME", "buy", "limit", 1, price="4")  # type: ignore[arg-type]
        with mock.patch.object(self.engine, "_work_inline"):
            placements = [Placement.of(new_order) for new_order in (good, bad, good)]
            self.engine.submit_entry(placements)
            futures = [placement.future for placement in placements]
        with self.assertLogs("trade.engine", "WARNING"):
            while self.engine.step():
                pass
        self.assertIsInstance(futures[1].exception(0), TypeError)
        self.assertEqual([futures[n].result(0).status for n in (0, 2)], ["ACTIVE", "ACTIVE"])
        self.assertEqual(offenders(), [])

    def test_it_recovers_the_other_orders_left_behind(self) -> None:
        ann, bob = make_trader("ann", 1000), make_trader("bob", 1000)
        long_ago = timezone.now() - timedelta(seconds=60)
        # Ending it at once would release what the account, wrongly, does not hold.
        bad = reserve_only(ann, long_ago, time_in_force="fok")
        good = reserve_only(bob, long_ago)
        CashAccount.objects.filter(user=ann).update(reserved=0)
        self.engine.sweep_orphans()
        with self.assertLogs("trade.engine", "ERROR"):
            while self.engine.step():
                pass
        self.assertEqual(Order.objects.get(pk=UUID(bad)).status, "PENDING")
        self.assertEqual(Order.objects.get(pk=UUID(good)).status, "ACTIVE")

    def test_it_cannot_be_poisoned_by_the_name_of_a_stock(self) -> None:
        ann = make_trader("ann", 1000)
        with mock.patch.object(self.engine, "_work_inline"):
            order = self.engine.submit_order(NewOrder(ann.pk, "ACME", "buy", "limit", 1, price=units(4)))
            nothing = self.engine.apply_ticks([FeedTick("", 1, 1, NOON)])
        while self.engine.step():
            pass
        self.assertEqual(order.result(0).status, "ACTIVE")
        self.assertIsNotNone(nothing.exception(0))


class LostReservations(MarketTestCase):
    """A reservation does not wait for the disk: a crash of the database may undo it."""

    def test_it_refuses_what_is_not_stored_any_more(self) -> None:
        ann, bob = make_trader("ann", 1000), make_trader("bob", 1000)
        with mock.patch.object(self.engine, "_work_inline"):
            futures = [
                self.engine.submit_order(NewOrder(user.pk, "ACME", "buy", "limit", 1, price=units(4)))
                for user in (ann, bob)
            ]
        self.engine.step()
        Order.objects.filter(user=ann).delete()
        CashAccount.objects.filter(user=ann).update(reserved=0)
        while self.engine.step():
            pass
        self.assertIsInstance(futures[0].exception(0), EngineBusy)
        self.assertEqual(futures[1].result(0).status, "ACTIVE")
        self.assertEqual(offenders(), [])

    def test_it_waits_for_the_disk_before_it_says_pending(self) -> None:
        ann = make_trader("ann", 1000)
        broken = mock.patch("trade.engine.matching.run_batch", side_effect=RuntimeError("defect"))
        with mock.patch("trade.engine.gateway.wait_for_disk") as wait_for_disk:
            self.place(ann, "buy", 1, "4")
            wait_for_disk.assert_not_called()
            with broken, self.assertLogs("trade.engine", "ERROR"):
                order = self.place(ann, "buy", 1, "4")
        self.assertEqual(order.status, "PENDING")
        wait_for_disk.assert_called_once_with()


class Stopping(MarketTestCase):
    def test_it_does_not_call_stored_orders_refused(self) -> None:
        ann = make_trader("ann", 1000)
        with mock.patch.object(self.engine, "_work_inline"):
            future = self.engine.submit_order(NewOrder(ann.pk, "ACME", "buy", "limit", 1, price=units(4)))
            self.engine.step()
            self.engine.stop()
        # "Try again" would have the caller place it twice.
        order = Order.objects.get(status="PENDING")
        self.assertEqual(future.result(0), Repeated(order.order_id.hex))

    def test_it_does_not_call_orders_refused_that_broke_after_they_were_stored(self) -> None:
        ann = make_trader("ann", 1000)
        broken = mock.patch("trade.engine.matching.run_batch", side_effect=RuntimeError("defect"))
        with broken, self.assertLogs("trade.engine", "ERROR"):
            order = self.place(ann, "buy", 1, "4")
        self.assertEqual((order.status, Order.objects.get().status), ("PENDING", "PENDING"))


class Sweeping(MarketTestCase):
    def test_it_leaves_alone_what_waits_in_its_own_lanes(self) -> None:
        ann = make_trader("ann", 1000)
        self.engine.options = self.engine.options.__class__(1, D("0.1"), -1, 0)
        future = self.engine.submit_order(NewOrder(ann.pk, "ACME", "buy", "limit", 1, price=units(4)))
        self.engine.step()
        before = self.engine.status()["waiting"]
        self.engine.sweep_orphans()
        self.assertEqual((before, self.engine.status()["waiting"]), (1, 1))
        self.engine.step()
        self.assertEqual(future.result(0).status, "ACTIVE")
        self.assertEqual(self.engine._entry.entering, set())

    def test_it_queues_an_order_left_behind_once(self) -> None:
        reserve_only(make_trader("ann", 1000), timezone.now() - timedelta(seconds=60))
        for _ in range(3):
            self.engine.sweep_orphans()
        self.assertEqual(self.engine.status()["waiting"], 1)
        self.engine.step()
        self.assertEqual((Order.objects.get().status, self.engine._entry.entering), ("ACTIVE", set()))


class FarBehind(MarketTestCase):
    def test_it_builds_a_book_anew_that_missed_too_much(self) -> None:
        ann, bob = make_trader("ann", 1000), make_trader("bob", 0, ACME=100)
        here = get_engine()
        self.place(ann, "buy", 5, "9")
        with mock.patch("trade.engine.gateway._engine", None):
            for _ in range(3):
                self.place(ann, "buy", 5, "10")
        self.assertIs(get_engine(), here)
        with (
            mock.patch("trade.engine.books.MAX_CATCH_UP", 2),
            mock.patch("trade.engine.books.orders_changed_since", side_effect=AssertionError("it caught up")),
        ):
            self.assertEqual(self.place(bob, "sell", 17, "9").traded_value, D(168))
        self.assertEqual(offenders(), [])


class History(MarketTestCase):
    def test_it_looks_up_more_old_ticks_than_a_statement_takes_parameters(self) -> None:
        ticks = [FeedTick("ACME", 100, 1, NOON + timedelta(seconds=n)) for n in range(12)]
        with mock.patch("stocks.services.ticks.MAX_TIMES", 5):
            self.engine.apply_ticks(ticks).result(0)
            report = self.engine.apply_ticks(ticks).result(0)
        self.assertEqual((report.stored, report.duplicate, Tick.objects.count()), (0, 12, 12))

    def test_it_counts_minutes_before_1970(self) -> None:
        for timestamp in (
            datetime(1969, 12, 31, 23, 59, 59, 500_000, NOON.tzinfo),
            datetime(1970, 1, 1, tzinfo=NOON.tzinfo),
        ):
            self.tick("5", 1, at=timestamp)
        self.assertEqual(offenders(), [])


class LostAnswers(TransactionTestCase):
    """The connection breaks at each commit of a session in turn: before it took effect, and after."""

    def setUp(self) -> None:
        reset_engine()
        self.addCleanup(reset_engine)
        self.enterContext(override_settings(ENGINE_THREADS=1, ORPHAN_AGE_S=0.05))

    def test_it_doubles_and_loses_nothing(self) -> None:
        undisturbed, commits = self.session("undisturbed", Commits())
        self.assertGreater(commits, 15)
        # Every commit on SQLite; the engine is the same on PostgreSQL, where a session takes much longer.
        for number in range(1, commits + 1, 1 if connection.vendor == "sqlite" else 5):
            for is_stored in (True, False):
                with self.subTest(commit=number, is_stored=is_stored):
                    with self.assertLogs("trade.engine", "WARNING"):
                        result, _ = self.session(f"{number}-{is_stored}", Commits(number, is_stored))
                    self.assertEqual(result, undisturbed)
        self.assertEqual(offenders(), [])

    def session(self, name: str, commits: "Commits") -> tuple[Any, int]:
        """Two users trade in a stock of their own; what became of them, and how many commits it took."""
        stock = Stock.objects.create(stock_id=f"S-{name}", name="of this session")
        ann = make_trader(f"ann-{name}", 1000)
        bob = make_trader(f"bob-{name}", 1000, **{stock.pk: 100})
        with mock.patch.object(BaseDatabaseWrapper, "_commit", commits.hook()):
            self.trade(get_engine(), stock.pk, ann.pk, bob.pk)
            reset_engine()
        return self.outcome(stock.pk, [ann, bob]), commits.count

    def trade(self, engine: MarketEngine, stock_id: str, ann: int, bob: int) -> None:
        def place(user_id: int, side: str, quantity: int, price: int, **words: Any) -> Order:
            new_order = NewOrder(user_id, stock_id, side, "limit", quantity, price=units(price), **words)
            return self.settled(engine.place_order(new_order))

        def tick(price: int, availability: int, second: int) -> None:
            timestamp = NOON + timedelta(seconds=second)
            engine.apply_ticks([FeedTick(stock_id, units(price), availability, timestamp)]).result(10)

        place(ann, "buy", 10, 10)
        place(ann, "buy", 10, 9, client_order_id="once")
        place(bob, "sell", 15, 9)
        place(bob, "sell", 10, 12)
        place(bob, "sell", 10, 13)
        tick(12, 15, 1)
        engine.cancel_order(Order.objects.get(client_order_id="once", stock_id=stock_id).order_id)
        place(ann, "buy", 5, 13, time_in_force="ioc")
        engine.halt(stock_id)
        engine.resume(stock_id)
        tick(14, 3, 2)

    @staticmethod
    def settled(order: Order) -> Order:
        """The order once it has met the market: after a lost answer, a sweep lets it in."""
        deadline = time.monotonic() + 10
        while order.status == "PENDING":
            assert time.monotonic() < deadline, "the order was never let in"
            time.sleep(0.01)
            order.refresh_from_db()
        return order

    @staticmethod
    def outcome(stock_id: str, users: list[User]) -> list[Any]:
        orders = Order.objects.filter(stock_id=stock_id).order_by("created_at")
        accounts = [CashAccount.objects.get(user=user) for user in users]
        return [
            *orders.values_list("side", "quantity", "status", "traded_quantity", "traded_value"),
            *OrderEvent.objects.filter(stock_id=stock_id).values_list("sequence", "kind", "quantity"),
            *((account.balance, account.reserved) for account in accounts),
            *(user.holdings.values_list("quantity", "reserved", "cost").get() for user in users),
            *Stock.objects.filter(pk=stock_id).values_list("sequence", "tick_count", "last_price", "status"),
        ]


class Commits:
    """Counts the commits of engine threads, and breaks one: after it is stored, or before."""

    def __init__(self, number: int = 0, is_stored: bool = False) -> None:
        self.count = 0
        self._broken = number
        self._is_stored = is_stored

    def hook(self) -> Callable[[BaseDatabaseWrapper], Any]:
        real = BaseDatabaseWrapper._commit

        def commit(wrapper: BaseDatabaseWrapper) -> Any:
            if not threading.current_thread().name.startswith("engine-"):
                return real(wrapper)
            self.count += 1
            if self.count != self._broken:
                return real(wrapper)
            if self._is_stored:
                real(wrapper)
            raise OperationalError("server closed the connection unexpectedly")

        return commit


class UnfinishedCommits(TransactionTestCase):
    def test_it_waits_for_a_lost_transaction_before_it_looks(self) -> None:
        Stock.objects.create(stock_id="ACME", name="Acme")
        ann = make_trader("ann", 1000)
        now = timezone.now()
        order_id = new_order_id(now)
        buy = NewOrder(ann.pk, "ACME", "buy", "limit", 5, price=units(10))
        results: list[Any] = []

        def try_again() -> None:
            try:
                results.extend(
                    reserve_orders(orders=[(order_id, buy)], collar=D("0.1"), now=now, is_retry=True)
                )
            finally:
                connection.close()

        again = threading.Thread(target=try_again)
        with transaction.atomic():
            reserve_orders(orders=[(order_id, buy)], collar=D("0.1"), now=now)
            again.start()
            again.join(0.3)
            self.assertTrue(again.is_alive(), "it did not wait")
        again.join(10)
        self.assertEqual(results, [Repeated(order_id)])
        self.assertEqual(CashAccount.objects.get(user=ann).reserved, D(50))


class HopelessErrors(TransactionTestCase):
    """Errors that the database calls operational and that no repetition cures."""

    def setUp(self) -> None:
        reset_engine()
        self.addCleanup(reset_engine)
        self.enterContext(override_settings(ENGINE_THREADS=1))

    def test_it_does_not_try_for_ever(self) -> None:
        cause = sqlite3.OperationalError("too many SQL variables")
        cause.sqlite_errorcode = sqlite3.SQLITE_ERROR
        error = OperationalError("too many SQL variables")
        error.__cause__ = cause
        new_order = NewOrder(1, "ACME", "buy", "limit", 5, price=units(10))
        with (
            mock.patch("trade.engine.entry.reserve_orders", side_effect=error) as reserve,
            self.assertLogs("trade.engine", "ERROR"),
            self.assertRaises(OperationalError),
        ):
            get_engine().place_order(new_order, timeout_s=5)
        self.assertEqual(reserve.call_count, 1)

    def test_it_tries_until_the_database_is_back(self) -> None:
        Stock.objects.create(stock_id="ACME", name="Acme")
        ann = make_trader("ann", 1000)
        away = [OperationalError("connection refused")] * 3
        with (
            mock.patch(
                "trade.engine.entry.reserve_orders", side_effect=[*away, mock.DEFAULT], wraps=reserve_orders
            ),
            self.assertLogs("trade.engine", "WARNING") as logs,
        ):
            order = get_engine().place_order(NewOrder(ann.pk, "ACME", "buy", "limit", 5, price=units(10)))
        self.assertEqual((order.status, len(logs.records)), ("ACTIVE", 3))

    def test_it_answers_when_it_stops_meanwhile(self) -> None:
        engine = get_engine()
        away = mock.patch("trade.engine.entry.reserve_orders", side_effect=OperationalError("gone"))
        with away, self.assertLogs("trade.engine", "WARNING"):
            future = engine.submit_order(NewOrder(1, "ACME", "buy", "limit", 5, price=units(10)))
            time.sleep(0.1)
            reset_engine()
        self.assertIsInstance(future.exception(0), OutcomeUnknown)

    @tag("postgresql")
    def test_it_survives_being_paused_in_the_middle_of_a_batch(self) -> None:
        Stock.objects.create(stock_id="ACME", name="Acme")
        ann = make_trader("ann", 1000)
        pauses = iter([True])

        def paused_once(**words: Any) -> list[int]:
            if next(pauses, False):
                with connection.cursor() as cursor:
                    cursor.execute("SET LOCAL idle_in_transaction_session_timeout = '50ms'")
                # The server ends the session meanwhile.
                time.sleep(0.3)
            return settle(**words)

        with mock.patch("trade.engine.batch.settle", paused_once), self.assertLogs("trade.engine", "WARNING"):
            order = get_engine().place_order(NewOrder(ann.pk, "ACME", "buy", "limit", 5, price=units(10)))
        self.assertEqual(order.status, "ACTIVE")
        self.assertEqual(offenders(), [])
