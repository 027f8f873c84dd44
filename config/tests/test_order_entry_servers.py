"""Order entry on the streams of a real `manage.py serve`, beside its REST, by clients that die."""

import json
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from django.test import SimpleTestCase
from websockets.sync.client import ClientConnection, connect

from config.tests.web_processes import Market, WebProcess, market

PASSWORD = "correct horse battery"
BUY: dict[str, Any] = {"stock_id": "ACME", "side": "buy", "type": "limit", "quantity": 1, "price": 20}
# A client that opts in, places orders, says so, and waits to be killed.
CLIENT = """
import json, sys, time
from websockets.sync.client import connect
with connect(sys.argv[1]) as stream:
    stream.send('{"type": "cancel_on_disconnect", "id": 0, "enabled": true}')
    for number in range(1, 11):
        stream.send(json.dumps({"type": "place", "id": number, "order": json.loads(sys.argv[2])}))
    answered = 0
    while answered < 11:
        answered += "id" in json.loads(stream.recv(10))
    print("placed", flush=True)
    time.sleep(60)
"""


class Trader:
    """A user of a web process, by REST and by stream."""

    def __init__(self, web: WebProcess, name: str) -> None:
        self.web = web
        self.token = ""
        self.rest("POST", "users/", {"username": name, "password": PASSWORD, "email": f"{name}@example.com"})
        self.token = self.rest("POST", "auth/token/", {"username": name, "password": PASSWORD})[1]["token"]
        self.rest("POST", "users/me/deposit/", {"amount": 100_000})

    def rest(self, method: str, path: str, body: Any = None) -> tuple[int, Any, bytes]:
        headers = {"Content-Type": "application/json"}
        if self.token:
            headers["Authorization"] = f"Token {self.token}"
        data = None if body is None else json.dumps(body).encode()
        request = urllib.request.Request(f"{self.web.url}/api/{path}", data, headers, method=method)
        try:
            with urllib.request.urlopen(request, timeout=10) as answer:
                status, content = answer.status, answer.read()
        except urllib.error.HTTPError as error:
            status, content = error.code, error.read()
        return status, json.loads(content), content

    @contextmanager
    def stream(self) -> Iterator[ClientConnection]:
        with connect(self.stream_url(), max_queue=None) as stream:
            yield stream

    def stream_url(self) -> str:
        return self.web.stream(f"/ws/orders/?token={self.token}")

    def open_orders(self) -> int:
        return self.rest("GET", "orders/?open=true")[1]["count"]

    def stored(self, order_id: str) -> dict[str, Any]:
        return self.rest("GET", f"orders/{order_id}/")[1]


@contextmanager
def client_process(trader: Trader) -> Iterator[subprocess.Popen[str]]:
    """A client in a process of its own, once its ten orders are placed."""
    client = subprocess.Popen(
        [sys.executable, "-c", CLIENT, trader.stream_url(), json.dumps(BUY)],
        stdout=subprocess.PIPE,
        text=True,
    )
    with client:
        assert client.stdout is not None
        assert client.stdout.readline() == "placed\n"
        try:
            yield client
        finally:
            client.kill()


def ask(stream: ClientConnection, **request: Any) -> tuple[dict[str, Any], str]:
    """The answer to one request, and its text."""
    stream.send(json.dumps({"id": "x", **request}))
    while True:
        text = str(stream.recv(10))
        message = json.loads(text)
        if message.get("id") == "x":
            return message, text


class OrderEntryOnServersTests(SimpleTestCase):
    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.market: Market = cls.enterClassContext(market())
        cls.web = cls.market.serve()
        cls.ann = Trader(cls.web, "ann")

    def until_no_order_is_open(self, trader: Trader) -> None:
        deadline = time.monotonic() + 10
        while trader.open_orders():
            self.assertLess(time.monotonic(), deadline, "orders are still open")
            time.sleep(0.05)

    def test_it_places_changes_and_cancels(self) -> None:
        with self.ann.stream() as stream:
            order = ask(stream, type="place", order=BUY)[0]["order"]
            self.assertEqual(self.ann.stored(order["order_id"]), order)
            changed = ask(stream, type="replace", order_id=order["order_id"], price=21)[0]["order"]
            self.assertEqual((changed["order_id"], changed["price"]), (order["order_id"], 21.0))
            cancelled = ask(stream, type="cancel", order_id=order["order_id"])[0]["order"]
            self.assertEqual(self.ann.stored(order["order_id"]), cancelled)

    def test_it_refuses_with_the_bytes_of_rest(self) -> None:
        bodies: list[Any] = [{**BUY, "price": 20.001}, {**BUY, "quantity": 10**9, "Ü": 1}, {}]
        bodies += [{**BUY, "side": "sell"}, {**BUY, "quantity": 10**6}, {**BUY, "stock_id": "NONE"}]
        with self.ann.stream() as stream:
            for body in bodies:
                with self.subTest(body=body):
                    status, _, content = self.ann.rest("POST", "orders/", body)
                    answer, text = ask(stream, type="place", order=body)
                    self.assertEqual(answer["status"], status)
                    self.assertTrue(text.encode().endswith(content[content.index(b'"errors":') :]), text)

    def test_it_repeats_an_order_of_rest_and_the_other_way_round(self) -> None:
        body = {**BUY, "client_order_id": "first by REST"}
        order_id = self.ann.rest("POST", "orders/", body)[1]["order_id"]
        with self.ann.stream() as stream:
            answer, _ = ask(stream, type="place", order=body)
            self.assertEqual((answer["status"], answer["order"]["order_id"]), (200, order_id))
            body["client_order_id"] = "first by stream"
            order_id = ask(stream, type="place", order=body)[0]["order"]["order_id"]
        status, order, _ = self.ann.rest("POST", "orders/", body)
        self.assertEqual((status, order["order_id"]), (200, order_id))

    def test_it_answers_two_hundred_requests_sent_at_once(self) -> None:
        with self.ann.stream() as stream:
            for number in range(200):
                stream.send(json.dumps({"type": "place", "id": number, "order": BUY}))
            answers: dict[int, str] = {}
            while len(answers) < 200:
                message = json.loads(stream.recv(10))
                if "id" in message:
                    answers[message["id"]] = message["order"]["order_id"]
            self.assertEqual(set(answers), set(range(200)))
            self.assertEqual(len(set(answers.values())), 200)
            self.assertGreaterEqual(ask(stream, type="cancel_all")[0]["cancelled"], 200)

    def test_it_cancels_the_orders_of_a_client_that_is_killed(self) -> None:
        bob = Trader(self.web, "bob")
        kept = bob.rest("POST", "orders/", BUY)[1]["order_id"]
        with client_process(bob) as client:
            self.assertEqual(bob.open_orders(), 11)
            client.kill()
        bob.rest("DELETE", f"orders/{kept}/")
        self.until_no_order_is_open(bob)
        self.assertEqual(bob.rest("GET", "users/me/balance/")[1]["reserved"], 0)
        reasons = {order["reason"] for order in bob.rest("GET", "orders/")[1]["results"]}
        self.assertEqual(reasons, {"disconnect", "user"})

    def test_it_cancels_the_orders_of_connections_that_its_end_closes(self) -> None:
        web = self.market.serve()
        clara = Trader(web, "clara")
        with client_process(clara) as client:
            # It does not even answer the good-bye.
            client.send_signal(signal.SIGSTOP)
            self.assertEqual(web.stop(), 0)
            client.kill()
        clara.web = self.web
        orders = clara.rest("GET", "orders/")[1]["results"]
        self.assertEqual([order["reason"] for order in orders], ["disconnect"] * 10)
        self.assertNotRegex(web.output, r"ERROR|Traceback")

    def test_it_logs_no_trouble(self) -> None:
        self.assertNotRegex(self.web.output, r"ERROR|Traceback")
