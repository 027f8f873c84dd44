"""The MQTT topics of the contract, with the whole market behind them, on every kind of broker."""

import json
import threading
import time
from collections.abc import Callable
from datetime import UTC, datetime
from decimal import Decimal as D
from typing import Any

import paho.mqtt.client as mqtt
from django.test import TransactionTestCase, override_settings
from paho.mqtt.enums import CallbackAPIVersion

from config.testing.servers import mosquitto_broker, needs
from market_feed.broker import EmbeddedBroker
from market_feed.roles import Role, feed_consumer, publisher
from stocks.models import Stock, Tick
from trade.engine import get_engine, reset_engine
from trade.models import Order, OrderEvent, Trade
from trade.selectors.candles import INTERVALS
from trade.services.order_rules import NewOrder
from trade.tests.factories import UserFactory
from users.models import User

PATIENCE_S = 15.0
END_OF_WHAT_WAS_KEPT = "market/end-of-what-was-kept"
UUID = r"^[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}$"
MOMENT = r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d{6})?Z$"


class Bystander:
    """Somebody else's client: sends ticks, and hears everything the market says."""

    def __init__(self, url: str) -> None:
        self.heard: list[mqtt.MQTTMessage] = []
        self._subscribed = threading.Event()
        self._client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="bystander")
        self._client.on_connect = lambda client, *_: client.subscribe("market/#", qos=1)
        self._client.on_subscribe = lambda *_: self._subscribed.set()
        self._client.on_message = lambda _client, _userdata, message: self.heard.append(message)
        self._client.connect("127.0.0.1", int(url.rsplit(":", 1)[1]))
        self._client.loop_start()
        assert self._subscribed.wait(PATIENCE_S)

    def say(self, topic: str, payload: bytes | dict[str, Any], qos: int = 1) -> None:
        body = payload if isinstance(payload, bytes) else json.dumps(payload).encode()
        self._client.publish(topic, body, qos=qos).wait_for_publish(PATIENCE_S)

    def on(self, topic: str) -> list[Any]:
        """The bodies heard on a topic, in order."""
        return [json.loads(message.payload) for message in [*self.heard] if message.topic == topic]

    def words_on(self, topic: str) -> list[str]:
        return [message.payload.decode() for message in [*self.heard] if message.topic == topic]

    def leave(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()


class ContractTests:
    """Subclasses say which broker."""

    broker_url: str

    def setUp(self: Any) -> None:
        reset_engine()
        self.addCleanup(reset_engine)
        # When all that publishes has been stopped.
        self.addCleanup(forget_retained, self.broker_url)
        self.settings_of_this_test = override_settings(
            MQTT_URL=self.broker_url, MQTT_CLIENT_ID=f"test-{self._testMethodName}", ENGINE_THREADS=1
        )
        self.settings_of_this_test.enable()
        self.addCleanup(self.settings_of_this_test.disable)
        self.outsider = Bystander(self.broker_url)
        self.addCleanup(self.outsider.leave)
        self.consumer = self.start(feed_consumer(get_engine()))
        self.publisher = self.start(publisher())
        self.wait_for(lambda: self.outsider.words_on("market/status/feed")[-1:] == ["up"])

    def start(self: Any, role: Role) -> Role:
        self.addCleanup(role.stop)
        role.start()
        self.assertTrue(role.link.wait_until_connected(PATIENCE_S))
        return role

    def wait_for(self: Any, condition: Callable[[], Any]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            self.assertLess(time.monotonic(), deadline, "waited in vain")
            time.sleep(0.01)

    def tick(self, second: int, **fields: Any) -> dict[str, Any]:
        return {
            "stock_id": "ACME",
            "name": "Acme",
            "price": 20,
            "availability": 50,
            "timestamp": f"2019-12-15 14:36:{second:02}.462393",
        } | fields

    def say_ticks(self, *ticks: dict[str, Any], topic: str = "market/ticks/ACME") -> None:
        before = Tick.objects.count()
        for tick in ticks:
            self.outsider.say(topic, tick)
        self.wait_for(lambda: Tick.objects.count() == before + len(ticks))

    def bounded_buy(self, user: User, quantity: int, lower: int, upper: int) -> Order:
        bounds = {"lower_bound": lower * 10_000, "upper_bound": upper * 10_000}
        return get_engine().place_order(NewOrder(user.pk, "ACME", "buy", "bounded", quantity, **bounds))

    # --- In -----------------------------------------------------------------------------------------

    def test_a_tick_lists_its_stock_and_is_stored_as_it_was_said(self: Any) -> None:
        self.say_ticks(
            self.tick(33, price="19.99"), self.tick(34, price=20.5), topic="market/ticks/any/depth"
        )
        stock = Stock.objects.get()
        self.assertEqual((stock.stock_id, stock.name, stock.price_increment), ("ACME", "Acme", D("0.01")))
        first, second = Tick.objects.order_by("sequence")
        self.assertEqual((first.price, second.price), (D("19.99"), D("20.5")))
        self.assertEqual(first.timestamp, datetime(2019, 12, 15, 14, 36, 33, 462393, tzinfo=UTC))

    def test_what_is_no_tick_is_dropped_and_the_next_one_is_taken(self: Any) -> None:
        with self.assertLogs("market_feed.drop_log", "WARNING") as caught:
            for payload in (
                b"",
                b"not json",
                b"\xff\xfe",
                b"[" * 3_000,
                b"x" * 1_000_000,
                json.dumps(self.tick(1, price=-1)).encode(),
                json.dumps(self.tick(1, availability=-1)).encode(),
                json.dumps(self.tick(1, timestamp="2999-01-01")).encode(),
                json.dumps(self.tick(1) | {"price": float("nan")}).encode(),
            ):
                self.outsider.say("market/ticks/ACME", payload)
            self.say_ticks(self.tick(2, name="<img src=x onerror=alert(1)>"))
        self.assertEqual(len(caught.output), 6)
        self.assertEqual(Stock.objects.get().name, "img src=x onerror=alert(1)")

    def test_the_worked_example(self: Any) -> None:
        self.say_ticks(self.tick(1, price=30))
        ann = UserFactory(cash=10_000)
        order = self.bounded_buy(ann, 100, 10, 20)
        self.say_ticks(self.tick(2, price=20, availability=50))
        order.refresh_from_db()
        self.assertEqual((order.status, order.traded_quantity), ("PARTIALLY_FILLED", 50))
        self.say_ticks(self.tick(3, price=18, availability=70))
        order.refresh_from_db()
        self.assertEqual((order.status, order.traded_quantity), ("FILLED", 100))
        self.assertEqual(ann.holdings.get().quantity, 100)

    def test_a_tick_that_comes_twice_trades_once(self: Any) -> None:
        self.say_ticks(self.tick(1, price=30))
        order = self.bounded_buy(UserFactory(cash=10_000), 100, 10, 20)
        for _ in range(3):
            self.outsider.say("market/ticks/ACME", self.tick(2))
        self.say_ticks(self.tick(3, price=30))
        order.refresh_from_db()
        self.assertEqual(order.traded_quantity, 50)

    def test_messages_without_acknowledgement_are_taken_too(self: Any) -> None:
        self.outsider.say("market/ticks/ACME", self.tick(1), qos=0)
        self.outsider.say("market/ticks/ACME", self.tick(2), qos=2)
        self.wait_for(lambda: Tick.objects.count() == 2)

    # --- Out ----------------------------------------------------------------------------------------

    def test_trades_and_events_are_told(self: Any) -> None:
        self.say_ticks(self.tick(1, price=30))
        ann, bob = UserFactory(cash=10_000, shares={"ACME": 100}), UserFactory(cash=10_000)
        buy = self.bounded_buy(ann, 60, 10, 20)
        self.say_ticks(self.tick(2))
        get_engine().place_order(NewOrder(ann.pk, "ACME", "sell", "limit", 10, price=210_000))
        get_engine().place_order(NewOrder(bob.pk, "ACME", "buy", "limit", 10, price=210_000))
        get_engine().cancel_order(buy.pk)
        self.wait_for(lambda: self.outsider.on("market/order-events")[-1:] and Trade.objects.count() == 2)
        self.wait_for(lambda: len(self.outsider.on("market/order-events")) == OrderEvent.objects.count() + 2)

        trades = self.outsider.on("market/trades/ACME")
        for trade, stored in zip(trades, Trade.objects.order_by("sequence"), strict=True):
            self.assertEqual(
                set(trade),
                {"type", "stock_id", "trade_id", "sequence", "price", "quantity"}
                | {"execution_timestamp", "bid_order_id", "ask_order_id"},
            )
            self.assertEqual((trade["type"], trade["stock_id"]), ("trade", "ACME"))
            self.assertEqual((trade["trade_id"], trade["sequence"]), (stored.trade_id, stored.sequence))
            self.assertRegex(trade["bid_order_id"], UUID)
            self.assertRegex(trade["execution_timestamp"], MOMENT)
        self.assertEqual([(trade["price"], trade["quantity"]) for trade in trades], [(20.0, 50), (21.0, 10)])
        self.assertIsNone(trades[0]["ask_order_id"])

        details = self.outsider.on("market/trade-events")
        self.assertEqual([trade["source"] for trade in details], ["feed", "book"])
        self.assertEqual([trade["buyer_id"] for trade in details], [ann.pk, bob.pk])
        for public, detailed in zip(trades, details, strict=True):
            self.assertEqual(public, {name: detailed[name] for name in public})

        events = self.outsider.on("market/order-events")
        self.assertEqual(
            [event["type"] for event in events],
            ["entered", "traded", "entered", "entered", "traded", "cancelled"],
        )
        self.assertEqual([len(event["orders"]) for event in events], [1, 1, 1, 1, 2, 1])
        for topic in ("market/trade-events", "market/order-events"):
            names = [(body["stock_id"], body["sequence"]) for body in self.outsider.on(topic)]
            self.assertEqual(names, sorted(set(names)))

    def test_the_newest_book_waits_for_who_comes_late(self: Any) -> None:
        self.say_ticks(self.tick(1, price=30))
        ann = UserFactory(cash=10_000)
        for price in (12, 13):
            get_engine().place_order(NewOrder(ann.pk, "ACME", "buy", "limit", 10, price=price * 10_000))
        best = {"price": 13.0, "quantity": 10}
        topic = "market/book/ACME"
        self.wait_for(lambda: self.outsider.on(topic) and self.outsider.on(topic)[-1]["bids"][:1] == [best])
        late = Bystander(self.broker_url)
        self.addCleanup(late.leave)
        self.wait_for(lambda: late.on(topic))
        book = late.on(topic)[0]
        self.assertEqual(set(book), {"type", "stock_id", "sequence", "timestamp", "bids", "asks"})
        self.assertEqual(book["bids"], [best, {"price": 12.0, "quantity": 10}])
        self.assertEqual((book["asks"], book["sequence"]), ([], Stock.objects.get().sequence))
        self.assertRegex(book["timestamp"], MOMENT)

    def test_the_newest_price_and_candles_wait_for_who_comes_late(self: Any) -> None:
        self.say_ticks(self.tick(1, price=30), self.tick(2, price="20.5"), self.tick(0, price=10))
        prices = "market/prices/ACME"
        self.wait_for(lambda: self.outsider.on(prices) and self.outsider.on(prices)[-1]["price"] == 20.5)
        newest = "market/candles/ACME/{}".format
        self.wait_for(lambda: all(self.outsider.on(newest(interval)) for interval in INTERVALS))
        self.wait_for(lambda: self.outsider.on(newest("1d"))[-1]["ticks"] == 3)
        late = Bystander(self.broker_url)
        self.addCleanup(late.leave)
        self.wait_for(lambda: all(late.on(newest(interval)) for interval in INTERVALS))
        self.assertEqual(
            late.on(prices),
            [
                {"type": "tick", "stock_id": "ACME", "sequence": 2, "price": 20.5, "availability": 50}
                | {"timestamp": "2019-12-15T14:36:02.462393Z"}
            ],
        )
        (day,) = late.on(newest("1d"))
        # It was read before the candle was.
        self.assertIn(day.pop("sequence"), (2, 3))
        self.assertEqual(
            day,
            {
                "type": "candle",
                "stock_id": "ACME",
                "interval": "1d",
                "open": 10.0,
                "high": 30.0,
            }
            | {"low": 10.0, "close": 20.5, "volume": 0, "ticks": 3, "time": "2019-12-15T00:00:00Z"},
        )
        for interval in INTERVALS:
            (candle,) = late.on(newest(interval))
            self.assertEqual((set(candle), candle["interval"]), ({*day, "sequence"}, interval))

    def test_every_topic_is_acknowledged_and_keeps_what_it_is_to_keep(self: Any) -> None:
        self.say_ticks(self.tick(1, price=30))
        buy = self.bounded_buy(UserFactory(cash=10_000), 60, 10, 20)
        self.say_ticks(self.tick(2))
        get_engine().cancel_order(buy.pk)
        kept = {"market/book/ACME", "market/prices/ACME", "market/status/feed", "market/status/publisher"}
        kept |= {f"market/candles/ACME/{interval}" for interval in INTERVALS}
        told = {"market/trades/ACME", "market/trade-events", "market/order-events"}
        self.wait_for(lambda: {message.topic for message in self.outsider.heard} >= kept | told)
        late = Bystander(self.broker_url)
        self.addCleanup(late.leave)
        self.wait_for(lambda: {message.topic for message in late.heard if message.retain} >= kept)
        self.assertEqual({message.topic for message in late.heard if message.retain}, kept)
        qualities = {
            (message.topic, message.qos) for message in self.outsider.heard if message.topic in kept | told
        }
        self.assertEqual(qualities, {(topic, 1) for topic in kept | told})

    def test_prices_that_come_back_to_the_feed_are_not_taken_twice(self: Any) -> None:
        self.say_ticks(self.tick(1, price="20.50"))
        self.wait_for(lambda: self.outsider.on("market/prices/ACME"))
        (price,) = self.outsider.on("market/prices/ACME")
        self.outsider.say("market/ticks/ACME", price)
        self.say_ticks(self.tick(2))
        self.assertEqual(Tick.objects.count(), 2)

    def test_each_service_says_whether_it_is_there(self: Any) -> None:
        for name, role in [("feed", self.consumer), ("publisher", self.publisher)]:
            topic = f"market/status/{name}"
            self.wait_for(lambda topic=topic: self.outsider.words_on(topic)[-1:] == ["up"])
            role.stop()
            self.assertFalse(role.is_alive)
            self.wait_for(lambda topic=topic: self.outsider.words_on(topic)[-1:] == ["down"])


class EmbeddedBrokerTests(ContractTests, TransactionTestCase):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        broker = EmbeddedBroker()
        broker.start()
        cls.addClassCleanup(broker.stop)
        cls.broker_url = broker.url


@needs("mosquitto")
class MosquittoTests(ContractTests, TransactionTestCase):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.broker_url = cls.enterClassContext(mosquitto_broker()).url


def forget_retained(url: str) -> None:
    """Empty the topics that keep their last message: the next test has another market."""
    outsider = Bystander(url)
    outsider.say(END_OF_WHAT_WAS_KEPT, b"")
    deadline = time.monotonic() + PATIENCE_S
    while not outsider.heard or outsider.heard[-1].topic != END_OF_WHAT_WAS_KEPT:
        assert time.monotonic() < deadline, "waited in vain"
        time.sleep(0.01)
    for message in outsider.heard:
        if message.retain:
            outsider._client.publish(message.topic, b"", qos=1, retain=True).wait_for_publish(PATIENCE_S)
    outsider.leave()
