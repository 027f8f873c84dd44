import json
import re
from decimal import Decimal
from html import unescape

from django.db import connection
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from pages.tests.base import PageTestCase
from trade.selectors.wealth import wealth_of
from users.services import deposit

PATH = "/portfolio/"


class PortfolioPageTests(PageTestCase):
    def test_it_shows_what_its_user_is_worth_and_what_was_won(self) -> None:
        self.tick("20", 10)
        self.place(self.ann, "buy", 10, "20")
        self.tick("25", 0)
        self.place(self.ann, "buy", 4, "10")
        page = self.page(self.ann, PATH)
        for shown in ("1,050.00", "760.00", "40.00", "250.00", "+50.00", "+5.00 %", "Place 1"):
            self.assertContains(page, shown)
        self.assert_safe(page)

    def test_its_curve_ends_at_the_value_it_shows(self) -> None:
        self.tick("20", 10)
        self.place(self.ann, "buy", 10, "20")
        text = self.page(self.ann, PATH).content.decode()
        (points,) = re.findall(r'data-points="([^"]*)"', text)
        at, value, cash = json.loads(unescape(points))[-1]
        self.assertTrue(at.endswith("Z"))
        self.assertEqual(Decimal(value) / 10_000, wealth_of(self.ann.pk).value)
        self.assertEqual(cash, "8000000")

    def test_it_shows_cash_movements_a_piece_at_a_time(self) -> None:
        for amount in range(1, 61):
            deposit(user_id=self.ann.pk, amount=Decimal(amount), now=timezone.now())
        newest = self.page(self.ann, PATH)
        self.assertContains(newest, "+60.00")
        self.assertNotContains(newest, "+10.00<")
        older = re.search(r"\?before=\d+", newest.content.decode())
        assert older is not None
        page = self.page(self.ann, PATH + older[0])
        self.assertContains(page, "+10.00<")
        self.assertContains(page, "+1,000.00<")
        self.assertNotContains(page, "?before=")
        self.assertNotContains(page, "+11.00<")

    def test_it_shows_nothing_of_others(self) -> None:
        page = self.page(self.ann, PATH)
        self.assertNotContains(page, "ACME")
        self.assertNotContains(page, "bob")

    def test_it_is_for_who_is_logged_in_and_only_read(self) -> None:
        self.assert_asks_to_log_in(PATH)
        self.assertEqual(self.client_of(self.ann).post(PATH).status_code, 405)

    def test_it_shrugs_at_a_piece_that_makes_no_sense(self) -> None:
        for before in ("x", "-1", "\u0661", "9" * 19, "9" * 400, "1e3", "\x00"):
            self.assertEqual(self.client_of(self.ann).get(PATH, {"before": before}).status_code, 200, before)

    def test_it_has_words_for_somebody_new(self) -> None:
        self.client_of(None).post(
            "/sign-up/", {"username": "eve", "email": "e@bourse.example", "password": "correct horse 9"}
        )
        page = self.page(type(self.ann).objects.get(username="eve"), PATH)
        for words in ("Nothing to draw yet", "No shares yet", "No cash movements yet"):
            self.assertContains(page, words)

    def test_it_costs_as_many_queries_whatever_was_traded(self) -> None:
        self.tick("20", 1_000)
        client = self.client_of(self.ann)
        client.get(PATH)
        for _ in range(20):
            self.place(self.ann, "buy", 1, "20")
        with CaptureQueriesContext(connection) as queries:
            client.get(PATH)
        self.assertLessEqual(len(queries), 12)
