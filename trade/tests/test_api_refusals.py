"""Every refusal of the market, through REST: its status, its code, the field at fault, and no trace."""

import inspect
from collections.abc import Callable
from datetime import timedelta
from typing import Any
from unittest import mock
from uuid import uuid4

from django.test import SimpleTestCase, override_settings
from django.utils import timezone
from rest_framework.response import Response

from stocks.models import Stock
from trade.models import Trade
from trade.services import refusals
from trade.tests.api_base import MarketApiTestCase, books
from users.exceptions import Refusal
from users.fields import MAX_PRICE, MAX_QUANTITY

# Whoever has a token is a user.
NOT_BY_REST = {refusals.UnknownUser.code}
HOUR = timedelta(hours=1)


class EveryRefusal(MarketApiTestCase):
    """`refused` makes a call that must be refused and change nothing."""

    def refused(
        self,
        status: int,
        code: str,
        attr: str | None,
        call: Callable[..., Response],
        *args: Any,
        **words: Any,
    ) -> None:
        before = books()
        with self.subTest(code=code, args=args[1:], **words):
            self.assert_refused(call(*args, **words), status, code, attr)
            self.assertEqual(books(), before)

    def rules(self, **rules: Any) -> None:
        Stock.objects.update(**rules)

    def change(self, order_id: str, **words: Any) -> Response:
        return self.client_of(self.ann).patch(f"/api/orders/{order_id}/", words)

    def test_what_the_user_does_not_have(self) -> None:
        self.refused(400, "insufficient_funds", None, self.order, self.ann, "buy", 1001, 10)
        self.refused(400, "insufficient_funds", None, self.bounded, self.ann, "buy", 1001, 9, 10)
        self.refused(400, "insufficient_shares", None, self.order, self.bob, "sell", 101, 10)
        self.refused(400, "insufficient_shares", None, self.bounded, self.bob, "sell", 101, 9, 10)
        order_id = self.placed(self.ann, "buy", 10, 10)["order_id"]
        self.refused(400, "insufficient_funds", None, self.change, order_id, quantity=1001)

    def test_what_the_market_does_not_have(self) -> None:
        self.refused(404, "unknown_stock", "stock_id", self.order, self.ann, "buy", 1, 10, stock_id="NO")
        self.refused(400, "no_reference_price", "type", self.order, self.ann, "buy", 1)
        for call in (self.get, self.delete):
            self.refused(404, "not_found", None, call, self.ann, f"orders/{uuid4()}/")
        self.refused(404, "not_found", None, self.change, str(uuid4()), price=1)
        self.refused(404, "not_found", None, self.post, self.clara, "trades/1/settle/")

    def test_a_halted_market(self) -> None:
        order_id = self.placed(self.ann, "buy", 1, 10)["order_id"]
        self.engine.halt("ACME")
        self.refused(400, "market_halted", "stock_id", self.order, self.ann, "buy", 1, 10)
        self.refused(400, "market_halted", "stock_id", self.bounded, self.ann, "buy", 1, 9, 10)
        self.refused(400, "market_halted", "stock_id", self.change, order_id, price=9)

    def test_prices_and_quantities(self) -> None:
        self.tick("10", 0)
        buy = (self.order, self.ann, "buy")
        code = "price_off_increment"
        self.refused(400, code, "price", *buy, 1, 10.005)
        self.refused(400, code, "stop_price", *buy, 1, type="stop", stop_price=10.005)
        self.refused(400, code, "lower_bound", self.bounded, self.ann, "buy", 1, 9.005, 10)
        self.refused(400, code, "upper_bound", self.bounded, self.ann, "buy", 1, 9, 10.005)
        self.refused(400, "bounds_crossed", "lower_bound", self.bounded, self.ann, "buy", 1, 11, 10)
        self.refused(400, "order_too_large", "quantity", *buy, MAX_QUANTITY, int(MAX_PRICE))
        self.rules(lot_size=10)
        self.refused(400, "quantity_off_lot", "quantity", *buy, 15, 10)
        self.refused(400, "quantity_off_lot", "display_quantity", *buy, 20, 10, display_quantity=5)

    def test_the_rules_of_a_stock(self) -> None:
        self.tick("10", 0)
        self.rules(min_quantity=5, max_quantity=50, min_notional=60, max_notional=400, price_collar_bps=500)
        order_id = self.placed(self.ann, "buy", 20, 10)["order_id"]
        for quantity, price, code, attr in [
            (4, 10, "quantity_out_of_range", "quantity"),
            (51, 10, "quantity_out_of_range", "quantity"),
            (5, 10, "notional_out_of_range", "quantity"),
            (41, 10, "notional_out_of_range", "quantity"),
            (20, 10.51, "price_outside_collar", "price"),
            (20, 9.49, "price_outside_collar", "price"),
        ]:
            self.refused(400, code, attr, self.order, self.ann, "buy", quantity, price)
            self.refused(400, code, attr, self.change, order_id, quantity=quantity, price=price)

    def test_terms_that_do_not_go_together(self) -> None:
        self.tick("10", 0)
        soon, past = ((timezone.now() + sign * HOUR).isoformat() for sign in (1, -1))
        for attr, words in [
            ("expires_at", {"time_in_force": "gtd"}),
            ("expires_at", {"expires_at": soon}),
            ("expires_at", {"time_in_force": "gtd", "expires_at": past}),
            ("post_only", {"post_only": True, "time_in_force": "ioc"}),
            ("post_only", {"post_only": True, "type": "stop_limit", "stop_price": 11}),
            ("stop_price", {"stop_price": 11}),
            ("stop_price", {"type": "stop_limit"}),
            ("display_quantity", {"display_quantity": 10}),
            ("display_quantity", {"display_quantity": 5, "time_in_force": "fok"}),
        ]:
            self.refused(400, "invalid", attr, self.order, self.ann, "buy", 10, 10, **words)

    def test_an_order_that_is_there_already(self) -> None:
        self.placed(self.ann, "buy", 1, 10, client_order_id="mine")
        code = "duplicate_client_order_id"
        self.refused(409, code, "client_order_id", self.order, self.ann, "buy", 2, 10, client_order_id="mine")

    def test_an_order_that_is_finished(self) -> None:
        order_id = self.placed(self.ann, "buy", 1, 10)["order_id"]
        self.delete(self.ann, f"orders/{order_id}/")
        self.refused(409, "order_not_open", None, self.delete, self.ann, f"orders/{order_id}/")
        self.refused(409, "order_not_open", None, self.change, order_id, price=9)

    def test_changes_that_cannot_be(self) -> None:
        traded = self.placed(self.ann, "buy", 10, 10)["order_id"]
        self.placed(self.bob, "sell", 4, 10)
        self.refused(409, "quantity_below_traded", "quantity", self.change, traded, quantity=3)
        self.placed(self.bob, "sell", 5, 12)
        maker = self.placed(self.ann, "buy", 5, 9, post_only=True)["order_id"]
        self.refused(400, "post_only_would_trade", "price", self.change, maker, price=12)

    def test_a_trade_that_has_settled(self) -> None:
        self.placed(self.bob, "sell", 1, 10)
        self.placed(self.ann, "buy", 1, 10)
        trade_id = Trade.objects.get().pk
        self.refused(409, "trade_settled", None, self.post, self.clara, f"trades/{trade_id}/settle/")

    def test_a_market_that_has_no_time(self) -> None:
        order_id = self.placed(self.ann, "buy", 1, 10)["order_id"]
        with mock.patch("trade.engine.lanes.MAX_WAITING", 0):
            self.refused(503, "busy", None, self.order, self.ann, "buy", 1, 10)
        late = override_settings(ORDER_ANSWER_TIMEOUT_S=0)
        with late, mock.patch.object(self.engine, "_work_inline"):
            self.refused(503, "outcome_unknown", None, self.delete, self.ann, f"orders/{order_id}/")


class Codes(SimpleTestCase):
    def test_each_has_its_test(self) -> None:
        codes = {kind.code for _, kind in inspect.getmembers(refusals, inspect.isclass)} - {Refusal.code}
        tests = inspect.getsource(EveryRefusal)
        self.assertEqual({code for code in codes if f'"{code}"' not in tests}, NOT_BY_REST)
