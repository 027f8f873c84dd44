from datetime import timedelta
from decimal import Decimal
from unittest.mock import patch

from django.urls import reverse

from stocks.models import Candle, Holding, ShareGrant, Stock, Tick
from stocks.services import grant_shares
from stocks.tests.base import feed, make_stock
from users import admin as users_admin
from users.models import User
from users.tests.base import NOON, make_user
from users.tests.test_admin import AdminTestCase

FEES = {"maker_fee_bps": 0, "taker_fee_bps": 0}


class StockAdminTests(AdminTestCase):
    def test_staff_list_a_stock(self) -> None:
        url = reverse("admin:stocks_stock_add")
        body = {**FEES, "stock_id": "ACME", "name": "Acme", "price_increment": "0.05", "lot_size": 10}
        self.assertEqual(self.client.post(url, body).status_code, 302)
        stock = Stock.objects.get()
        self.assertEqual((stock.pk, stock.price_increment, stock.lot_size), ("ACME", Decimal("0.05"), 10))
        self.assertContains(self.client.post(url, body), "already exists")

    def test_staff_set_rules_and_take_them_away(self) -> None:
        make_stock("ACME", max_quantity=50, price_collar_bps=100)
        url = reverse("admin:stocks_stock_change", args=["ACME"])
        body = {
            "name": "Acme",
            "price_increment": "0.01",
            "lot_size": 1,
            "max_quantity": "",
            "min_quantity": 5,
            "min_notional": "10.5",
            "price_collar_bps": "",
            "maker_fee_bps": 3,
            "taker_fee_bps": 7,
        }
        self.assertEqual(self.client.post(url, body).status_code, 302)
        stock = Stock.objects.get()
        self.assertEqual((stock.min_quantity, stock.max_quantity, stock.price_collar_bps), (5, None, None))
        self.assertEqual(
            (stock.min_notional, stock.maker_fee_bps, stock.taker_fee_bps), (Decimal("10.5"), 3, 7)
        )
        crossed = self.client.post(url, {**body, "max_quantity": 4}, follow=True)
        self.assertContains(crossed, "he bounds cross: min_quantity 5, max_quantity 4")
        self.assertIsNone(Stock.objects.get().max_quantity)

    def test_bad_input_is_shown_again(self) -> None:
        url = reverse("admin:stocks_stock_add")
        good = {**FEES, "stock_id": "ACME", "name": "Acme", "price_increment": "0.05", "lot_size": 10}
        for field, value in [
            ("stock_id", "A B"),
            ("price_increment", "0"),
            ("price_increment", "1e9"),
            ("lot_size", 0),
            ("min_quantity", "1.5"),
            ("max_quantity", -1),
            ("min_notional", "1e99"),
            ("max_notional", "NaN"),
            ("price_collar_bps", 0),
            ("maker_fee_bps", 1_001),
            ("taker_fee_bps", ""),
        ]:
            with self.subTest(field=field, value=value):
                self.assertEqual(self.client.post(url, {**good, field: value}).status_code, 200)
        self.assertFalse(Stock.objects.exists())

    def test_a_form_left_open_does_not_undo_what_the_market_did_meanwhile(self) -> None:
        make_stock("ACME")
        url = reverse("admin:stocks_stock_change", args=["ACME"])
        feed("ACME", [(100_000, 5, NOON)])
        body = {
            **FEES,
            "name": "New",
            "price_increment": "0.5",
            "lot_size": 1,
            "sequence": 0,
            "status": "halted",
        }
        with patch("stocks.admin.update_stock", side_effect=self.market_moves):
            self.assertEqual(self.client.post(url, body).status_code, 302)
        stock = Stock.objects.get()
        self.assertEqual((stock.name, stock.sequence, stock.status, stock.tick_count), ("New", 2, "open", 2))

    def market_moves(self, **changes: object) -> Stock:
        from stocks.services import update_stock

        feed("ACME", [(200_000, 5, NOON + timedelta(hours=1))])
        return update_stock(**changes)  # type: ignore[arg-type]

    def test_a_refusal_of_the_service_is_a_message(self) -> None:
        make_stock("ACME")
        url = reverse("admin:stocks_sharegrant_add")
        body = {"user": self.ann.pk, "stock": "ACME", "quantity": -5}
        response = self.client.post(url, body, follow=True)
        self.assertContains(response, "does not have this many shares free")
        self.assertFalse(ShareGrant.objects.exists())
        self.assertFalse(Holding.objects.exists())

    def test_stocks_are_not_deleted(self) -> None:
        make_stock("ACME")
        url = reverse("admin:stocks_stock_delete", args=["ACME"])
        self.assertEqual(self.client.post(url, {"post": "yes"}).status_code, 403)


class GrantAdminTests(AdminTestCase):
    def test_to_add_a_grant_is_to_grant(self) -> None:
        make_stock("ACME")
        url = reverse("admin:stocks_sharegrant_add")
        self.assertEqual(self.client.get(url).status_code, 200)
        for quantity in (100, -40):
            response = self.client.post(url, {"user": self.ann.pk, "stock": "ACME", "quantity": quantity})
            self.assertEqual(response.status_code, 302)
        self.assertEqual(Holding.objects.get().quantity, 60)
        self.assertEqual([grant.granted_by for grant in ShareGrant.objects.all()], [self.root] * 2)

    def test_bad_quantities_are_shown_again(self) -> None:
        make_stock("ACME")
        url = reverse("admin:stocks_sharegrant_add")
        for quantity in ("0", "", "1.5", "many", "1" + "0" * 30):
            with self.subTest(quantity):
                body = {"user": self.ann.pk, "stock": "ACME", "quantity": quantity}
                self.assertEqual(self.client.post(url, body).status_code, 200)
        self.assertFalse(ShareGrant.objects.exists())

    def test_users_are_shown_with_what_they_hold(self) -> None:
        make_stock("ACME")
        grant_shares(user_id=self.ann.pk, stock_id="ACME", quantity=1234, now=NOON)
        page = self.client.get(reverse("admin:users_user_change", args=[self.ann.pk]))
        self.assertContains(page, "1234")
        self.assertNotContains(page, "holdings-0-quantity")


class BooksAdminTests(AdminTestCase):
    def fill(self, user: User, number: int) -> None:
        make_stock(f"S{number}")
        feed(f"S{number}", [(100_000, 5, NOON), (200_000, 5, NOON + timedelta(days=1))])
        grant_shares(user_id=user.pk, stock_id=f"S{number}", quantity=5, granted_by_id=self.root.pk, now=NOON)

    def test_lists_take_the_same_queries_for_many(self) -> None:
        models = ("stock", "tick", "candle", "holding", "sharegrant")
        self.fill(self.ann, 0)
        few = {model: self.queries_of(reverse(f"admin:stocks_{model}_changelist")) for model in models}
        for number in range(1, 10):
            self.fill(make_user(f"user-{number}"), number)
        for model in models:
            with self.subTest(model):
                self.assertEqual(self.queries_of(reverse(f"admin:stocks_{model}_changelist")), few[model])

    def test_a_user_with_many_holdings_takes_the_same_queries(self) -> None:
        url = reverse("admin:users_user_change", args=[self.ann.pk])
        self.fill(self.ann, 0)
        self.queries_of(url)  # looks up content types, once
        few = self.queries_of(url)
        for number in range(1, 10):
            self.fill(self.ann, number)
        self.assertEqual(self.queries_of(url), few)

    def test_books_are_read_only(self) -> None:
        self.fill(self.ann, 0)
        for model, row in [
            ("tick", Tick.objects.first()),
            ("candle", Candle.objects.first()),
            ("holding", Holding.objects.first()),
            ("sharegrant", ShareGrant.objects.first()),
        ]:
            assert row is not None
            with self.subTest(model):
                change = reverse(f"admin:stocks_{model}_change", args=[row.pk])
                self.assertEqual(self.client.get(change).status_code, 200)
                self.assertEqual(self.client.post(change, {"quantity": 5}).status_code, 403)
                delete = reverse(f"admin:stocks_{model}_delete", args=[row.pk])
                self.assertEqual(self.client.post(delete, {"post": "yes"}).status_code, 403)

    def test_lists_can_be_searched_by_stock(self) -> None:
        self.fill(self.ann, 0)
        self.fill(self.ann, 1)
        for model in ("stock", "tick", "candle", "holding", "sharegrant"):
            with self.subTest(model):
                page = self.client.get(reverse(f"admin:stocks_{model}_changelist"), {"q": "S1"})
                self.assertContains(page, "S1</")
                self.assertNotContains(page, "S0</")

    def test_a_long_list_is_counted_only_so_far(self) -> None:
        make_stock("ACME")
        feed("ACME", [(100_000, 5, NOON + timedelta(seconds=number)) for number in range(20)])
        with patch.object(users_admin, "MAX_COUNTED", 7):
            page = self.client.get(reverse("admin:stocks_tick_changelist"))
        self.assertEqual(page.context["cl"].result_count, 7)
