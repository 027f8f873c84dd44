"""What leaves over MQTT, when, and what a crash does to it."""

import json
from datetime import datetime
from typing import Any
from unittest import mock

from django.db import OperationalError

from market_feed import publisher as publisher_module
from market_feed.link import Message
from market_feed.models import PublishCursor
from market_feed.publisher import BOOK_EVERY_S, Publisher
from market_feed.tests.fakes import FakeOutlet
from stocks.models import Stock
from trade.models import OrderEvent, Trade
from trade.tests.base import NOON, MarketTestCase, make_trader, units

TRADES, BOOK = "market/trades/ACME", "market/book/ACME"
TRADE_EVENTS, ORDER_EVENTS = "market/trade-events", "market/order-events"


class PublisherTestCase(MarketTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.now = 1_000.0
        self.outlet = FakeOutlet()
        self.publisher = self.make_publisher()
        self.ann = make_trader("ann", 100_000, ACME=1_000)
        self.bob = make_trader("bob", 100_000, ACME=1_000)

    def make_publisher(self) -> Publisher:
        return Publisher(outlet=self.outlet, clock=lambda: self.now)

    def publish_all(self) -> None:
        while self.publisher.publish_next_batch(now=NOON):
            self.now += BOOK_EVERY_S

    def trade(self, quantity: int = 10, price: str = "20") -> None:
        self.place(self.ann, "sell", quantity, price)
        self.place(self.bob, "buy", quantity, price)

    def cursors(self) -> dict[str, int]:
        return dict(PublishCursor.objects.values_list("stock_id", "sequence"))

    def sequences(self, topic: str) -> list[int]:
        return [body["sequence"] for body in self.outlet.on(topic)]


class Publishing(PublisherTestCase):
    def test_it_publishes_a_trade_between_users(self) -> None:
        self.trade()
        self.publish_all()
        stored = Trade.objects.get()
        public = {
            "type": "trade",
            "stock_id": "ACME",
            "trade_id": stored.trade_id,
            "sequence": stored.sequence,
            "price": 20.0,
            "quantity": 10,
            "execution_timestamp": as_json(stored.executed_at),
            "bid_order_id": str(stored.bid_order_id),
            "ask_order_id": str(stored.ask_order_id),
        }
        private = {
            "source": "book",
            "taker_side": "buy",
            "buyer_id": self.bob.pk,
            "seller_id": self.ann.pk,
            "buyer_fee": 0.0,
            "seller_fee": 0.0,
            "tick_sequence": None,
            "is_settled": stored.settled_at is not None,
            "settlement_timestamp": stored.settled_at and as_json(stored.settled_at),
        }
        self.assertEqual(self.outlet.on(TRADES), [public])
        self.assertEqual(self.outlet.on(TRADE_EVENTS), [public | private])

    def test_it_names_nobody_in_public(self) -> None:
        self.trade()
        self.publish_all()
        for topic in (TRADES, BOOK):
            for body in self.outlet.on(topic):
                self.assertNotIn("user", str(body))
                self.assertNotIn("buyer_id", body)

    def test_a_trade_with_the_outside_has_null_on_its_side(self) -> None:
        self.place_bounded(self.bob, "buy", 100, "10", "20")
        self.tick("20", 40)
        self.publish_all()
        (body,) = self.outlet.on(TRADE_EVENTS)
        self.assertEqual((body["quantity"], body["source"], body["ask_order_id"]), (40, "feed", None))
        self.assertEqual((body["buyer_id"], body["seller_id"]), (self.bob.pk, None))

    def test_it_publishes_the_life_of_orders(self) -> None:
        order = self.place(self.ann, "sell", 10, "20")
        self.place(self.bob, "buy", 4, "20")
        self.place(self.bob, "buy", 6, "20")
        doomed = self.place(self.bob, "buy", 5, "1")
        self.engine.cancel_order(doomed.pk)
        self.engine.halt("ACME")
        self.publish_all()
        events = self.outlet.on(ORDER_EVENTS)
        kinds = [event["type"] for event in events]
        self.assertEqual(
            kinds,
            ["entered", "entered", "traded", "entered", "traded", "entered", "cancelled", "halted"],
        )
        first = events[0]["orders"][0]
        self.assertEqual(
            first,
            {"order_id": str(order.pk), "client_order_id": None, "user_id": self.ann.pk, "side": "sell"},
        )
        fills = [
            {one["user_id"]: one["is_filled"] for one in event["orders"]} for event in (events[2], events[4])
        ]
        self.assertEqual(
            fills, [{self.ann.pk: False, self.bob.pk: True}, {self.ann.pk: True, self.bob.pk: True}]
        )
        self.assertEqual((events[6]["reason"], events[6]["quantity"]), ("user", 5))
        self.assertEqual(events[7]["orders"], [])

    def test_it_publishes_what_becomes_of_stops_changes_and_own_orders(self) -> None:
        self.tick("10", 0)
        stop = self.place(self.bob, "sell", 5, "9", type="stop_limit", stop_price="9.50", client_order_id="s")
        self.tick("9.40", 0)
        self.engine.replace_order(stop.pk, self.bob.pk, price=units("9.20"), quantity=8)
        self.engine.replace_order(stop.pk, self.bob.pk, quantity=6)
        taker = self.place(self.bob, "buy", 10, "9.20", self_trade_prevention="decrement")
        self.publish_all()
        events = self.outlet.on(ORDER_EVENTS)
        said = [(event["type"], event["quantity"], event["price"], event["reason"]) for event in events]
        self.assertEqual(
            said,
            [
                ("entered", 5, 9.0, ""),
                ("triggered", 5, 9.0, ""),
                ("replaced", 8, 9.2, ""),
                ("replaced", 6, 9.2, ""),
                ("entered", 10, 9.2, ""),
                ("prevented", 6, None, ""),
                ("cancelled", 6, None, "self_trade"),
                ("reduced", 6, None, "self_trade"),
            ],
        )
        entered, _, first, second, *_ = events
        links = [event["replaces"] for event in events]
        self.assertEqual(links, [None, None, entered["sequence"], first["sequence"], None, None, None, None])
        prevented = events[5]
        self.assertEqual(prevented["other_order_id"], str(stop.pk))
        self.assertEqual([one["order_id"] for one in prevented["orders"]], [str(taker.pk)])
        self.assertEqual((second["orders"][0]["client_order_id"], second["other_order_id"]), ("s", None))

    def test_it_publishes_the_fees_of_a_trade(self) -> None:
        Stock.objects.update(maker_fee_bps=10, taker_fee_bps=25)
        self.trade()
        self.publish_all()
        (body,) = self.outlet.on(TRADE_EVENTS)
        self.assertEqual((body["buyer_fee"], body["seller_fee"]), (0.5, 0.2))
        self.assertNotIn("buyer_fee", self.outlet.on(TRADES)[0])

    def test_one_sequence_names_one_message_on_a_topic(self) -> None:
        for _ in range(3):
            self.trade()
            self.tick("20", 100)
        self.publish_all()
        for topic in (TRADES, TRADE_EVENTS, ORDER_EVENTS):
            found = self.sequences(topic)
            self.assertEqual(found, sorted(set(found)), topic)
        stored = set(Trade.objects.values_list("sequence", flat=True))
        events = set(OrderEvent.objects.values_list("sequence", flat=True))
        self.assertEqual(set(self.sequences(ORDER_EVENTS)), stored | events)

    def test_it_publishes_the_book_to_be_kept(self) -> None:
        self.place(self.ann, "sell", 10, "21.5")
        self.place(self.bob, "buy", 7, "20")
        self.publish_all()
        message = [message for message in self.outlet.messages if message.topic == BOOK][-1]
        self.assertTrue(message.retain)
        self.assertEqual(
            self.outlet.on(BOOK)[-1],
            {
                "type": "orderbook",
                "stock_id": "ACME",
                "sequence": Stock.objects.get().sequence,
                "timestamp": as_json(NOON),
                "bids": [{"price": 20.0, "quantity": 7}],
                "asks": [{"price": 21.5, "quantity": 10}],
            },
        )
        self.assertFalse(any(one.retain for one in self.outlet.messages if one.topic != BOOK))

    def test_it_publishes_every_book_once_when_it_starts(self) -> None:
        self.publish_all()
        self.assertEqual([body["bids"] for body in self.outlet.on(BOOK)], [[]])

    def test_it_publishes_a_book_ten_times_a_second_at_most(self) -> None:
        for _ in range(50):
            self.place(self.bob, "buy", 1, "10")
            self.publisher.publish_next_batch(now=NOON)
            self.now += 0.01
        self.assertLessEqual(len(self.outlet.on(BOOK)), 6)
        self.now += BOOK_EVERY_S
        self.publisher.publish_next_batch(now=NOON)
        self.assertEqual(self.outlet.on(BOOK)[-1]["bids"], [{"price": 10.0, "quantity": 50}])

    def test_ticks_alone_are_no_events_and_move_no_cursor(self) -> None:
        self.publish_all()
        before = len(self.outlet.messages)
        for _ in range(5):
            self.tick("20", 100)
            self.publisher.publish_next_batch(now=NOON)
        topics = {message.topic for message in self.outlet.messages[before:]}
        self.assertEqual({topic.split("/")[1] for topic in topics}, {"prices", "candles"})
        self.assertEqual(self.cursors(), {})

    def test_a_quiet_market_costs_one_query_a_look(self) -> None:
        self.trade()
        self.publish_all()
        with self.assertNumQueries(1):
            self.publisher.publish_next_batch(now=NOON)

    def test_it_takes_a_long_backlog_in_rounds(self) -> None:
        with (
            mock.patch.object(publisher_module, "MAX_ROWS", 3),
            mock.patch.object(publisher_module, "MAX_MESSAGES", 4),
        ):
            Stock.objects.create(stock_id="BETA", name="Beta")
            for number in range(10):
                self.trade()
                self.place(self.bob, "buy", 1, "10", stock_id="BETA")
                if number % 3 == 0:
                    self.tick("20", 7)
            self.publish_all()
        for stock_id in ("ACME", "BETA"):
            found = [
                body["sequence"] for body in self.outlet.on(ORDER_EVENTS) if body["stock_id"] == stock_id
            ]
            trades = Trade.objects.filter(stock_id=stock_id).values_list("sequence", flat=True)
            events = OrderEvent.objects.filter(stock_id=stock_id).values_list("sequence", flat=True)
            self.assertEqual(found, sorted([*trades, *events]), stock_id)


class Crashing(PublisherTestCase):
    """The publisher ends somewhere between the commit and the cursor; another one starts."""

    def test_what_was_not_acknowledged_is_published_again(self) -> None:
        self.trade()
        self.outlet.is_away = True
        self.assertFalse(self.publisher.publish_next_batch(now=NOON))
        self.assertEqual(self.cursors(), {})
        self.outlet = FakeOutlet()
        self.publisher = self.make_publisher()
        self.publish_all()
        self.assertEqual(len(self.outlet.on(TRADES)), 1)
        self.assertEqual(len(self.outlet.on(ORDER_EVENTS)), 3)

    def test_what_was_acknowledged_and_not_noted_is_published_again(self) -> None:
        self.trade()
        broken = mock.patch.object(PublishCursor.objects, "filter", side_effect=OperationalError("gone"))
        with broken, self.assertRaises(OperationalError):
            self.publisher.publish_next_batch(now=NOON)
        self.publisher = self.make_publisher()
        self.publish_all()
        self.assertEqual(self.sequences(TRADES), [Trade.objects.get().sequence] * 2)

    def test_what_was_noted_is_not_published_again(self) -> None:
        self.trade()
        self.publish_all()
        seen = len(self.outlet.on(TRADES)), len(self.outlet.on(ORDER_EVENTS))
        self.publisher = self.make_publisher()
        self.publish_all()
        self.assertEqual((len(self.outlet.on(TRADES)), len(self.outlet.on(ORDER_EVENTS))), seen)
        self.trade()
        self.publish_all()
        self.assertEqual(len(self.outlet.on(TRADES)), 2)

    def test_it_loses_nothing_whatever_fails(self) -> None:
        failing = FailingOutlet()
        self.outlet = failing
        self.publisher = self.make_publisher()
        for number in range(40):
            self.trade(quantity=1)
            failing.fails = number % 3 != 2
            try:
                self.publisher.publish_next_batch(now=NOON)
            except OperationalError:
                self.publisher = self.make_publisher()
            else:
                if failing.fails:
                    self.publisher = self.make_publisher()
        failing.fails = False
        self.publish_all()
        stored = set(Trade.objects.values_list("sequence", flat=True))
        self.assertEqual(set(failing.acknowledged(TRADES)), stored)
        self.assertEqual(set(failing.acknowledged(TRADE_EVENTS)), stored)

    def test_a_second_publisher_is_noticed_and_loses_nothing(self) -> None:
        other = self.make_publisher()
        self.trade()
        self.publish_all()
        self.trade()
        other.publish_next_batch(now=NOON)
        self.trade()
        with self.assertLogs("market_feed.publisher", "ERROR"):
            self.publish_all()
        self.assertEqual(set(self.sequences(TRADES)), set(Trade.objects.values_list("sequence", flat=True)))
        self.assertEqual(self.cursors(), {"ACME": Stock.objects.get().sequence})


class Looping(PublisherTestCase):
    def run_until_stopped(self, on_step: Any) -> None:
        steps = iter(on_step)

        def step(*, now: datetime) -> bool:
            try:
                outcome = next(steps)
            except StopIteration:
                self.publisher.stop()
                return False
            if isinstance(outcome, Exception):
                raise outcome
            return outcome

        with (
            mock.patch.object(self.publisher, "publish_next_batch", step),
            mock.patch.object(publisher_module, "connection"),
            mock.patch.object(publisher_module, "RETRY_DELAYS_S", (0.0,)),
        ):
            self.publisher.run()

    def test_it_goes_on_after_the_database_was_away(self) -> None:
        with self.assertLogs("market_feed.publisher", "WARNING") as caught:
            self.run_until_stopped([OperationalError("gone"), OperationalError("gone"), True, False])
        self.assertEqual(len(caught.output), 2)

    def test_a_commit_in_this_process_wakes_it(self) -> None:
        with mock.patch.object(publisher_module, "POLL_S", 30.0):

            def steps() -> Any:
                self.place(self.bob, "buy", 1, "10")
                yield False  # would now wait for half a minute
                yield True

            self.run_until_stopped(steps())


class FailingOutlet(FakeOutlet):
    """Takes messages and, while it `fails`, acknowledges none of them."""

    def __init__(self) -> None:
        super().__init__()
        self.fails = False
        self._acknowledged: list[Message] = []
        self._new: list[Message] = []

    def publish(self, messages: Any) -> None:
        super().publish(messages)
        self._new = list(messages)

    def wait_until_delivered(self, timeout_s: float | None = None) -> bool:
        if not self.fails:
            self._acknowledged += self._new
        return not self.fails

    def acknowledged(self, topic: str) -> list[int]:
        return [json.loads(one.payload)["sequence"] for one in self._acknowledged if one.topic == topic]


def as_json(moment: datetime) -> str:
    return moment.isoformat().replace("+00:00", "Z")
