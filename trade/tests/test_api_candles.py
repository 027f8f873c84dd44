"""GET /api/stocks/<stock_id>/candles/"""

from datetime import UTC, datetime, timedelta
from typing import Any

from django.test import TestCase
from rest_framework.test import APIClient

from stocks.tests.base import feed, make_stock

OPENING = datetime(2024, 5, 6, 9, 0, tzinfo=UTC)


class CandlesOverRest(TestCase):
    """A tick in each of the first ten minutes after nine."""

    @classmethod
    def setUpTestData(cls) -> None:
        make_stock("ACME")
        ticks = [(200_000 + 5_000 * n, 10, OPENING + timedelta(minutes=n, seconds=7)) for n in range(10)]
        feed("ACME", [*ticks, (195_000, 5, OPENING + timedelta(seconds=3))])

    def ask(self, query: str = "", path: str = "stocks/ACME/candles/") -> Any:
        return APIClient().get(f"/api/{path}{query}")

    def times(self, query: str) -> list[str]:
        response = self.ask(query)
        self.assertEqual(response.status_code, 200, response.content)
        return [candle["time"][11:16] for candle in response.json()["results"]]

    def test_it_answers_with_the_fields_of_the_contract(self) -> None:
        for path in ("stocks/ACME/candles/", "stocks/ACME/candles"):
            response = self.ask("?interval=1d", path)
            self.assertEqual(response["Content-Type"], "application/json")
            candle = {"open": 19.5, "high": 24.5, "low": 19.5, "close": 24.5, "volume": 0, "ticks": 11}
            results = [{"time": "2024-05-06T00:00:00Z", **candle}]
            self.assertEqual(response.json(), {"next": None, "previous": None, "results": results})

    def test_every_interval_begins_where_its_clock_says(self) -> None:
        for interval, count in {"1s": 11, "1m": 10, "5m": 2, "15m": 1, "1h": 1, "1d": 1}.items():
            with self.subTest(interval=interval):
                self.assertEqual(len(self.times(f"?interval={interval}")), count)
        self.assertEqual(self.times("?interval=5m"), ["09:00", "09:05"])
        self.assertEqual(len(self.times("")), 10)

    def test_both_ends_of_a_range_are_inclusive_and_either_may_stand_alone(self) -> None:
        start, end = "from_date=2024-05-06T09:02:00Z", "to_date=2024-05-06T09:04:59.5Z"
        self.assertEqual(self.times(f"?{start}&{end}"), ["09:02", "09:03", "09:04"])
        self.assertEqual(len(self.times(f"?{start}")), 8)
        self.assertEqual(len(self.times(f"?{end}")), 5)
        self.assertEqual(self.times("?from_date=2024-05-06 09:00:01&to_date=2024-05-06 09:00:59"), [])
        self.assertEqual(self.times("?from_date=2030-01-01"), [])

    def test_next_leads_on_and_previous_leads_back(self) -> None:
        for query, link in [("?from_date=2024-05-06&page_size=4", "next"), ("?page_size=4", "previous")]:
            with self.subTest(link=link):
                pages, url = [], f"/api/stocks/ACME/candles/{query}"
                while url:
                    body = APIClient().get(url).json()
                    pages.append([candle["time"][14:16] for candle in body["results"]])
                    other = {"next": "previous", "previous": "next"}[link]
                    self.assertIsNone(body[other])
                    url = body[link]
                self.assertEqual([len(page) for page in pages], [4, 4, 2])
                self.assertEqual(
                    sorted(minute for page in pages for minute in page), [f"{n:02}" for n in range(10)]
                )
                self.assertEqual(pages, [sorted(page) for page in pages])

    def test_what_makes_no_sense_is_refused_by_name(self) -> None:
        for query, attr, code in [
            ("interval=2m", "interval", "invalid_choice"),
            ("interval=60", "interval", "invalid_choice"),
            ("page_size=0", "page_size", "not_positive"),
            ("page_size=5001", "page_size", "too_large"),
            ("page_size=ten", "page_size", "not_a_whole_number"),
            ("from_date=yesterday", "from_date", "not_a_date"),
            ("from_date=2024-05-07&to_date=2024-05-06", "from_date", "range_reversed"),
        ]:
            with self.subTest(query=query):
                response = self.ask(f"?{query}")
                error = response.json()["errors"][0]
                self.assertEqual((response.status_code, error["attr"], error["code"]), (400, attr, code))

    def test_there_is_none_of_an_unknown_stock(self) -> None:
        response = self.ask(path="stocks/NONE/candles/")
        self.assertEqual((response.status_code, response.json()["errors"][0]["code"]), (404, "unknown_stock"))
