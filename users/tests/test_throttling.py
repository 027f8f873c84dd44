from collections.abc import Callable
from typing import Any
from unittest.mock import patch

from django.conf import settings
from django.test import override_settings
from rest_framework.response import Response

from users.tests.base import PASSWORD, ApiTestCase, client_of
from users.throttling import WindowThrottle


def rates(**changes: str) -> Any:
    changed = {**settings.REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"], **changes}
    return override_settings(REST_FRAMEWORK={**settings.REST_FRAMEWORK, "DEFAULT_THROTTLE_RATES": changed})


class ThrottleTests(ApiTestCase):
    now: float

    def setUp(self) -> None:
        super().setUp()
        # A window begins.
        self.clock = patch.object(WindowThrottle, "timer", lambda throttle: self.now)
        self.now = 1_700_000_000.0 // 60 * 60
        self.clock.start()
        self.addCleanup(self.clock.stop)

    def sign_up(self, name: str, **extra: Any) -> Response:
        body = {"username": name, "password": PASSWORD, "email": "d@bourse.example"}
        return client_of(None).post("/api/users/", body, **extra)

    def log_in(self, name: str, password: str = "wrong", **extra: Any) -> Response:
        return client_of(None).post("/api/auth/token/", {"username": name, "password": password}, **extra)

    def assert_throttled(self, response: Response, retry_after: int) -> None:
        self.assert_refused(response, 429, "throttled")
        self.assertEqual(response["Retry-After"], str(retry_after))

    @rates(sign_up="2/min")
    def test_signing_up_is_limited_per_address(self) -> None:
        self.assertEqual([self.sign_up(name).status_code for name in ("u1", "u2")], [201, 201])
        self.now += 20
        self.assert_throttled(self.sign_up("u3"), 40)
        self.assertEqual(self.sign_up("u4", REMOTE_ADDR="10.0.0.9").status_code, 201)
        self.now += 40
        self.assertEqual(self.sign_up("u5").status_code, 201)

    @rates(sign_up="1/min")
    def test_reading_users_is_not_signing_up(self) -> None:
        client = client_of(self.ann)
        self.assertEqual([client.get("/api/users/").status_code for _ in range(3)], [200] * 3)

    @rates(sign_up="1/min")
    def test_a_made_up_forwarded_address_does_not_help(self) -> None:
        self.sign_up("u1", HTTP_X_FORWARDED_FOR="1.1.1.1")
        self.assertEqual(self.sign_up("u2", HTTP_X_FORWARDED_FOR="2.2.2.2").status_code, 429)

    @rates(log_in="3/min")
    def test_guessing_is_limited_per_address(self) -> None:
        for name in ("ann", "bob", "x"):
            self.assertEqual(self.log_in(name).status_code, 401)
        self.assert_throttled(self.log_in("y"), 60)

    @rates(log_in="3/min")
    def test_guessing_is_limited_per_name_from_anywhere(self) -> None:
        for number, name in enumerate(("ann", "ANN", "Ann")):
            self.assertEqual(self.log_in(name, REMOTE_ADDR=f"10.0.0.{number}").status_code, 401)
        self.assert_throttled(self.log_in("ann", PASSWORD, REMOTE_ADDR="10.0.0.9"), 60)
        self.assertEqual(self.log_in("bob", PASSWORD, REMOTE_ADDR="10.0.0.9").status_code, 200)

    def test_names_that_are_no_text_are_counted_by_address_alone(self) -> None:
        bodies: list[Callable[[], Response]] = [
            lambda: client_of(None).post("/api/auth/token/", {"username": ["ann"], "password": "x"}),
            lambda: client_of(None).post("/api/auth/token/", ["ann"]),
            lambda: self.post_raw(None, "/api/auth/token/", b"{"),
        ]
        for post in bodies:
            self.assertEqual(post().status_code, 400)

    @rates(user="2/min")
    def test_every_call_can_be_limited_per_user(self) -> None:
        ann, bob = client_of(self.ann), client_of(self.bob)
        path = "/api/users/me/balance/"
        self.assertEqual([ann.get(path).status_code for _ in range(3)], [200, 200, 429])
        self.assertEqual(bob.get(path).status_code, 200)
        nobody = client_of(None)
        self.assertEqual([nobody.get("/api/stocks/").status_code for _ in range(3)], [200, 200, 429])
        # Health is asked by machines that must not be turned away.
        self.assertEqual([nobody.get("/health/").status_code for _ in range(3)], [200] * 3)

    @rates(log_in="1/min")
    def test_a_window_that_ends_meanwhile_lets_the_attempt_through(self) -> None:
        self.log_in("ann")
        with patch.object(WindowThrottle.cache, "incr", side_effect=ValueError("gone")):
            self.assertEqual(self.log_in("ann").status_code, 401)

    @rates(log_in="3/min")
    def test_a_burst_is_counted_in_one_step(self) -> None:
        """Between the count of one attempt and the next nobody can slip through: there is no read first."""
        with patch.object(WindowThrottle.cache, "get", side_effect=AssertionError("read before count")):
            self.assertEqual([self.log_in("ann").status_code for _ in range(4)], [401, 401, 401, 429])
