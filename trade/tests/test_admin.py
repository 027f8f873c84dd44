"""Orders, trades and halts in the admin."""

from uuid import uuid4

from django.contrib.auth.models import Permission
from django.db import connection
from django.db.models import Model
from django.test import Client, override_settings
from django.test.utils import CaptureQueriesContext
from django.urls import reverse

from stocks.models import Stock
from trade.models import Order, OrderEvent, Trade
from trade.tests.api_base import MarketApiTestCase
from users.models import User


class AdminTestCase(MarketApiTestCase):
    def setUp(self) -> None:
        super().setUp()
        User.objects.filter(pk=self.clara.pk).update(is_superuser=True)
        self.clara.refresh_from_db()
        self.admin = Client()
        self.admin.force_login(self.clara)

    def found(self, model: type[Model], **query: object) -> int:
        """How many rows the list shows."""
        response = self.admin.get(_list_of(model), query)
        self.assertEqual(response.status_code, 200)
        return len(response.context["cl"].result_list)

    def act(self, model: type[Model], action: str, *pks: object) -> str:
        """Run an action on these rows; the page it leads to."""
        body = {"action": action, "_selected_action": [str(pk) for pk in pks]}
        return self.admin.post(_list_of(model), body, follow=True).content.decode()

    def assert_refused_to(self, name: str, *args: object) -> None:
        self.assertEqual(self.admin.post(reverse(f"admin:trade_{name}", args=args), {}).status_code, 403)


class Orders(AdminTestCase):
    def test_it_searches_and_filters(self) -> None:
        order = self.placed(self.ann, "buy", 3, 10, client_order_id="mine")
        self.placed(self.bob, "sell", 1, 10)
        self.placed(self.bob, "sell", 1, 20)
        for query, count in [
            ({}, 3),
            ({"q": order["order_id"]}, 1),
            ({"q": str(uuid4())}, 0),
            ({"q": "ANN"}, 1),
            ({"q": "bob"}, 2),
            ({"q": "ACME"}, 3),
            ({"q": "mine"}, 1),
            ({"q": "nobody's"}, 0),
            ({"open": "yes"}, 2),
            ({"open": "no"}, 1),
            ({"status__exact": "FILLED"}, 1),
            ({"side__exact": "sell"}, 2),
        ]:
            with self.subTest(query):
                self.assertEqual(self.found(Order, **query), count)

    def test_it_cancels_through_the_engine(self) -> None:
        open_order = self.placed(self.ann, "buy", 3, 10)
        filled = self.placed(self.bob, "sell", 3, 10)
        other = self.placed(self.ann, "buy", 3, 9)
        page = self.act(Order, "cancel", open_order["order_id"], filled["order_id"], other["order_id"])
        self.assertIn("1 of 3 cancelled.", page)
        self.assertIn("the order is finished", page)
        self.assertEqual(Order.objects.get(pk=other["order_id"]).status, "CANCELLED")
        self.assertEqual(self.cash(self.ann), (9_970, 0))

    def test_it_lets_only_those_cancel_who_may(self) -> None:
        order = self.placed(self.ann, "buy", 3, 10)
        User.objects.filter(pk=self.clara.pk).update(is_superuser=False)
        self.clara.user_permissions.add(Permission.objects.get(codename="view_order"))
        self.assertEqual(self.found(Order), 1)
        self.act(Order, "cancel", order["order_id"])
        self.assertEqual(Order.objects.get().status, "ACTIVE")
        self.clara.user_permissions.add(Permission.objects.get(codename="change_order"))
        self.act(Order, "cancel", order["order_id"])
        self.assertEqual(Order.objects.get().status, "CANCELLED")

    def test_it_shows_an_order_with_its_events_and_no_way_to_change_it(self) -> None:
        order = self.placed(self.ann, "buy", 3, 10)
        self.delete(self.ann, f"orders/{order['order_id']}/")
        url = reverse("admin:trade_order_change", args=[order["order_id"]])
        response = self.admin.get(url)
        self.assertContains(response, "cancelled")
        self.assertNotContains(response, "_save")
        self.assert_refused_to("order_change", order["order_id"])
        self.assert_refused_to("order_delete", order["order_id"])
        self.assert_refused_to("order_add")

    def test_it_lists_with_the_same_queries_however_many_there_are(self) -> None:
        for model in (Order, Trade, OrderEvent):
            counts = []
            for _ in range(2):
                for _ in range(5):
                    self.placed(self.bob, "sell", 1, 10)
                    self.placed(self.ann, "buy", 1, 10)
                with CaptureQueriesContext(connection) as queries:
                    self.found(model)
                counts.append(len(queries))
            with self.subTest(model):
                self.assertEqual(counts[0], counts[1])


class Trades(AdminTestCase):
    def test_it_searches(self) -> None:
        sold = self.placed(self.bob, "sell", 1, 10)
        self.placed(self.ann, "buy", 1, 10)
        for model, query, count in [
            (Trade, {"q": sold["order_id"]}, 1),
            (Trade, {"q": "ann"}, 1),
            (Trade, {"q": "clara"}, 0),
            (Trade, {"q": "ACME"}, 1),
            (Trade, {"source__exact": "feed"}, 0),
            (OrderEvent, {"q": sold["order_id"]}, 1),
            (OrderEvent, {"q": "ACME"}, 2),
            (OrderEvent, {"kind__exact": "cancelled"}, 0),
        ]:
            with self.subTest(model=model, query=query):
                self.assertEqual(self.found(model, **query), count)

    @override_settings(SETTLEMENT="deferred")
    def test_it_settles_what_has_not_settled(self) -> None:
        trade_ids = []
        for _ in range(2):
            self.placed(self.bob, "sell", 1, 10)
            self.placed(self.ann, "buy", 1, 10)
            trade_ids.append(Trade.objects.latest("trade_id").pk)
        self.assertEqual((self.found(Trade), self.found(Trade, settled="no")), (2, 2))
        self.assertIn("1 of 1 settled.", self.act(Trade, "settle", trade_ids[0]))
        self.assertEqual((self.found(Trade), self.found(Trade, settled="no")), (2, 1))
        page = self.act(Trade, "settle", *trade_ids)
        self.assertIn("1 of 2 settled.", page)
        self.assertIn("the trade is settled already", page)
        self.assertEqual((self.cash(self.bob)[0], self.shares(self.ann)[0]), (1_020, 2))

    @override_settings(SETTLEMENT="deferred")
    def test_it_lets_only_those_settle_who_may(self) -> None:
        self.placed(self.bob, "sell", 1, 10)
        self.placed(self.ann, "buy", 1, 10)
        User.objects.filter(pk=self.clara.pk).update(is_superuser=False)
        self.clara.user_permissions.add(Permission.objects.get(codename="view_trade"))
        self.act(Trade, "settle", Trade.objects.get().pk)
        self.assertIsNone(Trade.objects.get().settled_at)
        self.clara.user_permissions.add(Permission.objects.get(codename="change_trade"))
        self.act(Trade, "settle", Trade.objects.get().pk)
        self.assertIsNotNone(Trade.objects.get().settled_at)

    def test_it_only_shows(self) -> None:
        self.placed(self.bob, "sell", 1, 10)
        self.placed(self.ann, "buy", 1, 10)
        for name, pk in [("trade", Trade.objects.get().pk), ("orderevent", OrderEvent.objects.all()[0].pk)]:
            page = self.admin.get(reverse(f"admin:trade_{name}_change", args=[pk]))
            self.assertNotContains(page, "_save")
            self.assert_refused_to(f"{name}_change", pk)
            self.assert_refused_to(f"{name}_delete", pk)
            self.assert_refused_to(f"{name}_add")


class Stocks(AdminTestCase):
    def test_it_halts_and_resumes_through_the_engine(self) -> None:
        self.assertIn("1 halted.", self.act(Stock, "halt", "ACME"))
        self.assert_refused(self.order(self.ann, "buy", 1, 1), 400, "market_halted", "stock_id")
        self.assertIn("0 halted.", self.act(Stock, "halt", "ACME"))
        self.assertIn("1 resumed.", self.act(Stock, "resume", "ACME"))
        self.placed(self.ann, "buy", 1, 1)
        self.assertEqual(
            list(OrderEvent.objects.values_list("kind", flat=True)), ["halted", "resumed", "entered"]
        )


def _list_of(model: type[Model]) -> str:
    return reverse(f"admin:{model._meta.app_label}_{model._meta.model_name}_changelist")
