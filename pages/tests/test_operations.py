import re
from unittest.mock import patch

from django.core.cache import cache
from django.db import DatabaseError
from django.test import Client

from pages import operations
from pages.figures import Reading, Readings
from pages.tests.base import PageTestCase
from stocks.models import Stock
from users.models import CashAccount

PATH = "/operations/"
HALT, RESUME = f"{PATH}halt/ACME/", f"{PATH}resume/ACME/"
AUDIT = f"{PATH}audit/"


class OperationsPageTests(PageTestCase):
    def status(self) -> str:
        return Stock.objects.get().status

    def test_it_is_for_staff(self) -> None:
        for path in (PATH, HALT, RESUME):
            self.assert_asks_to_log_in(path)
            self.assertEqual(self.page(self.ann, path).status_code, 403)
            self.assertEqual(self.page(self.clara, path).status_code, 200)
        for path in (HALT, AUDIT):
            self.assertEqual(self.client_of(self.ann).post(path).status_code, 403)
            self.assertEqual(self.client_of(None).post(path).status_code, 302)
        self.assertEqual(self.status(), "open")
        self.assertIsNone(cache.get(operations._AUDIT_REPORT))

    def test_only_staff_are_led_there(self) -> None:
        self.assertNotContains(self.page(self.ann, "/"), PATH)
        self.assertContains(self.page(self.clara, "/"), PATH)

    def test_it_shows_the_feed_the_engine_and_the_streams(self) -> None:
        self.tick("10", 5)
        page = self.page(self.clara, PATH)
        for shown in ("1 stored", "never heard", "Stream sockets", "commands in lanes", "0 of 0 run"):
            self.assertContains(page, shown)
        self.assert_safe(page)

    def test_it_counts_the_orders_that_were_refused(self) -> None:
        for price in ("1000", "2000"):
            with self.assertRaisesRegex(Exception, "fund"):
                self.place(self.ann, "buy", 10, price)
        page = self.page(self.clara, PATH)
        self.assertIn(("insufficient_funds", 2), page.context["refused_orders"])

    def test_it_halts_and_resumes_when_that_is_confirmed(self) -> None:
        client = self.client_of(self.clara)
        self.assertContains(client.get(HALT), "Halt ACME?")
        self.assertEqual(self.status(), "open")
        self.assertContains(client.post(HALT, follow=True), "ACME is halted now.")
        self.assertEqual(self.status(), "halted")
        self.assertContains(client.post(HALT, follow=True), "ACME was halted already.")
        self.assertContains(client.get(PATH), f'href="{RESUME}"')
        self.assertContains(client.post(RESUME, follow=True), "ACME is open now.")
        self.assertEqual(self.status(), "open")

    def test_it_needs_the_forms_token(self) -> None:
        client = Client(enforce_csrf_checks=True)
        client.force_login(self.clara)
        for path in (HALT, AUDIT):
            self.assertEqual(client.post(path).status_code, 403)
        self.assertEqual(self.status(), "open")
        token = re.search(r'csrfmiddlewaretoken" value="(\w+)"', client.get(HALT).content.decode())
        assert token is not None
        self.assertRedirects(client.post(HALT, {"csrfmiddlewaretoken": token[1]}), PATH)
        self.assertEqual(self.status(), "halted")

    def test_an_unknown_stock_is_an_unknown_page(self) -> None:
        for path in (f"{PATH}halt/NONE/", f"{PATH}sell/ACME/"):
            self.assertEqual(self.page(self.clara, path).status_code, 404)


class AuditTests(PageTestCase):
    def audit(self) -> str:
        return self.client_of(self.clara).post(AUDIT, follow=True).content.decode()

    def test_it_runs_when_it_is_asked_for_and_is_shown_from_then_on(self) -> None:
        with patch.object(operations, "run_audit", wraps=operations.run_audit) as run:
            self.assertContains(self.page(self.clara, PATH), "Not run from here yet")
            run.assert_not_called()
            self.assertRegex(self.audit(), r"all \d+ promises hold")
            self.assertContains(
                self.page(self.clara, PATH), "an account&#x27;s balance is the sum of its ledger"
            )
            run.assert_called_once()

    def test_it_says_with_a_word_what_is_broken_and_names_the_offender(self) -> None:
        CashAccount.objects.filter(user=self.ann).update(balance=7)
        text = self.audit()
        self.assertRegex(text, r'class="broken">\d of \d+ promises are broken')
        self.assertIn(f"user_id={self.ann.pk}", text)

    def test_it_is_not_run_again_at_once(self) -> None:
        with patch.object(operations, "run_audit", return_value=[]) as run:
            self.audit()
            self.assertIn("not run again", self.audit())
            run.assert_called_once()
            cache.delete(operations._AUDIT_TURN)
            self.audit()
            self.assertEqual(run.call_count, 2)

    def test_one_that_failed_lets_the_next_run(self) -> None:
        with (
            patch.object(operations, "run_audit", side_effect=DatabaseError("away")),
            self.assertLogs("pages.operations", "WARNING"),
        ):
            self.assertIn("did not answer the audit", self.audit())
        self.assertIsNone(cache.get(operations._AUDIT_REPORT))
        cache.delete(operations._AUDIT_TURN)
        self.assertIn("promises hold", self.audit())

    def test_it_is_not_run_by_looking(self) -> None:
        self.assertEqual(self.page(self.clara, AUDIT).status_code, 405)


class ReadingsTests(PageTestCase):
    def reading(self, at_s: float, ticks: int, lag: tuple[float, int] = (0.0, 0)) -> Reading:
        return Reading(at_s, ticks, 2 * ticks, 0, *lag)

    def test_it_needs_two_readings_some_time_apart(self) -> None:
        readings = Readings()
        self.assertIsNone(readings.add(self.reading(100, 50)))
        self.assertIsNone(readings.add(self.reading(100.5, 60)))
        rates = readings.add(self.reading(110, 80))
        assert rates is not None
        self.assertEqual((rates.ticks, rates.events, rates.lag_s), (3, 6, None))

    def test_it_forgets_what_is_older_than_its_window(self) -> None:
        readings = Readings()
        for at_s, ticks in ((0, 0), (50, 1_000), (100, 1_100)):
            rates = readings.add(self.reading(at_s, ticks))
        assert rates is not None
        self.assertEqual((rates.over_s, rates.ticks), (50, 2))

    def test_it_means_the_lag_of_the_batches_in_between(self) -> None:
        readings = Readings()
        readings.add(self.reading(0, 0, (1.0, 10)))
        rates = readings.add(self.reading(10, 0, (1.5, 15)))
        assert rates is not None and rates.lag_s is not None
        self.assertAlmostEqual(rates.lag_s, 0.1)
