"""What the broker keeps of each stock: its newest price, and its newest candle of every interval."""

from datetime import timedelta

from market_feed import latest
from market_feed.latest import CANDLES_EVERY_S, PRICE_EVERY_S
from market_feed.tests.test_publisher import PublisherTestCase
from stocks.services.ticks import FeedTick
from trade.selectors.candles import INTERVALS
from trade.tests.base import NOON, units

PRICES = "market/prices/ACME"
MINUTES = "market/candles/ACME/1m"


class LatestPrices(PublisherTestCase):
    def test_it_says_how_the_newest_tick_was_taken(self) -> None:
        self.tick("20.5", 40)
        self.publish_all()
        body = {"type": "tick", "stock_id": "ACME", "sequence": 1, "price": 20.5, "availability": 40}
        self.assertEqual(self.outlet.on(PRICES), [body | {"timestamp": "2024-05-06T12:00:01Z"}])
        self.assertTrue(all(message.retain for message in self.outlet.messages))

    def test_it_is_silent_while_no_newer_tick_comes(self) -> None:
        self.tick("20", 40)
        self.publish_all()
        self.trade()
        self.tick("19", 40, at=NOON - timedelta(hours=1))
        self.publish_all()
        self.assertEqual([body["price"] for body in self.outlet.on(PRICES)], [20.0])

    def test_it_waits_before_it_says_the_next_one(self) -> None:
        for price in ("20", "21", "22"):
            self.tick(price, 40)
            self.publisher.publish_next_batch(now=NOON)
        self.assertEqual([body["price"] for body in self.outlet.on(PRICES)], [20.0])
        self.now += PRICE_EVERY_S
        self.publisher.publish_next_batch(now=NOON)
        self.assertEqual([body["price"] for body in self.outlet.on(PRICES)], [20.0, 22.0])


class LatestCandles(PublisherTestCase):
    def later(self) -> None:
        self.now += CANDLES_EVERY_S
        self.publish_all()

    def test_it_has_one_of_every_interval(self) -> None:
        self.tick("20", 40)
        self.publish_all()
        for interval in INTERVALS:
            (body,) = self.outlet.on(f"market/candles/ACME/{interval}")
            time = (
                "2024-05-06T00:00:00Z" if interval == "1d" else f"2024-05-06T12:00:0{int(interval == '1s')}Z"
            )
            figures = dict.fromkeys(("open", "high", "low", "close"), 20.0) | {"volume": 0, "ticks": 1}
            names = {"type": "candle", "stock_id": "ACME", "interval": interval, "sequence": 1, "time": time}
            self.assertEqual(body, names | figures)

    def test_it_tells_how_a_candle_closed_before_the_next_one(self) -> None:
        self.tick("20", 40, at=NOON)
        self.publish_all()
        self.tick("25", 40, at=NOON + timedelta(seconds=59))
        self.tick("30", 40, at=NOON + timedelta(seconds=60))
        self.publish_all()
        self.assertEqual(len(self.outlet.on(MINUTES)), 1)
        self.later()
        said = [(body["time"][14:16], body["close"]) for body in self.outlet.on(MINUTES)]
        self.assertEqual(said, [("00", 20.0), ("00", 25.0), ("01", 30.0)])

    def test_it_says_nothing_of_what_has_not_changed(self) -> None:
        self.tick("20", 40, at=NOON)
        self.publish_all()
        self.tick("19", 40, at=NOON - timedelta(minutes=1))
        self.later()
        self.place(self.ann, "sell", 10, "21")
        self.later()
        self.assertEqual([body["close"] for body in self.outlet.on(MINUTES)], [20.0])
        self.assertEqual([body["open"] for body in self.outlet.on("market/candles/ACME/1d")], [20.0, 19.0])

    def test_it_skips_to_the_newest_of_very_many(self) -> None:
        self.tick("20", 40, at=NOON)
        self.publish_all()
        ticks = [
            FeedTick("ACME", units("21"), 5, NOON + timedelta(seconds=n))
            for n in range(1, latest.MAX_CANDLES + 9)
        ]
        self.engine.apply_ticks(ticks).result(0)
        self.later()
        times = [body["time"] for body in self.outlet.on("market/candles/ACME/1s")]
        self.assertEqual(times, ["2024-05-06T12:00:00Z", "2024-05-06T12:01:48Z"])

    def test_it_counts_trades(self) -> None:
        self.trade(quantity=7)
        self.publish_all()
        self.assertEqual([body["volume"] for body in self.outlet.on(MINUTES)], [7])
        self.assertEqual(self.outlet.on(PRICES), [])
