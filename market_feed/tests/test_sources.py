"""Invented prices, recorded prices, and the pace at which they are sent."""

import gzip
import json
import statistics
import tempfile
import threading
from datetime import UTC, datetime, timedelta
from decimal import Decimal as D
from itertools import islice, pairwise
from pathlib import Path

from django.test import SimpleTestCase, TestCase

from market_feed.messages import decode_tick
from market_feed.sources.feeder import feed
from market_feed.sources.invented import invented_stocks
from market_feed.sources.listed import listed_stocks
from market_feed.sources.replay import BadTickFile, count_ticks, replay_ticks
from market_feed.sources.synthetic import SyntheticStock, synthetic_ticks
from market_feed.sources.ticks import SourceTick, tick_topic
from market_feed.tests.fakes import FakeOutlet
from stocks.models import STOCK_ID_PATTERN, Stock

START = datetime(2024, 5, 6, 9, 30, tzinfo=UTC)


def made(count: int, *, seed: int = 1, stocks: int = 3, rate: float = 10.0) -> list[SourceTick]:
    return list(islice(synthetic_ticks(invented_stocks(stocks), seed=seed, rate=rate, start=START), count))


class Synthetic(SimpleTestCase):
    def test_the_same_seed_gives_the_same_ticks(self) -> None:
        self.assertEqual(made(2_000), made(2_000))
        self.assertNotEqual(made(100), made(100, seed=2))

    def test_ticks_come_in_the_order_of_time_and_none_repeats(self) -> None:
        ticks = made(20_000, rate=50_000)
        times = [tick.timestamp for tick in ticks]
        self.assertEqual(times, sorted(times))
        self.assertEqual(len({(tick.stock_id, tick.timestamp) for tick in ticks}), len(ticks))

    def test_every_stock_ticks_at_about_the_rate(self) -> None:
        # Over two days of trading: an hour of it may well be twice as busy as another.
        ticks = made(50_000, stocks=8, rate=1)
        span = (ticks[-1].timestamp - START).total_seconds()
        self.assertEqual(len({tick.stock_id for tick in ticks}), 8)
        self.assertAlmostEqual(50_000 / span, 1.0, delta=0.2)

    def test_prices_stay_sane_for_weeks(self) -> None:
        stocks = [SyntheticStock("A", "A", 1_000_000), SyntheticStock("P", "Penny", 500, increment=100)]
        for seed in range(5):
            with self.subTest(seed=seed):
                ticks = islice(synthetic_ticks(stocks, seed=seed, rate=0.02, start=START), 40_000)
                prices = {"A": [], "P": []}
                for tick in ticks:
                    prices[tick.stock_id].append(D(tick.price))
                self.assertTrue(all(25 <= price <= 401 for price in prices["A"]))
                self.assertTrue(all(D("0.01") <= price <= D("0.21") for price in prices["P"]))
                self.assertGreater(len(set(prices["A"])), 500)

    def test_prices_lie_on_the_increment(self) -> None:
        stock = SyntheticStock("A", "A", 1_000_000, increment=500)
        for tick in islice(synthetic_ticks([stock], seed=3, rate=1, start=START), 2_000):
            self.assertEqual(D(tick.price) % D("0.05"), 0)

    def test_it_goes_on_from_the_last_price(self) -> None:
        stock = SyntheticStock("A", "A", 1_000_000, last_price=1_200_000)
        first = next(synthetic_ticks([stock], seed=1, rate=10, start=START))
        self.assertAlmostEqual(float(first.price), 120, delta=2)

    def test_volatility_comes_in_spells(self) -> None:
        """The size of a move says something about the size of the moves after it, as in real prices."""
        stock = SyntheticStock("A", "A", 100_000_000)
        moves = []
        for seed in range(4):
            prices = [
                float(tick.price)
                for tick in islice(synthetic_ticks([stock], seed=seed, rate=1, start=START), 40_000)
            ]
            minutes = prices[::60]
            sizes = [abs(after / before - 1) for before, after in pairwise(minutes)]
            capped = [min(size, 0.01) for size in sizes]
            moves.append(statistics.correlation(capped[:-1], capped[1:]))
        self.assertGreater(statistics.mean(moves), 0.05, moves)

    def test_availability_is_heavy_tailed_and_never_zero(self) -> None:
        sizes = sorted(int(tick.availability) for tick in made(20_000))
        self.assertGreaterEqual(sizes[0], 1)
        self.assertLessEqual(sizes[-1], 100_000)
        self.assertGreater(sizes[-1], 100 * sizes[10_000])

    def test_the_feed_takes_every_tick(self) -> None:
        latest = START + timedelta(days=30)
        for tick in made(3_000):
            decoded = decode_tick(tick.payload(), latest=latest, increment_of=lambda *_: 100)
            self.assertEqual(D(decoded.price) / 10_000, D(tick.price))
            self.assertEqual((decoded.name, decoded.timestamp), (tick.name, tick.timestamp))

    def test_invented_stocks_are_many_and_different(self) -> None:
        stocks = invented_stocks(300)
        self.assertEqual(len({stock.stock_id for stock in stocks}), 300)
        self.assertEqual(len({stock.name for stock in stocks}), 300)
        for stock in stocks:
            self.assertRegex(stock.stock_id, STOCK_ID_PATTERN)
            self.assertEqual(stock.price % stock.increment, 0)
        self.assertEqual(invented_stocks(12), stocks[:12])


class Listed(TestCase):
    def test_it_takes_the_stocks_of_this_market_with_their_last_prices(self) -> None:
        Stock.objects.create(stock_id="NEW", name="New")
        Stock.objects.create(
            stock_id="ACME",
            name="Acme",
            price_increment=D("0.05"),
            last_price=D(21),
            tick_price_sum=D(40),
            tick_count=2,
        )
        acme, new = listed_stocks()
        self.assertEqual(acme, SyntheticStock("ACME", "Acme", 200_000, 500, 210_000))
        self.assertEqual((new.stock_id, new.last_price), ("NEW", None))


class Replaying(SimpleTestCase):
    def setUp(self) -> None:
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))

    def file(self, name: str, text: str) -> Path:
        path = self.folder / name
        if path.suffix == ".gz":
            path.write_bytes(gzip.compress(text.encode()))
        else:
            path.write_text(text)
        return path

    def test_it_reads_csv_by_any_of_its_column_names(self) -> None:
        moment = datetime(2014, 9, 17, 9, 30, 0, 531656, tzinfo=UTC)
        tick = SourceTick("ETF", "ETF", "23.82", "3", moment)
        for name, text in [
            ("a.csv", "ts,symbol,price,size\n2014-09-17T09:30:00.531656,ETF,23.82,3\n"),
            ("b.csv", "Price, Stock_ID ,availability,timestamp\n23.82,ETF,3,2014-09-17 09:30:00.531656\n\n"),
            ("c.csv", "\ufeffts,symbol,price,size,extra\n2014-09-17T09:30:00.531656Z,ETF,23.82,3,x\n"),
            ("d.csv.gz", "ts,symbol,price,size\r\n2014-09-17T11:30:00.531656+02:00,ETF,23.82,3\r\n"),
        ]:
            with self.subTest(name):
                path = self.file(name, text)
                self.assertEqual([*replay_ticks(path)], [tick])

    def test_it_reads_json_lines_and_keeps_every_digit(self) -> None:
        line = '{"stock_id": "ETF", "name": "Sector", "price": 23.8200, "availability": 3, "timestamp": "2014-09-17"}\n'
        path = self.file("a.jsonl", line + "\n" + line)
        ticks = [*replay_ticks(path)]
        self.assertEqual([(tick.name, tick.price) for tick in ticks], [("Sector", "23.8200")] * 2)
        self.assertIn(b'"price": 23.8200,', ticks[0].payload())
        self.assertEqual(count_ticks(path), 3)

    def test_it_reads_lazily(self) -> None:
        rows = "2014-09-17T09:30:00,ETF,23.82,3\n" * 10
        ticks = replay_ticks(self.file("a.csv", "ts,symbol,price,size\n" + rows + "broken"))
        self.assertEqual(len([*islice(ticks, 10)]), 10)

    def test_it_says_what_is_wrong_with_a_file(self) -> None:
        for name, text, words in [
            ("a.csv", "", "no column timestamp or ts; it has nothing"),
            ("b.csv", "ts,symbol,bid,size\n", "no column price; it has ts, symbol, bid, size"),
            ("c.csv", "ts,symbol,price,size\n2014-09-17,ETF,1\n", "line 2: 3 columns instead of 4"),
            ("d.csv", "ts,symbol,price,size\nnoon,ETF,1,1\n", "line 2: 'noon' is not a time"),
            ("e.jsonl", '{"price": 1}\n', "no column timestamp or ts"),
            ("f.jsonl", "{\n", "line 1: not JSON"),
            ("g.jsonl", "[]\n", "line 1: not a JSON object"),
            ("h.jsonl", "[" * 5_000 + "\n", "line 1: not JSON"),
        ]:
            with self.subTest(name), self.assertRaisesRegex(BadTickFile, words):
                list(replay_ticks(self.file(name, text)))

    def test_it_says_why_a_file_cannot_be_read(self) -> None:
        cut = self.file("cut.csv.gz", "ts,symbol,price,size\n" + "2014-09-17,ETF,1,1\n" * 500)
        cut.write_bytes(cut.read_bytes()[:60])
        plain = self.folder / "plain.csv.gz"
        plain.write_text("ts,symbol,price,size\n")
        binary = self.folder / "binary.csv"
        binary.write_bytes(b"\xff\xfe\x00\x81")
        for path in (self.folder / "missing.csv", self.folder, cut, plain, binary):
            for read in (count_ticks, lambda path: list(replay_ticks(path))):
                with self.subTest(path=path.name), self.assertRaisesRegex(BadTickFile, "cannot be read: ."):
                    read(path)

    def test_it_passes_on_what_only_the_feed_can_judge(self) -> None:
        path = self.file("a.csv", 'ts,symbol,price,size\n2014-09-17,"A""B",cheap,1.5\n')
        (tick,) = replay_ticks(path)
        body = json.loads(tick.payload())
        self.assertEqual((body["stock_id"], body["price"], body["availability"]), ('A"B', "cheap", 1.5))


class Topics(SimpleTestCase):
    def test_it_finds_a_topic_within_the_filter(self) -> None:
        for feed_topic, topic in [
            ("market/ticks/#", "market/ticks/ACME"),
            ("thndr-trading", "thndr-trading"),
            ("a/+/ticks", "a/ACME/ticks"),
        ]:
            self.assertEqual(tick_topic(feed_topic, "ACME"), topic)
        self.assertEqual(tick_topic("market/ticks/#", "#/evil"), "market/ticks/other")


class Clock:
    """Time that passes only while somebody waits; it is also the event that is waited for."""

    def __init__(self) -> None:
        self.now = 100.0
        self.stop_at = float("inf")

    def __call__(self) -> float:
        return self.now

    def wait(self, timeout_s: float) -> bool:
        self.now += max(0.0, timeout_s)
        return self.is_set()

    def is_set(self) -> bool:
        return self.now >= self.stop_at


class TimedOutlet(FakeOutlet):
    def __init__(self, clock: Clock) -> None:
        super().__init__()
        self.sent_at: list[float] = []
        self._clock = clock

    def publish(self, messages: object) -> None:
        super().publish(messages)  # type: ignore[arg-type]
        self.sent_at += [self._clock.now - 100.0] * len(messages)  # type: ignore[arg-type]


class Feeding(SimpleTestCase):
    def setUp(self) -> None:
        self.clock = Clock()
        self.outlet = TimedOutlet(self.clock)
        self.ticks = [
            SourceTick("A", "A", "20", "1", START + timedelta(seconds=second)) for second in (0, 0, 2, 5, 60)
        ]

    def feed(self, **options: object) -> object:
        return feed(
            self.ticks,
            self.outlet,
            topic="t/#",
            stop=self.clock,
            clock=self.clock,
            **options,  # type: ignore[arg-type]
        )

    def test_it_keeps_the_times_between_ticks(self) -> None:
        self.feed()
        self.assertEqual(self.outlet.sent_at, [0, 0, 2, 5, 60])

    def test_it_goes_faster(self) -> None:
        self.feed(speed=8)
        self.assertEqual(self.outlet.sent_at, [0, 0, 0.25, 0.625, 7.5])

    def test_it_goes_flat_out(self) -> None:
        report = self.feed(speed=0)
        self.assertEqual(self.outlet.sent_at, [0] * 5)
        self.assertEqual((report.sent, report.is_delivered), (5, True))  # type: ignore[attr-defined]

    def test_it_moves_all_times_together(self) -> None:
        self.feed(speed=0, restamp_to=datetime(2030, 1, 1, tzinfo=UTC))
        times = [json.loads(message.payload)["timestamp"] for message in self.outlet.messages]
        self.assertEqual(times[0], "2030-01-01 00:00:00.000000")
        self.assertEqual(times[-1], "2030-01-01 00:01:00.000000")

    def test_it_ends_when_its_time_is_over(self) -> None:
        report = self.feed(duration_s=4.0)
        self.assertEqual((report.sent, self.clock.now), (3, 104.0))  # type: ignore[attr-defined]

    def test_it_ends_when_told_to(self) -> None:
        self.clock.stop_at = 104.0
        self.assertEqual(self.feed().sent, 3)  # type: ignore[attr-defined]

    def test_it_says_when_the_broker_has_not_taken_all(self) -> None:
        self.outlet.is_away = True
        self.assertFalse(self.feed(speed=0).is_delivered)  # type: ignore[attr-defined]

    def test_it_takes_an_event_of_the_real_kind(self) -> None:
        stop = threading.Event()
        stop.set()
        self.assertEqual(feed(self.ticks, self.outlet, topic="t", stop=stop).sent, 0)
