"""The streams of a real `manage.py serve`, as clients on the network see them."""

import json
import re
import signal
import time
import urllib.error
import urllib.request
from typing import Any

from django.test import SimpleTestCase
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from config.tests.web_processes import START_TIMEOUT_S, WebProcess, market


class ServeTests(SimpleTestCase):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.market = cls.enterClassContext(market())
        cls.web = cls.market.serve()

    def get(self, path: str) -> tuple[int, Any, bytes]:
        try:
            with urllib.request.urlopen(self.web.url + path, timeout=5) as answer:
                return answer.status, answer.headers, answer.read()
        except urllib.error.HTTPError as error:
            return error.code, error.headers, error.read()

    def test_it_serves_the_page_and_its_files(self) -> None:
        status, headers, page = self.get("/")
        self.assertEqual(status, 200)
        self.assertIn("text/html", headers["Content-Type"])
        files = re.findall(r'(?:src|href)="(/static/[^"]+)"', page.decode())
        self.assertGreaterEqual(len(files), 3)
        for file in files:
            self.assertEqual(self.get(file)[0], 200, file)

    def test_it_speaks_the_protocol(self) -> None:
        with connect(self.web.stream("/ws/trades/")) as client:
            client.send('{"type": "ping"}')
            self.assertEqual(json.loads(client.recv(3)), {"type": "pong"})
            client.send(b"\x00")
            self.assertEqual(json.loads(client.recv(3))["code"], "not_text")

    def test_it_sends_a_snapshot_at_once_and_every_second(self) -> None:
        with connect(self.web.stream("/ws/orderbook?stock_id=ACME")) as client:
            started = time.monotonic()
            for _ in range(6):
                self.assertEqual(json.loads(client.recv(3))["type"], "orderbook")
            self.assertLess(time.monotonic() - started, 5.0)

    def test_it_sends_long_answers_whole(self) -> None:
        # Frames with each of the three lengths a WebSocket frame can have.
        with connect(self.web.stream("/ws/trades/")) as client:
            self.market.trade(count=600, at_once=600)
            received = [one for message in self.until_trades(client, 600) for one in message]
        self.assertEqual(len({one["trade_id"] for one in received}), 600)

    def test_it_refuses_a_path_that_leads_nowhere(self) -> None:
        with self.assertRaises(InvalidStatus) as raised, connect(self.web.stream("/ws/nothing/")):
            pass
        self.assertEqual(raised.exception.response.status_code, 403)

    def test_it_refuses_a_page_from_elsewhere(self) -> None:
        with (
            self.assertRaises(InvalidStatus),
            connect(self.web.stream("/ws/trades/"), origin="http://evil.example"),
        ):
            pass

    def test_it_closes_on_an_unknown_stock_and_says_why(self) -> None:
        with connect(self.web.stream("/ws/trades/?stock_id=NONE")) as client:
            self.assertEqual(json.loads(client.recv(3))["code"], "unknown_stock")
            with self.assertRaises(ConnectionClosed):
                client.recv(3)
            self.assertEqual(client.close_code, 4004)
            self.assertIn("NONE", client.close_reason)

    def test_it_closes_on_a_message_that_is_far_too_large(self) -> None:
        with connect(self.web.stream("/ws/trades/")) as client:
            client.send('"' + "x" * 100_000 + '"')
            with self.assertRaises(ConnectionClosed):
                client.recv(3)
            self.assertEqual(client.close_code, 1009)

    def test_it_hears_of_the_trades_of_another_process(self) -> None:
        with connect(self.web.stream("/ws/trades/?stock_id=ACME")) as client:
            self.market.trade(count=20)
            started = time.monotonic()
            self.until_trades(client, 20)
            self.assertLess(time.monotonic() - started, 1.5)

    def test_it_says_so_when_the_port_is_taken(self) -> None:
        port = self.web.url.rsplit(":", 1)[1]
        second = WebProcess(self.market.environment, "--port", port)
        self.assertEqual(second.process.wait(START_TIMEOUT_S), 1)
        second.stop()
        self.assertIn("Cannot serve on 127.0.0.1", second.output)
        self.assertNotIn("Traceback", second.output)

    def test_it_logs_no_trouble(self) -> None:
        self.assertNotRegex(self.web.output, r"ERROR|Traceback")

    def until_trades(self, client: Any, count: int) -> list[list[dict[str, Any]]]:
        messages: list[list[dict[str, Any]]] = []
        while sum(map(len, messages)) < count:
            messages.append(json.loads(client.recv(5))["trades"])
        self.assertEqual(sum(map(len, messages)), count)
        sequences = [one["sequence"] for message in messages for one in message]
        self.assertEqual(sequences, sorted(sequences))
        return messages


class EndTests(SimpleTestCase):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.market = cls.enterClassContext(market())

    def test_it_ends_cleanly_and_tells_its_clients(self) -> None:
        for number in (signal.SIGTERM, signal.SIGINT):
            with self.subTest(signal=number):
                web = self.market.serve()
                with connect(web.stream("/ws/trades/")) as client:
                    started = time.monotonic()
                    self.assertEqual(web.stop(number), 0)
                    self.assertLess(time.monotonic() - started, 5)
                    with self.assertRaises(ConnectionClosed):
                        client.recv(3)
                    self.assertEqual(client.close_code, 1001)
                self.assertNotRegex(web.output, r"ERROR|Traceback")
