"""How messages become ticks, and when they are acknowledged."""

import json
import threading
from datetime import UTC, datetime, timedelta
from typing import Any
from unittest import mock

from django.db import OperationalError
from django.test import TestCase

from market_feed import consumer as consumer_module
from market_feed.consumer import MAX_BATCH, MAX_WAITING, FeedConsumer
from market_feed.known_stocks import KnownStocks
from market_feed.models import FeedState
from market_feed.selectors import feed_age
from market_feed.tests.fakes import FakeEngine, FakeLink
from stocks.models import Stock, Tick
from stocks.services import list_stock
from trade.services.refusals import EngineBusy
from trade.tests.base import MarketTestCase, make_trader

NOW = datetime(2024, 5, 6, 12, 0, tzinfo=UTC)


def payload(number: int = 1, **fields: Any) -> bytes:
    tick = {
        "stock_id": "ACME",
        "name": "Acme",
        "price": 20,
        "availability": 50,
        "timestamp": (NOW - timedelta(hours=1) + timedelta(milliseconds=number)).isoformat(),
    }
    return json.dumps(tick | fields).encode()


def make_consumer(engine: Any, *, lists_stocks: bool = True) -> tuple[FeedConsumer, FakeLink]:
    def list_new(stock_id: str, name: str) -> None:
        list_stock(stock_id=stock_id, name=name)

    made = FeedConsumer(
        engine=engine,
        known_stocks=KnownStocks(list_stock=list_new if lists_stocks else None),
        max_clock_skew=timedelta(minutes=5),
        clock=lambda: NOW,
    )
    made.link = link = FakeLink()
    return made, link


class ConsumerTestCase(TestCase):
    manual = False

    def setUp(self) -> None:
        self.engine = FakeEngine(manual=self.manual)
        self.consumer, self.link = make_consumer(self.engine)
        list_stock(stock_id="ACME", name="Acme")
        # A pause in these tests is a pause of the suite.
        self.enterContext(mock.patch.object(consumer_module, "RETRY_DELAYS_S", (0.0,)))

    def receive(self, *payloads: bytes, generation: int = 1, first_mid: int = 1) -> None:
        for mid, message in enumerate(payloads, first_mid):
            self.consumer.receive(generation, mid, message)

    def run_dry(self) -> None:
        while self.consumer.consume_step():
            pass

    def mids(self) -> list[int]:
        return [mid for _, mid in self.link.acknowledged]


class Consuming(ConsumerTestCase):
    def test_it_applies_all_that_waits_together_and_in_order(self) -> None:
        self.receive(*(payload(number) for number in range(1, 8)))
        self.run_dry()
        self.assertEqual([len(batch) for batch in self.engine.batches], [7])
        times = [tick.timestamp for tick in self.engine.applied]
        self.assertEqual(times, sorted(times))
        self.assertEqual(self.link.acknowledged, [(1, mid) for mid in range(1, 8)])

    def test_it_does_nothing_when_nothing_has_come(self) -> None:
        self.assertFalse(self.consumer.consume_step())
        self.assertEqual(self.engine.batches, [])

    def test_it_bounds_a_batch(self) -> None:
        self.receive(*(payload(number) for number in range(MAX_BATCH + 10)))
        self.run_dry()
        self.assertEqual([len(batch) for batch in self.engine.batches], [MAX_BATCH, 10])
        self.assertEqual(self.mids(), list(range(1, MAX_BATCH + 11)))

    def test_it_drops_and_acknowledges_what_is_malformed(self) -> None:
        self.receive(b"not json", payload(1), payload(2, price=-1), payload(3))
        with self.assertLogs("market_feed.drop_log", "WARNING"):
            self.run_dry()
        self.assertEqual(len(self.engine.applied), 2)
        self.assertEqual(self.mids(), [1, 2, 3, 4])
        self.assertEqual(dict(self.consumer.dropped.counts), {"not_json": 1, "price_not_positive": 1})

    def test_it_acknowledges_when_all_is_malformed(self) -> None:
        self.receive(b"", b"{}")
        with self.assertLogs("market_feed.drop_log", "WARNING"):
            self.run_dry()
        self.assertEqual(self.mids(), [1, 2])
        self.assertEqual(self.engine.applied, [])

    def test_it_does_not_hold_what_is_too_large(self) -> None:
        self.receive(payload(name="x" * 1_000_000))
        self.assertLess(len(self.consumer._inbox[0][2]), 5_000)
        with self.assertLogs("market_feed.drop_log", "WARNING"):
            self.run_dry()
        self.assertEqual(dict(self.consumer.dropped.counts), {"too_large": 1})

    def test_it_does_not_acknowledge_what_needs_no_acknowledgement(self) -> None:
        self.consumer.receive(1, 0, payload())
        self.run_dry()
        self.assertEqual((len(self.engine.applied), self.link.acknowledged), (1, []))

    def test_it_keeps_messages_of_two_connections_apart(self) -> None:
        self.receive(payload(1), payload(2))
        self.receive(payload(1), payload(2), generation=2)
        self.run_dry()
        self.assertEqual(self.link.acknowledged, [(1, 1), (1, 2), (2, 1), (2, 2)])

    def test_it_is_full_at_its_bound_and_wakes_the_link_when_there_is_room(self) -> None:
        self.receive(*[payload()] * MAX_WAITING)
        self.assertTrue(self.consumer.is_full())
        self.consumer.consume_step()
        self.assertFalse(self.consumer.is_full())
        self.assertEqual(self.link.wakes, 1)

    def test_it_lists_a_new_stock_on_its_first_tick(self) -> None:
        self.receive(payload(1, stock_id="NEW", name="New <b>Corp</b>"), payload(2, stock_id="NEW"))
        self.run_dry()
        self.assertEqual(Stock.objects.get(pk="NEW").name, "New bCorp/b")
        self.assertEqual(len(self.engine.applied), 2)

    def test_it_does_not_list_a_stock_for_a_malformed_tick(self) -> None:
        self.receive(payload(stock_id="NEW", price=-5), payload(stock_id="NEW", timestamp="never"))
        with self.assertLogs("market_feed.drop_log", "WARNING"):
            self.run_dry()
        self.assertFalse(Stock.objects.filter(pk="NEW").exists())

    def test_it_drops_ticks_of_stocks_that_are_not_wanted(self) -> None:
        self.consumer, self.link = make_consumer(self.engine, lists_stocks=False)
        self.receive(payload(1, stock_id="NEW"), payload(2))
        with self.assertLogs("market_feed.drop_log", "WARNING"):
            self.run_dry()
        self.assertEqual([tick.stock_id for tick in self.engine.applied], ["ACME"])
        self.assertEqual(self.mids(), [1, 2])

    def test_it_keeps_the_time_of_the_newest_message(self) -> None:
        self.assertIsNone(feed_age(NOW))
        self.receive(payload())
        self.run_dry()
        self.assertEqual(feed_age(NOW + timedelta(seconds=7)), timedelta(seconds=7))
        self.assertEqual(FeedState.objects.count(), 1)


class Committing(ConsumerTestCase):
    manual = True

    def test_it_acknowledges_only_after_the_commit(self) -> None:
        self.receive(payload())
        self.run_dry()
        self.assertEqual((len(self.engine.batches), self.mids()), (1, []))
        self.engine.commit()
        self.run_dry()
        self.assertEqual(self.mids(), [1])

    def test_what_comes_during_a_commit_becomes_the_next_batch(self) -> None:
        self.receive(payload(1))
        self.run_dry()
        self.receive(payload(2), first_mid=2)
        self.run_dry()
        self.receive(payload(3), first_mid=3)
        self.run_dry()
        self.assertEqual([len(batch) for batch in self.engine.batches], [1])
        self.engine.commit()
        self.run_dry()
        self.assertEqual([len(batch) for batch in self.engine.batches], [1, 2])
        self.assertEqual(self.mids(), [1])


class Failing(ConsumerTestCase):
    def test_it_tries_again_when_the_database_is_away(self) -> None:
        self.engine.errors = [OperationalError("gone"), OperationalError("still gone"), EngineBusy("full")]
        self.receive(payload(1), payload(2))
        with self.assertLogs("market_feed.consumer", "WARNING") as caught:
            self.run_dry()
        self.assertEqual(len(caught.output), 3)
        self.assertEqual(len(self.engine.applied), 2)
        self.assertEqual(self.mids(), [1, 2])

    def test_nothing_newer_overtakes_a_batch_that_failed(self) -> None:
        self.engine.errors = [OperationalError("gone")] * 3
        self.receive(payload(1))
        with self.assertLogs("market_feed.consumer", "WARNING"):
            self.consumer.consume_step()
            self.receive(payload(2), first_mid=2)
            self.run_dry()
        times = [tick.timestamp for tick in self.engine.applied]
        self.assertEqual((len(times), times), (2, sorted(times)))
        self.assertEqual(self.mids(), [1, 2])

    def test_it_tries_again_when_the_engine_takes_nothing(self) -> None:
        self.receive(payload())
        refusal = mock.patch.object(self.engine, "apply_ticks", side_effect=EngineBusy("full"))
        with refusal, self.assertLogs("market_feed.consumer", "WARNING"):
            self.consumer.consume_step()
        self.run_dry()
        self.assertEqual((len(self.engine.applied), self.mids()), (1, [1]))

    def test_it_keeps_the_message_when_listing_a_stock_fails(self) -> None:
        self.receive(payload(1), payload(2, stock_id="NEW"), payload(3))
        broken = mock.patch(
            "market_feed.tests.test_consumer.list_stock", side_effect=OperationalError("gone")
        )
        with broken, self.assertLogs("market_feed.consumer", "WARNING"):
            self.consumer.consume_step()
        self.assertEqual(self.link.acknowledged, [])
        self.run_dry()
        self.assertEqual([tick.stock_id for tick in self.engine.applied], ["ACME", "NEW", "ACME"])
        self.assertEqual(self.mids(), [1, 2, 3])

    def test_a_tick_that_cannot_be_stored_is_dropped_alone(self) -> None:
        self.engine.poison = {"BAD"}
        self.receive(payload(1), payload(2, stock_id="BAD"), payload(3))
        with self.assertLogs("market_feed", "WARNING"):
            self.run_dry()
        self.assertEqual([tick.stock_id for tick in self.engine.applied], ["ACME", "ACME"])
        self.assertEqual(self.mids(), [1, 2, 3])
        self.assertEqual(dict(self.consumer.dropped.counts), {"not_applicable": 1})

    def test_it_goes_on_when_the_time_cannot_be_kept(self) -> None:
        self.receive(payload())
        broken = mock.patch.object(FeedState.objects, "filter", side_effect=OperationalError("gone"))
        with broken, self.assertLogs("market_feed.consumer", "WARNING"):
            self.run_dry()
        self.assertEqual(self.mids(), [1])


class Stopping(ConsumerTestCase):
    manual = True

    def test_it_finishes_and_acknowledges_the_batch_under_way(self) -> None:
        self.receive(payload())
        self.run_dry()
        self.consumer.stop()
        committing = threading.Timer(0.05, self.engine.commit)
        committing.start()
        # The thread of `run` closes its connection; here that would be the test's own.
        with mock.patch.object(consumer_module, "connection"):
            self.consumer.run()
        self.assertEqual(self.mids(), [1])

    def test_it_leaves_what_it_cannot_apply_to_the_broker(self) -> None:
        self.engine.errors = [EngineBusy("the engine is stopping")] * 2
        self.receive(payload())
        self.run_dry()
        self.engine.commit()
        self.consumer.stop()
        with (
            mock.patch.object(consumer_module, "connection"),
            mock.patch.object(consumer_module, "LAST_BATCH_TIMEOUT_S", 0.01),
            self.assertLogs("market_feed.consumer", "WARNING"),
        ):
            self.consumer.run()
        self.assertEqual(self.mids(), [])


class WithTheEngine(MarketTestCase):
    """The same with the market behind it."""

    def setUp(self) -> None:
        super().setUp()
        self.consumer, self.link = make_consumer(self.engine)

    def receive(self, *payloads: bytes) -> None:
        for mid, message in enumerate(payloads, 1):
            self.consumer.receive(1, mid, message)
        while self.consumer.consume_step():
            pass

    def test_it_fills_the_worked_example_of_the_contract(self) -> None:
        ann = make_trader("ann", 10_000)
        order = self.place_bounded(ann, "buy", 100, "10", "20")
        self.receive(payload(1, price=20, availability=50))
        order.refresh_from_db()
        self.assertEqual((order.traded_quantity, order.status), (50, "PARTIALLY_FILLED"))
        self.receive(payload(2, price=19, availability=500))
        order.refresh_from_db()
        self.assertEqual((order.traded_quantity, order.status), (100, "FILLED"))
        self.assertEqual(self.shares(ann)[0], 100)

    def test_it_stores_a_repeated_message_once(self) -> None:
        self.receive(payload(1), payload(1), payload(2))
        self.receive(payload(1), payload(2))
        self.assertEqual(Tick.objects.filter(stock_id="ACME").count(), 2)

    def test_it_stores_an_older_tick_as_history(self) -> None:
        self.receive(payload(5, price=20), payload(1, price=30))
        self.assertEqual(
            list(Tick.objects.order_by("sequence").values_list("is_late", flat=True)), [False, True]
        )
        self.assertEqual(Stock.objects.get(pk="ACME").quote_price, 20)

    def test_it_rounds_to_the_increment_of_the_stock(self) -> None:
        self.receive(payload(1, price=20.006))
        self.assertEqual(str(Tick.objects.get().price), "20.0100")

    def test_it_acknowledges_what_is_too_far_from_the_last_price(self) -> None:
        self.receive(payload(1, price=20), payload(2, price=2_000), payload(3, price=21))
        self.assertEqual(Tick.objects.count(), 2)
        self.assertEqual([mid for _, mid in self.link.acknowledged], [1, 2, 3])
