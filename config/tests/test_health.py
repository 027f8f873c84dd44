from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from typing import Any
from unittest.mock import patch

from django.db import OperationalError
from django.test import TestCase, override_settings, tag
from rest_framework.test import APIClient

from config import health
from config.testing.servers import needs, redis_server
from trade.engine import get_engine, reset_engine
from users.tests.base import ApiTestCase, client_of, forget_everything


@contextmanager
def feed_age(age_s: float | None) -> Iterator[None]:
    age = None if age_s is None else timedelta(seconds=age_s)
    with (
        patch.multiple("config.health", feed_age=lambda now: age),
        patch("config.metrics.feed_age", lambda now: age),
    ):
        yield


@override_settings(ENGINE_THREADS=0)
class HealthTests(TestCase):
    def setUp(self) -> None:
        forget_everything()
        reset_engine()
        self.addCleanup(reset_engine)

    def ask(self) -> tuple[int, dict[str, Any]]:
        response = APIClient().get("/health/")
        return response.status_code, response.json()

    def test_it_answers_for_every_part_without_a_login(self) -> None:
        with feed_age(1.5):
            status, body = self.ask()
        self.assertEqual((status, body["status"]), (200, "ok"))
        self.assertEqual(set(body), {"status", "database", "feed", "channel_layer", "engine"})
        self.assertEqual([body[part]["status"] for part in health.CHECKS], ["ok"] * 4)
        self.assertEqual(body["feed"]["age_s"], 1.5)

    def test_it_is_found_at_both_paths_and_never_cached(self) -> None:
        for path in ("/health", "/health/", "/api/health", "/api/health/"):
            with self.subTest(path):
                response = APIClient().get(path)
                self.assertEqual((response.status_code, response["Cache-Control"]), (200, "no-store"))

    def test_a_feed_that_is_silent_takes_nothing_down_unless_asked_to(self) -> None:
        for age_s, limit, status, word in [
            (None, 0, 200, "silent"),
            (61, 0, 200, "stale"),
            (61, 100, 200, "stale"),
            (101, 100, 503, "down"),
        ]:
            with self.subTest(age_s=age_s, limit=limit), feed_age(age_s):
                with override_settings(HEALTH_FEED_MAX_AGE_S=limit):
                    answer, body = self.ask()
                self.assertEqual((answer, body["feed"]["status"]), (status, word))

    def test_a_part_that_fails_is_named_and_its_secrets_are_not(self) -> None:
        def fail(*_: Any, **__: Any) -> None:
            raise OperationalError("password of host db-1 is wrong")

        for part in health.CHECKS:
            with self.subTest(part), patch.dict(health.CHECKS, {part: fail}):
                with self.assertLogs("config.health", "WARNING"):
                    status, body = self.ask()
                self.assertEqual((status, body["status"]), (503, "down"))
                self.assertEqual(body[part], {"status": "down", "error": "OperationalError"})

    def test_an_engine_whose_threads_died_is_down(self) -> None:
        state = {**get_engine().status(), "threads": 2, "threads_alive": 1, "last_error": "secret"}
        with patch.object(type(get_engine()), "status", lambda engine: state):
            status, body = self.ask()
        self.assertEqual((status, body["engine"]["status"]), (503, "down"))
        self.assertNotIn("secret", str(body))

    def test_redis_that_is_not_there_is_down(self) -> None:
        with (
            override_settings(REDIS_URL="redis://127.0.0.1:1/0"),
            self.assertLogs("config.health", "WARNING"),
        ):
            status, body = self.ask()
        self.assertEqual((status, body["channel_layer"]["status"]), (503, "down"))

    @tag("sqlite")
    @needs("redis")
    def test_redis_that_is_there_is_well(self) -> None:
        with redis_server() as server, override_settings(REDIS_URL=server.url):
            status, body = self.ask()
        self.assertEqual((status, body["channel_layer"]), (200, {"status": "ok", "kind": "redis"}))


@override_settings(ENGINE_THREADS=0)
class MetricsTests(ApiTestCase):
    def setUp(self) -> None:
        super().setUp()
        reset_engine()
        self.addCleanup(reset_engine)

    def test_it_is_for_staff(self) -> None:
        for user, status in [(None, 401), (self.ann, 403), (self.clara, 200)]:
            with self.subTest(user):
                self.assertEqual(client_of(user).get("/metrics").status_code, status)

    def test_a_setting_opens_it(self) -> None:
        with override_settings(METRICS_PUBLIC=True):
            self.assertEqual(client_of(None).get("/metrics/").status_code, 200)

    def test_it_speaks_prometheus_whatever_is_asked_for(self) -> None:
        client = client_of(self.clara)
        with feed_age(2.5):
            response = client.get(
                "/metrics", headers={"Accept": "application/openmetrics-text;version=1.0.0"}
            )
        self.assertEqual(response.status_code, 200)
        self.assertTrue(response["Content-Type"].startswith("text/plain"))
        lines = response.content.decode().splitlines()
        for line in ("bourse_stocks 0.0", "bourse_feed_age_seconds 2.5", "bourse_engine_waiting 0.0"):
            self.assertIn(line, lines)

    def test_a_feed_that_never_was_has_no_age(self) -> None:
        with feed_age(None):
            body = client_of(self.clara).get("/metrics").content.decode()
        self.assertNotIn("bourse_feed_age_seconds", body)
