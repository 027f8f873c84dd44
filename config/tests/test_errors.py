import json
from typing import Any
from unittest.mock import patch

from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.db import DataError, InterfaceError, OperationalError
from django.test import RequestFactory, SimpleTestCase, override_settings
from rest_framework.exceptions import APIException

from config import errors
from users.exceptions import Refusal
from users.tests.base import ApiTestCase, client_of

BALANCE = "/api/users/me/balance/"


class Gone(Refusal):
    """A refusal with a status of its own."""

    code = "gone"
    status = 410


class RaisedTests(ApiTestCase):
    """What a view raises."""

    def answer_to(self, error: Exception) -> Any:
        client = client_of(self.ann)
        client.raise_request_exception = False
        with patch("stocks.apis.holdings_of", side_effect=error):
            return client.get(BALANCE)

    def test_each_is_answered_in_the_one_shape(self) -> None:
        for error, status, code, attr, kind in [
            (Refusal("no"), 400, "refused", None, "client_error"),
            (Refusal("no", field="price"), 400, "refused", "price", "validation_error"),
            (Gone("no"), 410, "gone", None, "client_error"),
            (Gone("no", field="price"), 410, "gone", "price", "client_error"),
            (RequestDataTooBig("big"), 413, "request_too_large", None, "client_error"),
            (SuspiciousOperation("odd"), 400, "suspicious_request", None, "client_error"),
        ]:
            with self.subTest(repr(error)):
                response = self.answer_to(error)
                self.assert_refused(response, status, code, attr)
                self.assertEqual(response.json()["type"], kind)

    def test_a_database_that_is_busy_or_away_is_503_and_worth_another_try(self) -> None:
        for error in (OperationalError("database is locked"), InterfaceError("connection already closed")):
            with self.subTest(repr(error)), self.assertLogs("config.errors", "WARNING") as log:
                response = self.answer_to(error)
                self.assertIn(str(error), log.output[0])
                self.assert_refused(response, 503, "database_unavailable")
                self.assertEqual(response["Retry-After"], "1")
                self.assertNotIn(str(error), response.content.decode())

    def test_a_busy_engine_is_worth_another_try(self) -> None:
        busy = Refusal("busy")
        busy.status = 503
        with self.assertLogs("django.request", "ERROR"):
            self.assertEqual(self.answer_to(busy)["Retry-After"], "1")

    def test_a_defect_is_500_and_tells_nothing(self) -> None:
        for error in (DataError("secret"), ValueError("secret"), KeyError("secret")):
            with self.subTest(repr(error)), self.assertLogs("django.request", "ERROR"):
                response = self.answer_to(error)
                self.assert_refused(response, 500, "error")
                self.assertEqual(response.json()["type"], "server_error")
                self.assertNotIn("secret", response.content.decode())


class BeforeViewsTests(ApiTestCase):
    """What never reaches a view."""

    def test_an_unknown_path_below_api_is_404_in_json_for_every_method(self) -> None:
        client = client_of(None)
        for debug in (False, True):
            for path in (
                "/api/",
                "/api/nowhere",
                "/api/users/1/nothing/",
                "/api/users/x",
                "/api/stocks/%20/",
            ):
                for method in ("get", "post", "put", "patch", "delete"):
                    with self.subTest(path=path, method=method, debug=debug), override_settings(DEBUG=debug):
                        self.assert_refused(getattr(client, method)(path), 404, "not_found")

    def test_elsewhere_there_are_pages(self) -> None:
        response = client_of(None).get("/nowhere")
        self.assertEqual((response.status_code, response["Content-Type"]), (404, "text/html; charset=utf-8"))

    def test_a_method_that_is_not_there_is_405(self) -> None:
        for path in ("/api/users/", "/api/auth/token/", "/api/stocks/"):
            response = client_of(self.clara).put(path, {})
            self.assert_refused(response, 405, "method_not_allowed")

    def test_an_unknown_host_is_400_in_json(self) -> None:
        with self.assertLogs("django.security.DisallowedHost", "ERROR"):
            response = client_of(None).get("/api/stocks/", headers={"Host": "elsewhere.example"})
        self.assert_refused(response, 400, "suspicious_request")


class HandlerTests(SimpleTestCase):
    """Django's own error views, for paths below /api/ and for pages."""

    def body_of(self, response: Any) -> dict[str, Any]:
        return json.loads(response.content)["errors"][0]

    def test_below_api_they_answer_in_json(self) -> None:
        request = RequestFactory().get("/api/x")
        for response, status, code in [
            (errors.bad_request(request, SuspiciousOperation()), 400, "suspicious_request"),
            (errors.bad_request(request, RequestDataTooBig()), 413, "request_too_large"),
            (errors.permission_denied(request, Exception()), 403, "permission_denied"),
            (errors.csrf_failure(request, "no cookie"), 403, "csrf_failed"),
            (errors.page_not_found(request, Exception()), 404, "not_found"),
            (errors.server_error(request), 500, APIException.default_code),
        ]:
            with self.subTest(code):
                self.assertEqual((response.status_code, self.body_of(response)["code"]), (status, code))

    def test_elsewhere_they_are_pages(self) -> None:
        request = RequestFactory().get("/x")
        for response, status in [
            (errors.bad_request(request, SuspiciousOperation()), 400),
            (errors.permission_denied(request, Exception()), 403),
            (errors.csrf_failure(request, "no cookie"), 403),
            (errors.page_not_found(request, Exception()), 404),
            (errors.server_error(request), 500),
        ]:
            with self.subTest(status):
                self.assertEqual(response.status_code, status)
                self.assertIn(b"<", response.content[:20])
