"""Figures over ranges: what they are made of, and the same as from adding up every tick."""

from datetime import UTC, datetime, timedelta
from decimal import Decimal
from itertools import pairwise
from random import Random

from django.test import SimpleTestCase, TestCase

from stocks.models import Tick
from stocks.selectors import Figures, all_time_figures, find_stock, mean, pieces, stock_page
from stocks.services.ticks import UnknownStock
from stocks.tests.base import feed, make_stock
from users.tests.base import NOON

MICRO = timedelta(microseconds=1)
STEPS = (timedelta(days=1), timedelta(hours=1), timedelta(minutes=1))


def random_moment(rng: Random, days: int = 3) -> datetime:
    """On, just before or just after a day, an hour or a minute; or anywhere."""
    anywhere = NOON + timedelta(seconds=rng.uniform(0, days * 86_400))
    step = rng.choice([*STEPS, MICRO])
    epoch = datetime(1970, 1, 1, tzinfo=UTC)
    return anywhere - (anywhere - epoch) % step + rng.choice([-MICRO, timedelta(0), MICRO])


class PieceTests(SimpleTestCase):
    def test_they_cover_the_range_without_a_gap_or_an_overlap(self) -> None:
        for seed in range(300):
            with self.subTest(seed=seed):
                rng = Random(seed)
                start, end = sorted(random_moment(rng) for _ in range(2))
                parts = pieces(start, end)
                self.assertEqual((parts[0].start, parts[-1].end), (start, end + MICRO))
                for before, after in pairwise(parts):
                    self.assertEqual(before.end, after.start)
                self.assertLessEqual(len(parts), 7)

    def test_candles_are_whole_and_ticks_fill_less_than_a_minute_each(self) -> None:
        for seed in range(300):
            rng = Random(seed)
            for part in pieces(*sorted(random_moment(rng) for _ in range(2))):
                with self.subTest(seed=seed, part=part):
                    length = part.end - part.start
                    if part.interval is None:
                        self.assertLess(length, 2 * STEPS[2])
                    else:
                        interval = timedelta(seconds=part.interval)
                        self.assertFalse(length % interval)
                        self.assertFalse((part.start - datetime(1970, 1, 1, tzinfo=UTC)) % interval)

    def test_open_ends_are_whole_days(self) -> None:
        self.assertEqual([part.interval for part in pieces(None, None)], [86_400])
        self.assertEqual([part.interval for part in pieces(NOON, None)], [3_600, 86_400])
        self.assertEqual([part.interval for part in pieces(None, NOON - MICRO)], [86_400, 3_600])

    def test_the_ends_of_the_calendar_are_no_trouble(self) -> None:
        first, last = datetime(1, 1, 1, tzinfo=UTC), datetime(9999, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC)
        for start, end in [(first, last), (last, None), (None, first), (last, last), (first, first)]:
            with self.subTest(start=start, end=end):
                parts = pieces(start, end)
                self.assertLessEqual(len(parts), 7)


class MeanTests(SimpleTestCase):
    def test_it_rounds_half_to_even_at_four_places(self) -> None:
        for total, count, expected in [
            ("1", 3, "0.3333"),
            ("2", 3, "0.6667"),
            ("0.0001", 2, "0.0000"),
            ("0.0003", 2, "0.0002"),
            ("0.0005", 2, "0.0002"),
            ("99999999999.9999", 1, "99999999999.9999"),
        ]:
            with self.subTest(total=total, count=count):
                self.assertEqual(mean(Decimal(total), count), Decimal(expected))

    def test_of_nothing_there_is_none(self) -> None:
        self.assertIsNone(mean(Decimal(0), 0))


class RangeTests(TestCase):
    """Against the slow way, on ticks in and out of order over three days."""

    @classmethod
    def setUpTestData(cls) -> None:
        rng = Random(7)
        make_stock("ACME")
        make_stock("OTHER")
        updates = [(rng.randrange(1, 10**10), rng.randrange(100), random_moment(rng)) for _ in range(600)]
        unique = {(moment, price): (price, count, moment) for price, count, moment in updates}
        feed("ACME", unique.values())
        feed("OTHER", [(price + 1, 5, moment) for price, _, moment in unique.values()])

    def slow_figures(self, start: datetime | None, end: datetime | None) -> Figures:
        ticks = [
            tick
            for tick in Tick.objects.filter(stock_id="ACME").order_by("timestamp", "id")
            if (start is None or start <= tick.timestamp) and (end is None or tick.timestamp <= end)
        ]
        if not ticks:
            return Figures()
        prices = [tick.price for tick in ticks]
        average = (sum(prices) / len(prices)).quantize(Decimal("0.0001"))
        return Figures(prices[-1], ticks[-1].availability, max(prices), min(prices), average)

    def test_any_range_is_the_same_as_adding_up_its_ticks(self) -> None:
        for seed in range(60):
            rng = Random(seed)
            start, end = sorted(random_moment(rng) for _ in range(2))
            for ends in [(start, end), (start, None), (None, end), (start, start)]:
                with self.subTest(seed=seed, ends=ends):
                    page = stock_page("ACME", from_date=ends[0], to_date=ends[1])
                    self.assertEqual(page.figures, self.slow_figures(*ends))

    def test_all_time_extremes_and_mean_are_those_of_all_ticks(self) -> None:
        running, slow = all_time_figures(find_stock("ACME")), self.slow_figures(None, None)
        for name in ("highest_price", "lowest_price", "average_price"):
            self.assertEqual(getattr(running, name), getattr(slow, name))

    def test_recent_ticks_are_the_newest_of_the_range(self) -> None:
        moments = sorted(tick.timestamp for tick in Tick.objects.filter(stock_id="ACME"))
        page = stock_page("ACME", from_date=None, to_date=moments[300])
        newest = [tick.timestamp for tick in page.recent_ticks]
        self.assertEqual(
            newest, sorted(moments[: moments.count(moments[300]) + moments.index(moments[300])])[-5:][::-1]
        )

    def test_a_range_takes_a_fixed_number_of_queries(self) -> None:
        with self.assertNumQueries(4):
            stock_page("ACME", from_date=NOON + MICRO, to_date=NOON + 2 * STEPS[0])
        with self.assertNumQueries(2):
            stock_page("ACME", from_date=None, to_date=None)
        with self.assertNumQueries(2), self.subTest("an empty one fewer"):
            stock_page("ACME", from_date=NOON - STEPS[0] * 9, to_date=NOON - STEPS[0] * 8)

    def test_an_unknown_stock_is_refused(self) -> None:
        with self.assertRaises(UnknownStock):
            stock_page("NO", from_date=None, to_date=None)
