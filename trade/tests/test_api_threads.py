"""REST on an engine with threads of its own: callers at once, as in a running market."""

import threading
from collections.abc import Callable
from typing import Any
from uuid import UUID

from django.db import connection
from django.test import TransactionTestCase, override_settings
from rest_framework.response import Response

from stocks.services.ticks import FeedTick
from trade.engine import get_engine, reset_engine
from trade.models import Order, Trade
from trade.selectors.audit import run_audit
from trade.tests.base import NOON, units
from trade.tests.factories import StockFactory, UserFactory
from users.models import CashAccount
from users.tests.base import client_of, forget_everything

CALLERS = 4


def at_once(call: Callable[[int], Any]) -> list[Any]:
    """What `call(0)`, `call(1)` ... return, called from threads that start together."""
    barrier, results = threading.Barrier(CALLERS), [None] * CALLERS

    def run(number: int) -> None:
        try:
            barrier.wait(10)
            results[number] = call(number)
        finally:
            connection.close()

    threads = [threading.Thread(target=run, args=(number,)) for number in range(CALLERS)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    return results


@override_settings(ENGINE_THREADS=2)
class Callers(TransactionTestCase):
    def setUp(self) -> None:
        reset_engine()
        self.addCleanup(reset_engine)
        forget_everything()
        StockFactory(stock_id="ACME", name="Acme")

    def test_it_trades_for_many_and_the_books_are_right(self) -> None:
        clients = [client_of(UserFactory(cash=1_000, shares={"ACME": 100})) for _ in range(CALLERS)]

        def trade(number: int) -> list[Response]:
            responses = []
            for turn in range(8):
                side = ("buy", "sell")[(number + turn) % 2]
                body = {"stock_id": "ACME", "side": side, "type": "limit", "quantity": 3 + turn, "price": 10}
                responses.append(clients[number].post("/api/orders/", body))
                bounded = {"stock_id": "ACME", "total": 2, "lower_bound": 9, "upper_bound": 11}
                responses.append(clients[number].post(f"/api/users/me/{side}/", bounded))
                if turn % 3 == 0:
                    tick = FeedTick("ACME", units("10"), 5, NOON.replace(second=turn, microsecond=number))
                    get_engine().apply_ticks([tick]).result(10)
                if turn % 4 == 3:
                    responses.append(clients[number].delete("/api/orders/"))
            return responses

        responses = [response for part in at_once(trade) for response in part]
        self.assertLessEqual({response.status_code for response in responses}, {200, 201, 400})
        refused = {
            response.json()["errors"][0]["code"] for response in responses if response.status_code == 400
        }
        self.assertLessEqual(refused, {"insufficient_funds", "insufficient_shares"})
        self.assertTrue(Trade.objects.filter(source="book").exists())
        self.assertTrue(Trade.objects.filter(source="feed").exists())
        self.assertFalse(Order.objects.filter(status="PENDING").exists())
        for finding in run_audit():
            self.assertTrue(finding.holds, finding)

    def test_it_places_a_request_once_however_often_it_comes_at_once(self) -> None:
        ann = UserFactory(cash=1_000)
        client = client_of(ann)
        body = {"stock_id": "ACME", "side": "buy", "type": "limit", "quantity": 5, "price": 10}
        responses = at_once(lambda _: client.post("/api/orders/", {**body, "client_order_id": "once"}))
        self.assertLessEqual({response.status_code for response in responses}, {200, 201})
        (order,) = Order.objects.all()
        self.assertEqual({UUID(response.json()["order_id"]) for response in responses}, {order.order_id})
        self.assertEqual(CashAccount.objects.get(user=ann).reserved, 50)

    def test_it_cancels_an_order_once(self) -> None:
        client = client_of(UserFactory(cash=1_000))
        body = {"stock_id": "ACME", "side": "buy", "type": "limit", "quantity": 5, "price": 10}
        order_id = client.post("/api/orders/", body).json()["order_id"]
        responses = at_once(lambda _: client.delete(f"/api/orders/{order_id}/"))
        self.assertEqual(sorted(response.status_code for response in responses), [200, 409, 409, 409])

    def test_it_does_not_hold_the_same_cash_twice(self) -> None:
        ann = UserFactory(cash=100)
        client = client_of(ann)
        body = {"stock_id": "ACME", "side": "buy", "type": "limit", "quantity": 6, "price": 10}
        responses = at_once(lambda _: client.post("/api/orders/", body))
        self.assertEqual(sorted(response.status_code for response in responses), [201, 400, 400, 400])
        self.assertEqual(CashAccount.objects.get(user=ann).reserved, 60)
