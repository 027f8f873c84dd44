import csv
import io
import json
import re
from datetime import UTC, datetime, timedelta
from html import unescape
from unittest.mock import patch

from django.http import HttpResponse
from django.test import AsyncClient, TransactionTestCase

from pages import csv_files
from pages.csv_files import defused
from pages.tests.base import PageTestCase
from stocks.models import Stock
from stocks.tests.base import feed, make_stock

DAY = datetime(2024, 5, 6, tzinfo=UTC)
HOUR = timedelta(hours=1)
PATH = "/stocks/ACME/"


def rows_of(response: HttpResponse) -> list[list[str]]:
    text = b"".join(response.streaming_content).decode()  # type: ignore[attr-defined]
    return list(csv.reader(text.splitlines()))


class HistoryPageCase(PageTestCase):
    def setUp(self) -> None:
        super().setUp()
        feed("ACME", [(100_000 + 1_000 * hour, hour + 1, DAY + hour * HOUR) for hour in range(48)])


class HistoryPageTests(HistoryPageCase):
    def bars(self, page: HttpResponse) -> list[list[object]]:
        (bars,) = re.findall(r'data-candles="([^"]*)"', page.content.decode())
        return json.loads(unescape(bars))

    def test_it_shows_the_newest_when_nothing_is_asked_for(self) -> None:
        page = self.page(None, PATH)
        self.assertEqual(len(self.bars(page)), 48)
        self.assertEqual(self.bars(page)[-1], ["2024-05-07T23:00:00Z", 14.7, 14.7, 14.7, 14.7, 0])
        self.assertContains(page, "14.70")
        self.assert_safe(page)

    def test_it_shows_a_chosen_range_with_its_figures(self) -> None:
        page = self.page(None, f"{PATH}?from_date=2024-05-06&to_date=2024-05-06&interval=1h")
        self.assertEqual([bar[4] for bar in self.bars(page)], [10 + hour / 10 for hour in range(24)])
        for shown in ("12.30", "10.00", "11.15", 'value="2024-05-06"', "<option selected>1h"):
            self.assertContains(page, shown)
        self.assertContains(page, 'data-refresh="0"')

    def test_it_says_at_the_field_what_makes_no_sense(self) -> None:
        for query in (
            "from_date=2024-05-07&to_date=2024-05-06",
            "from_date=x",
            "to_date=2024-02-31",
            "interval=2s",
            "from_date=%00",
            "to_date=" + "9" * 400,
        ):
            page = self.page(None, f"{PATH}?{query}")
            self.assertEqual(page.status_code, 400, query)
            self.assertContains(page, "data-candles", status_code=400)
            self.assertRegex(page.content.decode(), r'<p class="field-error"[^>]*>[^<]+</p>')

    def test_it_takes_the_ends_of_time(self) -> None:
        for query in ("from_date=0001-01-01", "to_date=9999-12-31", "from_date=9999-12-31", "page=x"):
            self.assertEqual(self.page(None, f"{PATH}?{query}").status_code, 200, query)

    def test_it_shows_the_rules(self) -> None:
        Stock.objects.update(price_increment="0.05", lot_size=10, taker_fee_bps=25, price_collar_bps=500)
        page = self.page(None, PATH)
        for shown in ("<dd>0.05</dd>", "<dd>10</dd>", "<dd>0.25 %</dd>", "<dd>5.00 %</dd>"):
            self.assertContains(page, shown)

    def test_a_name_is_text_whatever_it_holds(self) -> None:
        Stock.objects.update(name='<img src=x onerror="alert(1)">')
        for path in (PATH, "/stocks/"):
            self.assertNotContains(self.page(None, path), "<img src=x")

    def test_all_stocks_lead_to_their_history(self) -> None:
        make_stock("BETA", status="halted")
        page = self.page(None, "/stocks/")
        for shown in ('href="/stocks/ACME/"', 'href="/stocks/BETA/"', "halted"):
            self.assertContains(page, shown)
        self.assert_safe(page)

    def test_an_unknown_stock_is_an_unknown_page(self) -> None:
        for path in ("NONE/", "NONE/ticks.csv", "NONE/candles.csv", "A%20B/"):
            self.assertEqual(self.page(None, f"/stocks/{path}").status_code, 404)


class CsvTests(HistoryPageCase):
    def test_it_has_every_tick_of_the_range_in_order(self) -> None:
        with patch.object(csv_files, "PIECE", 5):
            rows = rows_of(self.page(None, f"{PATH}ticks.csv?from_date=2024-05-06&to_date=2024-05-06"))
        self.assertEqual(rows[0], ["stock_id", "name", "time", "price", "availability", "late"])
        self.assertEqual(len(rows), 25)
        self.assertEqual(rows[1], ["ACME", "Acme", "2024-05-06T00:00:00Z", "10.0000", "1", "no"])
        self.assertEqual([row[4] for row in rows[1:]], [str(number) for number in range(1, 25)])

    def test_it_has_ticks_of_one_moment_once_each(self) -> None:
        feed("ACME", [(200_000, number, DAY + 50 * HOUR) for number in range(12)])
        with patch.object(csv_files, "PIECE", 5):
            rows = rows_of(self.page(None, f"{PATH}ticks.csv?from_date=2024-05-08"))
        self.assertEqual([row[4] for row in rows[1:]], [str(number) for number in range(12)])

    def test_it_has_every_candle_of_the_range_in_order(self) -> None:
        for interval, count in {"1h": 24, "1d": 1, "1m": 24, "15m": 24, "1s": 24}.items():
            path = f"{PATH}candles.csv?interval={interval}&from_date=2024-05-07"
            with patch.object(csv_files, "PIECE", 5):
                rows = rows_of(self.page(None, path))
            self.assertEqual(len(rows), count + 1, interval)
            times = [row[2] for row in rows[1:]]
            self.assertEqual((times, len(set(times))), (sorted(times), count))
        self.assertEqual(
            rows_of(self.page(None, f"{PATH}candles.csv?interval=1d"))[1],
            ["ACME", "Acme", "2024-05-06T00:00:00Z", "10.0000", "12.3000", "10.0000", "12.3000", "0", "24"],
        )

    def test_it_is_a_file_with_a_name_of_its_own(self) -> None:
        response = self.page(None, f"{PATH}candles.csv?interval=1h&from_date=2024-05-06&to_date=2024-05-07")
        self.assertEqual(response["Content-Type"], "text/csv; charset=utf-8")
        self.assertEqual(
            response["Content-Disposition"],
            'attachment; filename="ACME-1h-from-2024-05-06-to-2024-05-07.csv"',
        )
        self.assertIn("no-store", response["Cache-Control"])
        self.assertEqual(response["X-Content-Type-Options"], "nosniff")

    def test_no_cell_is_a_formula(self) -> None:
        for name in ("=1+1", "+1", "-1", "@A1", "\tx", "\rx", '=HYPERLINK("//evil")'):
            Stock.objects.update(name=name)
            text = b"".join(self.page(None, f"{PATH}ticks.csv").streaming_content)  # type: ignore[attr-defined]
            (cell, *_) = [row[1] for row in csv.reader(io.StringIO(text.decode(), newline=""))][1:]
            self.assertEqual(cell, f"'{name}")

    def test_numbers_and_plain_text_stay_as_they_are(self) -> None:
        for cell in (-5, "Acme", "", "a=b"):
            self.assertEqual(defused(cell), cell)

    def test_it_is_bounded(self) -> None:
        with patch.object(csv_files, "MAX_ROWS", 7), patch.object(csv_files, "PIECE", 3):
            self.assertEqual(len(rows_of(self.page(None, f"{PATH}ticks.csv"))), 8)

    def test_it_reads_as_it_is_sent(self) -> None:
        with patch.object(csv_files, "PIECE", 5):
            response = self.page(None, f"{PATH}ticks.csv")
            pieces = iter(response.streaming_content)  # type: ignore[attr-defined]
            with self.assertNumQueries(1):
                next(pieces)

    def test_it_refuses_a_range_that_makes_no_sense(self) -> None:
        for name in ("ticks", "candles"):
            page = self.page(None, f"{PATH}{name}.csv?from_date=2024-05-07&to_date=2024-05-06")
            self.assertContains(page, "from_date is after to_date", status_code=400)


class AsyncCsvTests(TransactionTestCase):
    async def test_it_is_sent_piece_by_piece_under_asgi_too(self) -> None:
        from asgiref.sync import sync_to_async
        from django.db import transaction

        @sync_to_async
        def make() -> None:
            with transaction.atomic():
                make_stock("ACME")
                feed("ACME", [(100_000, number, DAY) for number in range(12)])

        await make()
        with patch.object(csv_files, "PIECE", 5):
            response = await AsyncClient().get(f"{PATH}ticks.csv")
            self.assertTrue(response.is_async)
            pieces = [piece async for piece in response.streaming_content]
        self.assertEqual([piece.count(b"\r\n") for piece in pieces], [5, 5, 3])
