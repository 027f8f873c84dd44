"""The engine's calls for event loops, on an engine with threads of its own."""

import asyncio
from typing import Any
from unittest.mock import patch

from asgiref.sync import async_to_sync
from django.test import TransactionTestCase, override_settings

from trade.engine import awaited, get_engine, reset_engine
from trade.models import Order, Trade
from trade.selectors.audit import run_audit
from trade.services.order_rules import NewOrder
from trade.services.refusals import EngineBusy, OrderNotOpen, UnknownOrder
from trade.tests.base import units
from trade.tests.factories import StockFactory, UserFactory
from users.exceptions import Refusal
from users.models import CashAccount


@override_settings(ENGINE_THREADS=2)
class AwaitedCalls(TransactionTestCase):
    def setUp(self) -> None:
        reset_engine()
        self.addCleanup(reset_engine)
        StockFactory(stock_id="ACME", name="Acme")
        self.ann = UserFactory(cash=1_000)
        self.bob = UserFactory(cash=1_000, shares={"ACME": 100})

    def buy(self, quantity: int, price: int = 10, **words: Any) -> NewOrder:
        return NewOrder(self.ann.pk, "ACME", "buy", "limit", quantity, price=units(price), **words)

    def sell(self, quantity: int, price: int = 10, **words: Any) -> NewOrder:
        return NewOrder(self.bob.pk, "ACME", "sell", "limit", quantity, price=units(price), **words)

    async def test_it_answers_after_the_match(self) -> None:
        await awaited.place_order(self.sell(3))
        order = await awaited.place_order(self.buy(5))
        self.assertEqual((order.status, order.traded_quantity), ("PARTIALLY_FILLED", 3))
        stored = await Order.objects.aget(pk=order.pk)
        self.assertEqual((stored.status, stored.sequence), (order.status, order.sequence))

    @override_settings(ORDER_ANSWER_TIMEOUT_S=60)
    async def test_it_serves_many_callers_of_one_loop(self) -> None:
        wanted = [(self.buy(1), self.sell(1))[number % 2] for number in range(80)]
        # Nobody is told by the end of the time alone, and nobody asks the database.
        with patch.object(get_engine().callers, "run", side_effect=AssertionError):
            orders = await asyncio.wait_for(
                asyncio.gather(*(awaited.place_order(order) for order in wanted)), timeout=20
            )
        self.assertEqual(len({order.pk for order in orders}), 80)
        self.assertEqual(await Trade.objects.acount(), 40)
        await awaited.in_thread(self.assert_books_right)

    async def test_it_answers_each_of_many_orders_in_their_sequence(self) -> None:
        results = await awaited.place_orders([self.buy(1), self.buy(1_000), self.sell(2)])
        self.assertEqual([isinstance(result, Refusal) for result in results], [False, True, False])
        self.assertEqual(await awaited.place_orders([]), [])

    async def test_it_raises_the_refusal(self) -> None:
        with self.assertRaises(Refusal) as caught:
            await awaited.place_order(self.buy(1_000))
        self.assertEqual(caught.exception.code, "insufficient_funds")

    async def test_it_reads_what_was_placed_before(self) -> None:
        first = await awaited.place_order(self.buy(1, client_order_id="once"))
        again = await awaited.place_order(self.buy(1, client_order_id="once"))
        self.assertEqual((again.pk, again.created_at), (first.pk, first.created_at))

    async def test_it_changes_and_cancels(self) -> None:
        order = await awaited.place_order(self.buy(5))
        changed = await awaited.replace_order(order.pk, self.ann.pk, quantity=4)
        self.assertEqual(changed.quantity, 4)
        with self.assertRaises(UnknownOrder):
            await awaited.cancel_order(order.pk, self.bob.pk)
        self.assertEqual((await awaited.cancel_order(order.pk, self.ann.pk)).status, "CANCELLED")
        with self.assertRaises(OrderNotOpen):
            await awaited.cancel_order(order.pk)

    async def test_it_goes_on_when_the_caller_has_gone(self) -> None:
        placing = asyncio.ensure_future(awaited.place_order(self.buy(5)))
        await asyncio.sleep(0)
        placing.cancel()
        # The lane keeps the sequence: this one is answered after it.
        await awaited.place_order(self.buy(6))
        self.assertEqual(await Order.objects.filter(quantity=5, status="ACTIVE").acount(), 1)

    def test_it_serves_one_loop_after_the_other(self) -> None:
        place = async_to_sync(awaited.place_order)
        self.assertEqual([place(self.buy(1)).status for _ in range(2)], ["ACTIVE", "ACTIVE"])

    def assert_books_right(self) -> None:
        for finding in run_audit():
            self.assertTrue(finding.holds, finding)
        self.assertEqual(CashAccount.objects.get(user=self.ann).balance, 600)


@override_settings(ENGINE_THREADS=1, ORDER_ANSWER_TIMEOUT_S=0.05)
class SlowEngine(TransactionTestCase):
    def setUp(self) -> None:
        reset_engine()
        self.addCleanup(reset_engine)
        StockFactory(stock_id="ACME", name="Acme")
        self.ann = UserFactory(cash=1_000)

    async def test_it_stores_nothing_that_was_not_begun_in_time(self) -> None:
        engine = get_engine()
        # Work waits, and nobody is there to do it.
        engine._stopping.set()
        for thread in engine._threads:
            thread.join(10)
        with self.assertRaises(EngineBusy):
            await awaited.place_order(NewOrder(self.ann.pk, "ACME", "buy", "limit", 1, price=units(10)))
        self.assertEqual(await Order.objects.acount(), 0)
