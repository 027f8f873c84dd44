"""The cursor of `users.pagination`, on rows that need one."""

from datetime import timedelta
from typing import Any

from django.test import TestCase
from rest_framework.request import Request
from rest_framework.test import APIRequestFactory

from stocks.models import Stock, Tick
from users.pagination import TimeCursor
from users.tests.base import NOON


class TimeCursorTests(TestCase):
    """Ticks of which many share a moment, with ids that do not follow time."""

    @classmethod
    def setUpTestData(cls) -> None:
        stock = Stock.objects.create(stock_id="ACME", name="Acme")
        for number in range(23):
            moment = NOON + timedelta(seconds=(number * 7) % 23 // 4)
            Tick.objects.create(
                stock=stock, sequence=number + 1, price=number + 1, availability=1, timestamp=moment
            )
        cls.newest_first = [tick.pk for tick in Tick.objects.order_by("-timestamp", "-id")]

    def page(self, url: str) -> tuple[list[int], Any]:
        paginator = TimeCursor()
        rows = paginator.paginate_queryset(Tick.objects.all(), Request(APIRequestFactory().get(url)))
        return [tick.pk for tick in rows], paginator.get_paginated_response([]).data

    def test_it_walks_to_the_end_and_back_seeing_each_row_once(self) -> None:
        for size in (1, 4, 5, 22, 23, 24):
            with self.subTest(size):
                seen, links = self.page(f"/?page_size={size}")
                self.assertIsNone(links["previous"])
                while links["next"]:
                    rows, links = self.page(links["next"])
                    seen += rows
                self.assertEqual(seen, self.newest_first)
                back = rows[::-1] if size < 23 else []
                while links["previous"]:
                    rows, links = self.page(links["previous"])
                    back += rows[::-1]
                self.assertEqual(back, self.newest_first[::-1] if size < 23 else [])

    def test_rows_that_arrive_meanwhile_move_nothing(self) -> None:
        first, links = self.page("/?page_size=10")
        Tick.objects.create(
            stock_id="ACME", sequence=99, price=99, availability=1, timestamp=NOON + timedelta(days=1)
        )
        second, links = self.page(links["next"])
        self.assertEqual(first + second, self.newest_first[:20])
        self.assertEqual(self.page(links["previous"])[0], self.newest_first[:10])

    def test_an_empty_list_has_no_links(self) -> None:
        Tick.objects.all().delete()
        self.assertEqual(self.page("/"), ([], {"next": None, "previous": None, "results": []}))

    def test_a_page_whose_rows_are_gone_leads_nowhere(self) -> None:
        _, links = self.page("/?page_size=22")
        Tick.objects.filter(pk=self.newest_first[-1]).delete()
        self.assertEqual(self.page(links["next"]), ([], {"next": None, "previous": None, "results": []}))
