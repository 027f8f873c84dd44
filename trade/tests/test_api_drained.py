"""What was reserved returns to zero, whatever kind of order it was for and whatever became of it."""

from collections.abc import Iterator
from datetime import timedelta
from typing import Any

from django.test import override_settings
from django.utils import timezone

from stocks.models import Holding, Stock
from trade.engine import reset_engine
from trade.models import Order, PendingChange, Trade
from trade.selectors.audit import run_audit
from trade.services.deferred import settle_trades
from trade.tests.api_base import MarketApiTestCase
from trade.tests.factories import UserFactory
from users.models import CashAccount, User

BUY, SELL = "buy", "sell"
OTHER = {BUY: SELL, SELL: BUY}
# Away from 10, where the last price is: (for a buy, for a sell).
BEYOND = {BUY: 10.5, SELL: 9.5}
SHORT_OF = {BUY: 9.5, SELL: 10.5}


def kinds(side: str) -> Iterator[tuple[str, dict[str, Any]]]:
    """Every kind of order: its name, and the words that make it."""
    till = (timezone.now() + timedelta(hours=1)).isoformat()
    yield "limit", {"price": 10}
    yield "limit at a better price", {"price": BEYOND[side]}
    yield "market", {"type": "market"}
    yield "stop", {"type": "stop", "stop_price": BEYOND[side]}
    yield "stop, reached", {"type": "stop", "stop_price": 10}
    yield "stop-limit", {"type": "stop_limit", "stop_price": BEYOND[side], "price": BEYOND[side]}
    yield "stop-limit, reached", {"type": "stop_limit", "stop_price": 10, "price": 10}
    yield "iceberg", {"price": 10, "display_quantity": 5}
    yield "post-only", {"price": 10, "post_only": True}
    yield "post-only, waiting", {"price": SHORT_OF[side], "post_only": True}
    yield "ioc", {"price": 10, "time_in_force": "ioc"}
    yield "fok", {"price": 10, "time_in_force": "fok"}
    yield "day", {"price": 10, "time_in_force": "day"}
    yield "gtd", {"price": 10, "time_in_force": "gtd", "expires_at": till}
    yield "decrement", {"price": 10, "self_trade_prevention": "decrement"}
    yield "bounded", {}


class DrainedTestCase(MarketApiTestCase):
    """Two users with cash and shares, and fees that do not come out even."""

    def setUp(self) -> None:
        super().setUp()
        Stock.objects.update(maker_fee_bps=13, taker_fee_bps=37)
        self.dora = UserFactory(username="dora", cash=10_000, shares={"ACME": 500})
        self.emil = UserFactory(username="emil", cash=10_000, shares={"ACME": 500})

    def switch_to(self, settlement: str) -> None:
        reset_engine()
        self.enterContext(override_settings(SETTLEMENT=settlement))

    def place_kind(self, user: User, side: str, words: dict[str, Any]) -> str | None:
        """The order's id, if it was taken."""
        if words:
            response = self.order(user, side, 20, **words)
        else:
            response = self.bounded(user, side, 20, 9, 10.5)
        self.assertEqual(response.status_code, 201 if words else 200, response.content)
        body = response.json()
        return (body if words else body["order"])["order_id"]

    def change(self, user: User, order_id: str, **words: Any) -> None:
        """A change that may come too late, or may be refused: then it holds nothing."""
        response = self.client_of(user).patch(f"/api/orders/{order_id}/", words)
        self.assertIn(response.status_code, (200, 400, 409), response.content)

    def drain(self) -> None:
        for user in (self.dora, self.emil):
            self.assertEqual(self.delete(user, "orders/").status_code, 200)

    def assert_drained(self) -> None:
        for user in (self.dora, self.emil):
            balance = self.get(user, "users/me/balance/").json()
            self.assertEqual((balance["reserved"], balance["available"]), (0.0, balance["balance"]))
            stocks = self.get(user, "users/me/").json()["stocks"]
            self.assertEqual({stock["reserved_count"] for stock in stocks}, {0})
            orders = self.get(user, "orders/", page_size=500).json()["results"]
            self.assertLessEqual({order["reserved"] for order in orders}, {0})
            self.assertLessEqual({order["is_active"] for order in orders}, {False})
        for model in (CashAccount, Holding):
            self.assertEqual(model._default_manager.exclude(reserved=0).count(), 0)
        self.assertEqual(PendingChange.objects.count(), 0)

    def tearDown(self) -> None:
        self.assertEqual([str(finding) for finding in run_audit() if not finding.holds], [])


class EveryKind(DrainedTestCase):
    """Each kind alone: untouched, met by a user, met by the feed, and changed."""

    def each(self) -> Iterator[tuple[str, str | None]]:
        """Place each kind on each side: (its side, its id). Drained and checked after each.

        Each side in one mode, for the sake of time: `AllTogether` has both in both.
        """
        for settlement, side in (("immediate", SELL), ("deferred", BUY)):
            self.switch_to(settlement)
            for name, words in kinds(side):
                with self.subTest(name, side=side):
                    self.tick("10", 0)
                    yield side, self.place_kind(self.dora, side, words)
                    self.drain()
                    self.assert_drained()

    def test_it_returns_to_zero_when_nothing_came(self) -> None:
        for _ in self.each():
            pass
        self.assertEqual(Order.objects.count(), 2 * 16)

    def test_it_returns_to_zero_after_a_part_was_traded_with_users(self) -> None:
        for side, _ in self.each():
            self.order(self.emil, OTHER[side], 7, 10)
            self.order(self.emil, OTHER[side], 3, SHORT_OF[side])
        self.assertGreater(Trade.objects.filter(source="book", settled_at=None).count(), 5)

    def test_it_returns_to_zero_after_a_part_was_traded_with_the_feed(self) -> None:
        for side, _ in self.each():
            self.tick("10", 6)
            self.tick(str(BEYOND[side]), 3)
        self.assertGreater(Trade.objects.filter(source="feed", settled_at=None).count(), 5)

    def test_it_returns_to_zero_after_all_of_it_was_traded(self) -> None:
        for side, _ in self.each():
            self.order(self.emil, OTHER[side], 15, 10)
            self.tick("10", 50)
            self.tick(str(BEYOND[side]), 50)
        self.assertGreater(Order.objects.filter(user=self.dora, status="FILLED").count(), 10)

    def test_it_returns_to_zero_after_changes_up_and_down(self) -> None:
        changed = 0
        for side, order_id in self.each():
            assert order_id is not None
            self.order(self.emil, OTHER[side], 4, 10)
            for words in (
                {"price": 9.75},
                {"quantity": 40},
                {"price": 10.25, "quantity": 15},
                {"quantity": 9},
            ):
                self.change(self.dora, order_id, **words)
            self.order(self.emil, OTHER[side], 2, 10)
            changed += Order.objects.get(pk=order_id).quantity == 9
        self.assertGreater(changed, 10)


class AllTogether(DrainedTestCase):
    def trade(self) -> None:
        """Both users place every kind on both sides; ticks and the end of the day come in between."""
        for number, (side, user) in enumerate(
            [(BUY, self.dora), (SELL, self.emil), (SELL, self.dora), (BUY, self.emil)]
        ):
            for name, words in kinds(side):
                order_id = self.place_kind(user, side, words)
                if order_id and name in ("limit", "iceberg", "gtd", "post-only, waiting"):
                    self.change(user, order_id, quantity=15 + 5 * number)
                self.tick(f"{10 + number % 2 / 10:.2f}", 5)
            self.engine.expire_day_orders("ACME")

    def test_it_returns_to_zero_in_both_modes(self) -> None:
        for settlement in ("immediate", "deferred"):
            self.switch_to(settlement)
            self.tick("10", 0)
            self.trade()
            self.assertGreater(CashAccount.objects.exclude(reserved=0).count(), 0)
            self.drain()
            self.assert_drained()
        self.assertGreater(Trade.objects.filter(settled_at=None).count(), 0)
        settle_trades(stock_id="ACME", now=timezone.now())
        self.assertEqual(CashAccount.objects.exclude(unsettled=0).count(), 0)
        self.assert_drained()
