"""The commands, as their users type them."""

import io
import json
import signal
import tempfile
import threading
import time
from pathlib import Path
from typing import Any
from unittest import mock

from django.core.management import call_command
from django.core.management.base import CommandError
from django.db import OperationalError
from django.test import SimpleTestCase, TestCase

from market_feed.broker import EmbeddedBroker
from market_feed.link import BrokerLink
from market_feed.sources import outlet
from market_feed.stopping import stop_on_signals
from market_feed.tests.test_link import Inbox
from stocks.models import Stock

PATIENCE_S = 10.0
NOWHERE = "mqtt://127.0.0.1:9"


class CommandTestCase(TestCase):
    def setUp(self) -> None:
        self.enterContext(mock.patch.object(outlet, "CONNECT_TIMEOUT_S", 0.3))
        self.folder = Path(self.enterContext(tempfile.TemporaryDirectory()))

    def call(self, *arguments: Any) -> str:
        out = io.StringIO()
        call_command(*map(str, arguments), stdout=out, stderr=out)
        return out.getvalue()

    def csv(self, rows: int) -> Path:
        path = self.folder / "ticks.csv"
        lines = [
            f"2024-05-06T09:30:00.{number:06},ACME,{20 + number}.5,{number + 1}" for number in range(rows)
        ]
        path.write_text("\n".join(["ts,symbol,price,size", *lines, ""]))
        return path


class WithoutABroker(CommandTestCase):
    def test_what_the_user_got_wrong_is_one_line(self) -> None:
        good = self.csv(1)
        bad = self.folder / "bad.csv"
        bad.write_text("when,what\n")
        for words, arguments in [
            ("missing.csv cannot be read: No such file", ("replay_prices", self.folder / "missing.csv")),
            ("no broker takes us at 127.0.0.1:9", ("replay_prices", good, "--mqtt-url", NOWHERE)),
            ("is not of the form", ("replay_prices", good, "--mqtt-url", "localhost")),
            ("--speed is 0 or more", ("replay_prices", good, "--speed", "-1")),
            ("no broker takes us", ("stream_prices", "--mqtt-url", NOWHERE)),
            ("--rate is more than 0", ("stream_prices", "--rate", "0")),
            ("--stocks is 1 or more", ("stream_prices", "--stocks", "0")),
        ]:
            with self.subTest(arguments), self.assertRaisesRegex(CommandError, words):
                self.call(*arguments)

    def test_a_database_that_is_away_is_one_line(self) -> None:
        broken = mock.patch.object(Stock.objects, "order_by", side_effect=OperationalError("gone"))
        with broken, self.assertRaisesRegex(CommandError, "cannot be read, give --stocks: gone"):
            self.call("stream_prices")

    def test_a_broker_url_that_is_none_is_one_line(self) -> None:
        for command in ("consume_feed", "publish_events"):
            with self.subTest(command), self.settings(MQTT_URL="localhost:1883"):
                with self.assertRaisesRegex(CommandError, "is not of the form"):
                    self.call(command)


class WithABroker(CommandTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.broker = EmbeddedBroker()
        self.broker.start()
        self.addCleanup(self.broker.stop)
        self.inbox = Inbox()
        link = BrokerLink(
            self.broker.url, client_id="listener", subscribe_to="market/ticks/#", receiver=self.inbox
        )
        link.start()
        self.addCleanup(link.stop)
        self.wait_for(lambda: "market/ticks/#" in self.broker.subscriptions())

    def wait_for(self, condition: Any) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            self.assertLess(time.monotonic(), deadline, "waited in vain")
            time.sleep(0.01)

    def ticks(self) -> list[dict[str, Any]]:
        return [json.loads(payload) for payload in self.inbox.payloads]

    def test_it_replays_a_file_flat_out_and_reports(self) -> None:
        said = self.call("replay_prices", self.csv(300), "--flat-out", "--mqtt-url", self.broker.url)
        self.assertRegex(said, r"^300 ticks in \d+\.\d s, [\d,]+/s\n$")
        self.wait_for(lambda: len(self.inbox.messages) == 300)
        self.assertEqual([tick["availability"] for tick in self.ticks()], list(range(1, 301)))
        self.assertEqual(
            self.ticks()[0],
            {
                "stock_id": "ACME",
                "name": "ACME",
                "price": 20.5,
                "availability": 1,
                "timestamp": "2024-05-06 09:30:00.000000",
            },
        )

    def test_it_says_what_is_wrong_in_the_middle_of_a_file(self) -> None:
        path = self.csv(150)
        path.write_text(path.read_text() + "noon,ACME,1,1\n")
        with self.assertRaisesRegex(CommandError, "line 152: 'noon' is not a time"):
            self.call("replay_prices", path, "--flat-out", "--mqtt-url", self.broker.url)

    def test_it_streams_the_same_prices_for_the_same_seed(self) -> None:
        prices = []
        for _ in range(2):
            self.inbox.messages.clear()
            self.call(
                *("stream_prices", "--stocks", 3, "--seed", 5, "--rate", 400, "--duration", 0.5),
                *("--mqtt-url", self.broker.url),
            )
            self.wait_for(lambda: len(self.inbox.messages) > 50)
            prices.append([(tick["stock_id"], tick["price"]) for tick in self.ticks()[:50]])
        self.assertEqual(prices[0], prices[1])

    def test_it_streams_prices_of_the_stocks_that_are_listed(self) -> None:
        Stock.objects.create(stock_id="ACME", name="Acme", last_price=77)
        self.call("stream_prices", "--rate", 200, "--duration", 0.3, "--mqtt-url", self.broker.url)
        self.wait_for(lambda: bool(self.inbox.messages))
        self.assertEqual({tick["stock_id"] for tick in self.ticks()}, {"ACME"})
        self.assertAlmostEqual(self.ticks()[0]["price"], 77, delta=3)

    def test_a_signal_ends_a_stream(self) -> None:
        threading.Timer(0.4, signal.raise_signal, [signal.SIGTERM]).start()
        started = time.monotonic()
        said = self.call("stream_prices", "--stocks", 1, "--rate", 50, "--mqtt-url", self.broker.url)
        self.assertLess(time.monotonic() - started, 5)
        self.assertRegex(said, r"\d+ ticks in ")

    def test_a_port_that_is_taken_is_one_line(self) -> None:
        with self.assertRaisesRegex(CommandError, f"does not start on port {self.broker.port}"):
            self.call("run_broker", "--port", self.broker.port)


class Stopping(SimpleTestCase):
    def test_signals_set_the_event_and_are_as_before_afterwards(self) -> None:
        before = signal.getsignal(signal.SIGTERM)
        for number in (signal.SIGTERM, signal.SIGINT):
            with stop_on_signals() as stop:
                self.assertFalse(stop.is_set())
                signal.raise_signal(number)
                self.assertTrue(stop.is_set())
        self.assertEqual(signal.getsignal(signal.SIGTERM), before)

    def test_a_second_signal_does_what_it_always_did(self) -> None:
        usual = mock.Mock()
        before = signal.signal(signal.SIGTERM, usual)
        self.addCleanup(signal.signal, signal.SIGTERM, before)
        with stop_on_signals():
            signal.raise_signal(signal.SIGTERM)
            usual.assert_not_called()
            signal.raise_signal(signal.SIGTERM)
            usual.assert_called_once()
