from datetime import UTC, datetime, timedelta
from unittest.mock import patch

from django.test import SimpleTestCase
from rest_framework.exceptions import ValidationError
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory

from users import pagination
from users.pagination import Cursor, page_size_of
from users.tests.base import NOON, ApiTestCase, client_of, make_user


def request_for(url: str) -> Request:
    return Request(APIRequestFactory().get(url))


class CursorTests(SimpleTestCase):
    def test_it_reads_what_it_wrote(self) -> None:
        for moment in (NOON, datetime(1950, 1, 1, tzinfo=UTC), NOON + timedelta(microseconds=1)):
            cursor = Cursor(True, moment, 2**63 - 1)
            self.assertEqual(Cursor.decode(cursor.encode()), cursor)

    def test_it_refuses_everything_else(self) -> None:
        for text in (
            "x",
            "AAAA",
            "bzE",
            "!!!!",
            "ö",
            "bzEuOTIyMzM3MjAzNjg1NDc3NTgwOA",
            "bzk5OTk5OTk5OTk5OTk5OTk5OS4x",
            "A" * 999,
        ):
            with self.subTest(text), self.assertRaises(ValueError):
                Cursor.decode(text)


class PageSizeTests(SimpleTestCase):
    def test_it_has_a_default_and_a_limit(self) -> None:
        for query, size in [("", 50), ("?page_size=", 50), ("?page_size=7", 7), ("?page_size=9999", 500)]:
            with self.subTest(query):
                self.assertEqual(page_size_of(request_for(f"/{query}")), size)

    def test_it_refuses_what_is_no_size(self) -> None:
        for text in ("0", "-1", "1.5", "many", "\uff11\uff10", "1_0", "9" * 30, "%00"):
            with self.subTest(text), self.assertRaises(ValidationError):
                page_size_of(request_for(f"/?page_size={text}"))


class PageNumberTests(ApiTestCase):
    def test_pages_are_counted_and_linked(self) -> None:
        with patch.object(pagination, "MAX_PAGE_SIZE", 2):
            body = client_of(self.clara).get("/api/users/?page_size=100").json()
            self.assertEqual((body["count"], len(body["results"]), body["previous"]), (3, 2, None))
            body = client_of(self.clara).get(body["next"]).json()
        self.assertEqual((len(body["results"]), body["next"]), (1, None))

    def test_the_last_page_has_a_name(self) -> None:
        make_user("dora")
        body = client_of(self.clara).get("/api/users/?page_size=3&page=last").json()
        self.assertEqual([user["username"] for user in body["results"]], ["ann"])

    def test_a_page_beyond_the_last_is_not_found(self) -> None:
        for page in ("2", "999999999999999999"):
            response = client_of(self.clara).get(f"/api/users/?page={page}")
            self.assert_refused(response, 404, "not_found")

    def test_what_is_no_page_is_refused(self) -> None:
        for page in ("0", "-1", "x", "\uff11", "1e3", "9" * 5000):
            response = client_of(self.clara).get(f"/api/users/?page={page}")
            self.assert_refused(response, 400, "not_a_whole_number", "page")
