"""What tests of the trading API start from: a stock, Ann with cash, Bob with shares, Clara of the staff."""

from typing import Any

from django.db.models import Model
from rest_framework.response import Response
from rest_framework.test import APIClient

from stocks.models import Holding, Stock
from trade.models import Order, OrderEvent, Trade
from trade.tests.base import MarketTestCase
from trade.tests.factories import StaffFactory, UserFactory
from users.models import CashAccount, LedgerEntry, User
from users.tests.base import client_of, forget_everything

ORDER_FIELDS = {
    *("order_id", "client_order_id", "user_id", "stock_id", "side", "type", "time_in_force"),
    *("quantity", "price", "lower_bound", "upper_bound", "remaining_quantity", "traded_quantity"),
    *("average_traded_price", "reserved", "status", "reason", "is_active", "sequence"),
    *("created_at", "updated_at", "stop_price", "display_quantity", "post_only"),
    *("self_trade_prevention", "expires_at"),
}


class MarketApiTestCase(MarketTestCase):
    """Calls are made as users: `self.get(self.ann, "orders/")`, with None as nobody."""

    def setUp(self) -> None:
        super().setUp()
        forget_everything()
        self.ann = UserFactory(username="ann", cash=10_000)
        self.bob = UserFactory(username="bob", cash=1_000, shares={"ACME": 100})
        self.clara = StaffFactory(username="clara")
        self._clients: dict[Any, APIClient] = {}

    def client_of(self, user: User | None) -> APIClient:
        key = user and user.pk
        if key not in self._clients:
            self._clients[key] = client_of(user)
        return self._clients[key]

    def get(self, user: User | None, path: str, **query: Any) -> Response:
        return self.client_of(user).get(f"/api/{path}", query)

    def post(self, user: User | None, path: str, body: Any = None, **headers: Any) -> Response:
        return self.client_of(user).post(f"/api/{path}", body, format="json", **headers)

    def delete(self, user: User | None, path: str, body: Any = None) -> Response:
        return self.client_of(user).delete(f"/api/{path}", body, format="json")

    def order(self, user: User, side: str, quantity: int, price: Any = None, **words: Any) -> Response:
        """POST an order: a limit order when there is a price, else a market order."""
        body = {"stock_id": "ACME", "side": side, "type": "market", "quantity": quantity, **words}
        if price is not None:
            body = {"price": price, **body, "type": words.get("type", "limit")}
        return self.post(user, "orders/", body)

    def placed(self, user: User, side: str, quantity: int, price: Any = None, **words: Any) -> dict[str, Any]:
        """As `order`, which must be taken; the order of the answer."""
        response = self.order(user, side, quantity, price, **words)
        self.assertEqual(response.status_code, 201, response.content)
        return response.json()

    def bounded(self, user: User, call: str, total: Any, lower: Any, upper: Any, **words: Any) -> Response:
        """POST buy or sell on one's own user."""
        body = {"stock_id": "ACME", "total": total, "lower_bound": lower, "upper_bound": upper, **words}
        return self.post(user, f"users/me/{call}/", body)

    def assert_refused(self, response: Response, status: int, code: str, attr: str | None = None) -> None:
        """The answer has the one shape of errors, with this code first."""
        self.assertEqual(response.status_code, status, response.content)
        body = response.json()
        self.assertEqual(set(body), {"type", "errors"})
        self.assertEqual(body["type"], "validation_error" if status == 400 and attr else body["type"])
        self.assertEqual((body["errors"][0]["code"], body["errors"][0]["attr"]), (code, attr))


def books() -> list[Any]:
    """All that trading may change. Two equal ones: nothing has happened in between."""
    models: list[type[Model]] = [CashAccount, LedgerEntry, Holding, Order, OrderEvent, Trade, Stock]
    return [list(model._default_manager.order_by("pk").values()) for model in models]
