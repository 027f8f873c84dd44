"""The streams of real `manage.py serve` processes, as clients on the network see them."""

import asyncio
import json
import os
import re
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from pathlib import Path
from typing import Any

from django.conf import settings
from django.test import SimpleTestCase, tag
from websockets.asyncio.client import connect as connect_async
from websockets.exceptions import ConnectionClosed, InvalidStatus
from websockets.sync.client import connect

from config.testing.servers import needs, postgresql_cluster, redis_server

START_TIMEOUT_S = 30


class WebProcess:
    """A running `manage.py serve`."""

    def __init__(self, environment: dict[str, str], *options: str) -> None:
        self.process = subprocess.Popen(
            [sys.executable, "manage.py", "serve", *(options or ("--port", "0"))],
            cwd=settings.BASE_DIR,
            env=environment,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
        )
        self.output = ""
        self.url = ""
        self._is_up = threading.Event()
        self._reader = threading.Thread(target=self._read, daemon=True)
        self._reader.start()

    def _read(self) -> None:
        assert self.process.stdout is not None
        for line in self.process.stdout:
            self.output += line
            if found := re.search(r"Serving on (http://\S+)/", line):
                self.url = found[1]
                self._is_up.set()
        self._is_up.set()

    def wait_until_up(self) -> None:
        self._is_up.wait(START_TIMEOUT_S)
        if not self.url:
            raise AssertionError(f"the web process did not come up:\n{self.output}")

    def stream(self, path: str) -> str:
        return "ws" + self.url.removeprefix("http") + path

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal; the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            status = self.process.wait(15)
        finally:
            self.process.kill()
            self._reader.join(5)
            assert self.process.stdout is not None
            self.process.stdout.close()
        return status

    def memory_mib(self) -> float:
        status = Path(f"/proc/{self.process.pid}/status").read_text()
        return int(re.search(r"VmRSS:\s+(\d+)", status)[1]) / 1024


class Market:
    """A database of its own, and processes on it."""

    def __init__(self, stack: ExitStack, **environment: str) -> None:
        self.stack = stack
        self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bourse-")))
        self.environment = {
            **os.environ,
            "BOURSE_DATA_DIR": str(self.folder),
            "DATABASE_URL": f"sqlite:///{self.folder / 'market.sqlite3'}",
            "REDIS_URL": "",
            **environment,
        }
        self.run("manage.py", "migrate", "--verbosity", "0")
        self.run("-m", "config.tests.stream_trader", "list", "ACME")

    def run(self, *arguments: str) -> None:
        done = subprocess.run(
            [sys.executable, *arguments],
            cwd=settings.BASE_DIR,
            env=self.environment,
            capture_output=True,
            text=True,
            timeout=60,
        )
        if done.returncode:
            raise AssertionError(f"{' '.join(arguments)} failed:\n{done.stdout}{done.stderr}")

    def trade(self, count: int, at_once: int = 1) -> None:
        """Trade in a process of its own, and wait for its end."""
        self.run("-m", "config.tests.stream_trader", "trade", "ACME", str(count), str(at_once))

    def serve(self) -> WebProcess:
        web = WebProcess(self.environment)
        self.stack.callback(web.stop)
        web.wait_until_up()
        return web


@contextmanager
def market(**environment: str) -> Iterator[Market]:
    with ExitStack() as stack:
        yield Market(stack, **environment)


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

    def test_it_closes_a_reader_that_stops_reading_and_stays_small(self) -> None:
        web = self.market.serve()
        with lazy_client(web) as lazy, connect(web.stream("/ws/trades/"), max_queue=None) as quick:
            before = web.memory_mib()
            self.market.trade(count=12_000, at_once=200)
            received = 0
            while received < 12_000:
                received += len(json.loads(quick.recv(5))["trades"])
            self.assertEqual(received, 12_000)
            self.assertLess(web.memory_mib() - before, 30)
            self.assertEqual(int.from_bytes(read_to_close(lazy)[:2], "big"), 4008)


@contextmanager
def lazy_client(web: WebProcess) -> Iterator[socket.socket]:
    """A client that connects to the trades and never reads on its own."""
    host, port = web.url.removeprefix("http://").split(":")
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 65_536)
    client.connect((host, int(port)))
    with client:
        key = "dGhlIHNhbXBsZSBub25jZQ=="
        client.sendall(
            f"GET /ws/trades/ HTTP/1.1\r\nHost: {host}:{port}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
            f"Sec-WebSocket-Key: {key}\r\nSec-WebSocket-Version: 13\r\n\r\n".encode()
        )
        assert b"101" in client.recv(512)
        yield client


def read_to_close(client: socket.socket) -> bytes:
    """What the client has not read yet, up to the frame that closes the stream; that frame's payload."""
    client.settimeout(5)
    received = b""
    while True:
        if match := re.search(rb"\x88([\x02-\x7d])(\x0f.+)\Z", received[-130:], re.DOTALL):
            return match[2]
        received += client.recv(65_536)


@tag("postgresql")
@needs("postgresql", "redis")
class TwoProcessesTests(SimpleTestCase):
    """Two web processes, and two that only trade, on one stock: news of it arrives in any order."""

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.postgresql = cls.enterClassContext(postgresql_cluster())
        cls.redis = cls.enterClassContext(redis_server())
        cls.market = cls.enterClassContext(market(DATABASE_URL=cls.postgresql.url))

    def setUp(self) -> None:
        self.position = self.last_sequence()

    def last_sequence(self) -> int:
        return max(self.stored_sequences(0), default=0)

    def stored_sequences(self, since: int) -> list[int]:
        connection = self.postgresql.connect()
        try:
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT sequence FROM trade_trade WHERE sequence > %s ORDER BY sequence", [since]
                )
                return [sequence for (sequence,) in cursor.fetchall()]
        finally:
            connection.close()

    @contextmanager
    def two_web_processes(self, redis_url: str) -> Iterator[list[WebProcess]]:
        self.market.environment["REDIS_URL"] = redis_url
        with ExitStack() as stack:
            self.market.stack = stack
            yield [self.market.serve(), self.market.serve()]

    async def trade(self, count: int) -> None:
        await asyncio.gather(*(asyncio.to_thread(self.market.trade, count) for _ in range(2)))

    async def assert_all_see_the_same(self, webs: list[WebProcess], meanwhile: Any = None) -> None:
        clients = [asyncio.create_task(collect(web, 600, 60)) for web in webs for _ in range(2)]
        await asyncio.sleep(0.5)
        trading = asyncio.create_task(self.trade(300))
        if meanwhile is not None:
            await asyncio.sleep(1.5)
            await asyncio.to_thread(meanwhile)
        await trading
        traded_at = time.monotonic()
        seen = await asyncio.gather(*clients)
        self.assertLess(time.monotonic() - traded_at, 5)
        stored = self.stored_sequences(self.position)
        self.assertEqual(len(stored), 600)
        for sequences in seen:
            self.assertEqual(sequences, stored)

    def test_every_client_sees_every_trade_once_in_order(self) -> None:
        with self.two_web_processes(self.redis.url) as webs:
            asyncio.run(self.assert_all_see_the_same(webs))
            for web in webs:
                self.assertNotRegex(web.output, "ERROR|WARNING")

    def test_it_heals_what_redis_never_brings(self) -> None:
        with self.two_web_processes("") as webs:
            asyncio.run(self.assert_all_see_the_same(webs))

    def test_it_heals_the_loss_of_redis_under_load(self) -> None:
        with redis_server() as redis, self.two_web_processes(redis.url) as webs:
            asyncio.run(self.assert_all_see_the_same(webs, meanwhile=redis.kill))

    def test_it_goes_on_after_the_database_was_restarted(self) -> None:
        with self.two_web_processes(self.redis.url) as webs:
            asyncio.run(self._restart_database(webs[0]))

    async def _restart_database(self, web: WebProcess) -> None:
        client = asyncio.create_task(collect(web, 20, 60))
        await asyncio.sleep(0.5)
        await asyncio.to_thread(self.market.trade, 10)
        await asyncio.to_thread(self.postgresql.restart)
        await asyncio.to_thread(self.market.trade, 10)
        self.assertEqual(await client, self.stored_sequences(self.position))

    def test_a_client_goes_on_at_the_other_process_when_its_own_is_killed(self) -> None:
        with self.two_web_processes(self.redis.url) as webs:
            asyncio.run(self._change_process(*webs))

    async def _change_process(self, first: WebProcess, second: WebProcess) -> None:
        other = asyncio.create_task(collect(second, 600, 60))
        seen: list[int] = []
        until_killed = asyncio.create_task(collect(first, 600, 60, into=seen))
        await asyncio.sleep(0.5)
        trading = asyncio.create_task(self.trade(300))
        async with asyncio.timeout(60):
            while not seen:
                await asyncio.sleep(0.1)
        await asyncio.sleep(1)
        first.process.kill()
        await until_killed
        self.assertLess(len(seen), 600, "killed too late to prove anything")
        seen += await collect(second, 600 - len(seen), 60, since=seen[-1])
        await trading
        stored = self.stored_sequences(self.position)
        self.assertEqual(sorted(seen), stored)
        self.assertEqual(await other, stored)


async def collect(
    web: WebProcess,
    count: int,
    timeout_s: float,
    since: int | None = None,
    into: list[int] | None = None,
) -> list[int]:
    """Sequences of the first `count` trades a client sees; fewer when the server ends before."""
    seen: list[int] = [] if into is None else into
    async with connect_async(web.stream("/ws/trades/?stock_id=ACME"), max_queue=None) as client:
        if since is not None:
            await client.send(json.dumps({"type": "resume", "stock_id": "ACME", "since_sequence": since}))
        async with asyncio.timeout(timeout_s):
            with suppress(ConnectionClosed):
                while len(seen) < count:
                    seen += [trade["sequence"] for trade in json.loads(await client.recv())["trades"]]
    return seen
