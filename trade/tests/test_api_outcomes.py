"""What a caller is told when the market does not answer in time: what is known, and no more."""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any
from unittest import mock

from django.test import override_settings
from rest_framework.response import Response

from trade.models import Order
from trade.tests.api_base import MarketApiTestCase


@override_settings(ORDER_ANSWER_TIMEOUT_S=0)
class OutOfTime(MarketApiTestCase):
    """An engine that does no more than it is told while a caller waits."""

    @contextmanager
    def doing(self, work: Callable[[], Any]) -> Iterator[None]:
        with mock.patch.object(self.engine, "_work_inline", work):
            yield

    def nothing(self) -> None:
        pass

    def begin(self) -> None:
        """Take what waits, as a thread does that then hangs."""
        taken = self.engine._lanes.take(0)
        assert taken is not None
        lane, items = taken
        for item in items:
            item.future.set_running_or_notify_cancel()
        self.engine._lanes.release(lane)

    def go_on(self) -> None:
        while self.engine.step():
            pass

    def assert_unavailable(self, response: Response, code: str) -> str:
        self.assert_refused(response, 503, code)
        self.assertIn("Retry-After", response)
        return response.json()["errors"][0]["detail"]

    def test_it_is_busy_when_the_order_was_not_begun_and_never_will_be(self) -> None:
        with self.doing(self.nothing):
            response = self.order(self.ann, "buy", 1, 10)
        self.assert_unavailable(response, "busy")
        self.go_on()
        self.assertEqual(Order.objects.count(), 0)

    def test_it_does_not_know_when_the_order_was_begun_and_is_not_stored(self) -> None:
        with self.doing(self.begin):
            response = self.order(self.ann, "buy", 1, 10, client_order_id="mine")
        detail = self.assert_unavailable(response, "outcome_unknown")
        self.assertRegex(detail, "client_order_id, or as order [0-9a-f]{8}-[0-9a-f-]{27}$")

    def test_it_is_found_where_the_answer_said(self) -> None:
        with mock.patch("trade.engine.gateway.Order.objects.filter") as rows, self.doing(self.engine.step):
            rows.return_value.first.return_value = None
            response = self.order(self.ann, "buy", 1, 10)
        detail = self.assert_unavailable(response, "outcome_unknown")
        self.assertEqual(self.get(self.ann, f"orders/{detail.split()[-1]}/").status_code, 200)

    def test_it_is_pending_when_the_order_is_stored(self) -> None:
        with self.doing(self.engine.step):
            order = self.placed(self.ann, "buy", 1, 10)
        self.assertEqual((order["status"], order["reserved"]), ("PENDING", 10.0))
        self.go_on()
        self.assertEqual(self.get(self.ann, f"orders/{order['order_id']}/").json()["status"], "ACTIVE")

    def test_it_says_so_for_each_order_of_a_batch(self) -> None:
        body = [{"stock_id": "ACME", "side": "buy", "type": "limit", "price": 1, "quantity": 1}]
        with self.doing(self.begin):
            (line,) = self.post(self.ann, "orders/batch/", body).json()
        self.assertEqual((line["status"], line["errors"][0]["code"]), (503, "outcome_unknown"))

    def test_it_says_so_for_a_basket(self) -> None:
        body = [{"stock_id": "ACME", "side": "buy", "type": "limit", "price": 1, "quantity": 1}]
        for work, code in ((self.nothing, "busy"), (self.begin, "outcome_unknown")):
            with self.doing(work):
                self.assert_unavailable(self.post(self.ann, "orders/basket/", body), code)
        self.go_on()
        self.assertEqual(Order.objects.count(), 0)

    def test_it_says_so_for_a_change(self) -> None:
        order_id = self.placed(self.ann, "buy", 1, 10)["order_id"]
        for work, code in ((self.nothing, "busy"), (self.begin, "outcome_unknown")):
            with self.doing(work):
                response = self.client_of(self.ann).patch(f"/api/orders/{order_id}/", {"price": 11})
            self.assert_unavailable(response, code)
        self.go_on()
        self.assertEqual(self.get(self.ann, f"orders/{order_id}/").json()["price"], 10.0)

    def test_it_does_not_know_what_becomes_of_a_cancel(self) -> None:
        order_id = self.placed(self.ann, "buy", 1, 10)["order_id"]
        with self.doing(self.nothing):
            self.assert_unavailable(self.delete(self.ann, f"orders/{order_id}/"), "outcome_unknown")
        self.go_on()
        self.assertEqual(self.get(self.ann, f"orders/{order_id}/").json()["status"], "CANCELLED")
