"""Candles of every interval: the same as from adding up every tick and trade, kept right as they arrive."""

from collections import defaultdict
from datetime import datetime, timedelta
from random import Random
from typing import Any
from unittest.mock import patch

from django.test import TestCase

from stocks.models import Candle, Stock, Tick
from stocks.services.candles import EPOCH
from stocks.tests.base import feed, make_stock
from trade.models import Trade
from trade.selectors import candles as selectors
from trade.selectors.audit import run_audit
from trade.selectors.candles import INTERVALS, CandlePage, CandleRow, candle_page, start_of
from trade.tests.base import NOON, MarketTestCase, make_trader, units

SECOND = timedelta(seconds=1)


def slow_candles(stock_id: str, interval: str) -> list[CandleRow]:
    """Every candle there is, from every tick and trade."""
    prints: list[tuple[datetime, int, int, int]] = [
        (tick.timestamp, tick.sequence, units(tick.price), 0)
        for tick in Tick.objects.filter(stock_id=stock_id)
    ]
    prints += [
        (trade.executed_at, trade.sequence, units(trade.price), trade.quantity)
        for trade in Trade.objects.filter(stock_id=stock_id)
    ]
    buckets: dict[int, list[tuple[datetime, int, int, int]]] = defaultdict(list)
    for one in sorted(prints):
        buckets[int((one[0] - EPOCH).total_seconds() // INTERVALS[interval])].append(one)
    found = []
    for number, ones in sorted(buckets.items()):
        prices = [price for _, _, price, _ in ones]
        start = EPOCH + timedelta(seconds=number * INTERVALS[interval])
        volume, ticks = sum(one[3] for one in ones), sum(not one[3] for one in ones)
        found.append(CandleRow(start, prices[0], max(prices), min(prices), prices[-1], volume, ticks))
    return found


class CandlesAsTheyArrive(MarketTestCase):
    """Through the engine."""

    def setUp(self) -> None:
        super().setUp()
        self.bob = make_trader("bob", 1_000_000, ACME=1_000)
        self.ann = make_trader("ann", 1_000_000)

    def candles(self, interval: str = "1m", **words: Any) -> list[CandleRow]:
        return candle_page("ACME", interval, limit=500, **words).candles

    def assert_right(self) -> None:
        for interval in INTERVALS:
            with self.subTest(interval=interval):
                self.assertEqual(self.candles(interval), slow_candles("ACME", interval))
        self.assertEqual([str(finding) for finding in run_audit() if not finding.holds], [])

    def test_it_counts_the_shares_of_trades_and_shows_their_prices(self) -> None:
        self.place(self.bob, "sell", 10, "12")
        self.place(self.ann, "buy", 4, "13")
        self.place(self.bob, "sell", 5, "11")
        self.place(self.ann, "buy", 11, "14")
        [candle] = self.candles("1d")
        self.assertEqual(candle[1:], (units("12"), units("12"), units("11"), units("12"), 15, 0))
        self.assert_right()

    def test_it_counts_a_trade_with_the_outside_beside_its_tick(self) -> None:
        self.place_bounded(self.ann, "buy", 30, "10", "20")
        self.tick("15", 20)
        self.assertEqual([(one.volume, one.ticks) for one in self.candles("1d")], [(0, 1), (20, 0)])
        self.assert_right()

    def test_it_puts_a_late_tick_into_its_own_candle(self) -> None:
        minute = NOON + timedelta(hours=1)
        self.tick("20", 5, at=minute + 10 * SECOND)
        self.tick("22", 5, at=minute + 20 * SECOND)
        self.tick("30", 5, at=minute + timedelta(minutes=3))
        for price, second in [("25", 5), ("18", 15), ("21", 25)]:
            self.tick(price, 5, at=minute + second * SECOND)
        first, last = self.candles()
        self.assertEqual(first, (minute, units("25"), units("25"), units("18"), units("21"), 0, 5))
        self.assertEqual(last[1:], (units("30"),) * 4 + (0, 1))
        self.assert_right()

    def test_it_opens_with_the_first_and_closes_with_the_last_of_one_moment(self) -> None:
        for price in ("20", "30", "10"):
            self.tick(price, 5, at=NOON)
        self.assertEqual(self.candles()[0][1:5], (units("20"), units("30"), units("10"), units("10")))
        self.assert_right()

    def test_it_keeps_trades_out_of_the_figures_of_ticks(self) -> None:
        self.tick("20", 0)
        self.place(self.bob, "sell", 10, "40")
        self.place(self.ann, "buy", 10, "40")
        trade = Trade.objects.get()
        self.tick("21", 0, at=trade.executed_at)
        candle = Candle.objects.get(interval=86_400, start__gt=NOON)
        self.assertEqual((candle.high, candle.tick_high, candle.tick_low), (40, 21, 21))
        self.assert_right()

    def test_it_agrees_with_adding_up_after_any_mix(self) -> None:
        for seed in range(6):
            rng = Random(seed)
            for _ in range(30):
                if rng.random() < 0.5:
                    at = NOON + timedelta(seconds=rng.randrange(4_000), microseconds=rng.randrange(3))
                    self.tick(str(rng.randrange(90, 110)), rng.randrange(1, 50), at=at)
                else:
                    user, side = rng.choice([(self.bob, "sell"), (self.ann, "buy")])
                    self.place(user, side, rng.randrange(1, 5), str(rng.randrange(90, 110)))
            with self.subTest(seed=seed):
                self.assert_right()
        self.assertGreater(Trade.objects.count(), 10)


class CandlePages(TestCase):
    """Ranges and pages over ticks out of order, on a month of them."""

    @classmethod
    def setUpTestData(cls) -> None:
        rng = Random(3)
        make_stock("ACME")
        make_stock("OTHER")
        moments = [
            NOON + timedelta(seconds=rng.randrange(30_000), microseconds=rng.randrange(4)) for _ in range(700)
        ]
        feed("ACME", {(rng.randrange(1, 10**8), 1, moment): None for moment in moments})
        feed("OTHER", [(5, 5, NOON)])

    def walk(self, interval: str, limit: int, **ends: datetime | None) -> list[CandleRow]:
        """All pages of a range, put together."""
        step, found = timedelta(seconds=INTERVALS[interval]), list[CandleRow]()
        while True:
            page = candle_page("ACME", interval, limit=limit, **ends)
            self.assertLessEqual(len(page.candles), limit)
            forward = ends.get("from_date") is not None
            found = [*found, *page.candles] if forward else [*page.candles, *found]
            if not page.has_more:
                return found
            if forward:
                ends["from_date"] = page.candles[-1].start + step
            else:
                ends["to_date"] = page.candles[0].start - step

    def test_the_pages_of_any_range_are_its_candles(self) -> None:
        rng = Random(5)
        for interval in INTERVALS:
            every = slow_candles("ACME", interval)
            for _ in range(6):
                start, end = sorted(NOON + timedelta(seconds=rng.randrange(-100, 31_000)) for _ in range(2))
                for ends in [(start, end), (start, None), (None, end), (None, None)]:
                    with self.subTest(interval=interval, ends=ends):
                        wanted = [
                            one
                            for one in every
                            if (ends[0] is None or ends[0] <= one.start)
                            and (ends[1] is None or one.start <= ends[1])
                        ]
                        limit = rng.choice([1, 7, 100, 1_000]) if len(wanted) < 60 else 100
                        self.assertEqual(
                            self.walk(interval, limit, from_date=ends[0], to_date=ends[1]), wanted
                        )

    def test_a_page_that_reads_too_much_is_cut_between_two_candles(self) -> None:
        with patch.object(selectors, "MAX_PARTS", 3):
            for interval in ("1s", "5m", "15m"):
                for ends in [{"from_date": NOON}, {"to_date": NOON + timedelta(days=1)}]:
                    with self.subTest(interval=interval, ends=ends):
                        every = slow_candles("ACME", interval)
                        self.assertEqual(self.walk(interval, 50, **ends), every)

    def test_the_ends_of_the_calendar_are_no_trouble(self) -> None:
        first, last = datetime(1, 1, 1, tzinfo=NOON.tzinfo), datetime.max.replace(tzinfo=NOON.tzinfo)
        for interval in INTERVALS:
            with self.subTest(interval=interval):
                nothing = CandlePage([], False)
                self.assertEqual(
                    candle_page("ACME", interval, from_date=last, to_date=last, limit=5), nothing
                )
                self.assertEqual(candle_page("ACME", interval, to_date=first, limit=5), nothing)
                whole = candle_page("ACME", interval, from_date=first, to_date=last, limit=5_000)
                self.assertEqual(whole.candles, slow_candles("ACME", interval))

    def test_a_moment_has_its_candle(self) -> None:
        moment = datetime(2024, 5, 6, 12, 34, 56, 789, tzinfo=NOON.tzinfo)
        self.assertEqual(start_of(moment, "15m"), moment.replace(minute=30, second=0, microsecond=0))

    def test_a_stock_without_prices_has_no_candles(self) -> None:
        Stock.objects.create(stock_id="NEW", name="New")
        for interval in INTERVALS:
            self.assertEqual(candle_page("NEW", interval, limit=5), CandlePage([], False))
