"""The feed as separate processes on real servers: what is stored, whatever is killed meanwhile."""

import csv
import gzip
import os
import signal
import sqlite3
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, closing, contextmanager
from datetime import UTC, datetime, timedelta
from itertools import count
from pathlib import Path
from random import Random
from typing import Any

import paho.mqtt.client as mqtt
from django.conf import settings
from django.test import SimpleTestCase, tag
from paho.mqtt.enums import CallbackAPIVersion

from config.testing.servers import Mosquitto, Postgresql, mosquitto_broker, needs, postgresql_cluster

PATIENCE_S = 60.0
# A queue for all of a replay, kept over a restart of the broker.
BROKER = "max_queued_messages 0\npersistence true\npersistence_location ./\n"
REAL_TICKS = Path(os.environ.get("BOURSE_DATA", settings.BASE_DIR.parent / "shared" / "data")) / (
    "price_feed/ticks.csv.gz"
)

Stored = dict[str, list[tuple[Any, ...]]]


class Process:
    """A running command of `manage.py`."""

    def __init__(self, environment: dict[str, str], log: Path, *arguments: str) -> None:
        self._log = log
        with log.open("w") as file:
            self.process = subprocess.Popen(
                [sys.executable, "manage.py", *arguments],
                cwd=settings.BASE_DIR,
                env=environment,
                stdout=file,
                stderr=subprocess.STDOUT,
            )

    @property
    def output(self) -> str:
        return self._log.read_text()

    def stop(self, number: int = signal.SIGTERM) -> int:
        """Send a signal; the exit status."""
        if self.process.poll() is None:
            self.process.send_signal(number)
        try:
            return self.process.wait(20)
        finally:
            self.process.kill()
            self.process.wait()

    def wait(self) -> int:
        return self.process.wait(PATIENCE_S)


class FeedMarket:
    """A database, a broker, and the commands on them."""

    def __init__(self, stack: ExitStack, broker: Mosquitto, cluster: Postgresql | None = None) -> None:
        self._stack = stack
        self._cluster = cluster
        self._logs = count(1)
        self.broker = broker
        self.folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bourse-")))
        self.environment = {
            **os.environ,
            "BOURSE_DATA_DIR": str(self.folder),
            "DATABASE_URL": cluster.url if cluster else f"sqlite:///{self.folder / 'market.sqlite3'}",
            "MQTT_URL": broker.url,
            "REDIS_URL": "",
        }
        self.run("migrate", "--verbosity", "0")

    def run(self, *arguments: str) -> str:
        process = self.start(*arguments)
        if process.wait():
            raise AssertionError(f"{arguments} failed:\n{process.output}")
        return process.output

    def start(self, *arguments: str) -> Process:
        log = self.folder / f"{arguments[0]}-{next(self._logs)}.log"
        process = Process(self.environment, log, *arguments)
        self._stack.callback(process.stop)
        return process

    def start_consumer(self) -> Process:
        """A consumer that has said that it is up."""
        with status_of("feed", self.broker) as said:
            consumer = self.start("consume_feed")
            deadline = time.monotonic() + PATIENCE_S
            while said[-1:] != [b"up"] or consumer.process.poll() is not None:
                if consumer.process.poll() is not None or time.monotonic() > deadline:
                    raise AssertionError(f"the consumer did not come up:\n{consumer.output}")
                time.sleep(0.02)
        return consumer

    def query(self, sql: str) -> list[tuple[Any, ...]]:
        """The rows of a query, past Django."""
        connection = (
            self._cluster.connect() if self._cluster else sqlite3.connect(self.folder / "market.sqlite3")
        )
        with closing(connection), closing(connection.cursor()) as cursor:
            cursor.execute(sql)
            return cursor.fetchall()

    def count_ticks(self) -> int:
        return self.query("SELECT count(*) FROM stocks_tick")[0][0]

    def wait_for_ticks(self, wanted: int) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while (found := self.count_ticks()) < wanted:
            if time.monotonic() > deadline:
                raise AssertionError(f"{found} ticks instead of {wanted}")
            time.sleep(0.05)

    def stored(self) -> Stored:
        """By stock, in the order of the sequence: price in units, availability, late."""
        rows = self.query(
            "SELECT stock_id, price, availability, CAST(is_late AS integer) FROM stocks_tick "
            "ORDER BY stock_id, sequence"
        )
        by_stock: Stored = {}
        for stock_id, *rest in rows:
            by_stock.setdefault(stock_id, []).append(tuple(rest))
        return by_stock


@contextmanager
def feed_market(config: str = BROKER) -> Iterator[FeedMarket]:
    with ExitStack() as stack:
        yield FeedMarket(stack, stack.enter_context(mosquitto_broker(config)))


@contextmanager
def status_of(service: str, broker: Mosquitto) -> Iterator[list[bytes]]:
    """What a service says of itself from now on; not what was kept of earlier."""
    said: list[bytes] = []
    subscribed = threading.Event()
    client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=f"watcher-{time.monotonic_ns()}")
    client.on_connect = lambda client, *_: client.subscribe(f"market/status/{service}")
    client.on_subscribe = lambda *_: subscribed.set()

    def on_message(_client: Any, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        if not message.retain:
            said.append(bytes(message.payload))

    client.on_message = on_message
    client.connect("127.0.0.1", broker.port)
    client.loop_start()
    assert subscribed.wait(PATIENCE_S)
    try:
        yield said
    finally:
        client.disconnect()
        client.loop_stop()


def made_up_ticks(path: Path, wanted: int) -> Stored:
    """Writes a file of ticks; what should be stored of them, as `FeedMarket.stored` gives it."""
    rng = Random(4)
    start = datetime(2024, 5, 6, 9, 30, tzinfo=UTC)
    stored: Stored = {}
    with path.open("w", newline="") as file:
        rows = csv.writer(file)
        rows.writerow(["ts", "symbol", "price", "size"])
        for number in range(wanted):
            stock_id, cents, size = rng.choice(("AAA", "BBB")), rng.randint(2_000, 3_000), rng.randint(1, 500)
            moment = start + timedelta(microseconds=number * 700)
            rows.writerow([moment.isoformat(), stock_id, f"{cents / 100:.2f}", size])
            stored.setdefault(stock_id, []).append((cents * 100, size, 0))
    return stored


@needs("mosquitto")
class ReplayTests(SimpleTestCase):
    """Every tick of a replay is stored exactly once, in order."""

    def replay(self, market: FeedMarket, meanwhile: Callable[[], Any], wanted: int = 6_000) -> None:
        path = market.folder / "ticks.csv"
        expected = made_up_ticks(path, wanted)
        replay = market.start("replay_prices", str(path), "--flat-out")
        meanwhile()
        self.assertEqual(replay.wait(), 0, replay.output)
        market.wait_for_ticks(wanted)
        self.assertEqual(market.stored(), expected)
        self.assertEqual(market.count_ticks(), wanted)
        market.run("audit")

    def test_with_nothing_in_the_way(self) -> None:
        with feed_market() as market:
            consumer = market.start_consumer()
            with status_of("feed", market.broker) as said:
                self.replay(market, lambda: None)
                self.assertEqual(consumer.stop(), 0)
                time.sleep(0.2)
            self.assertEqual(said, [b"down"])
            self.assertNotRegex(consumer.output, "ERROR|Traceback")

    def test_while_the_consumer_is_killed_and_started_again(self) -> None:
        with feed_market() as market:
            consumers = [market.start_consumer()]

            def kill() -> None:
                for _ in range(3):
                    time.sleep(0.4)
                    consumers[-1].stop(signal.SIGKILL)
                    consumers.append(market.start_consumer())

            self.replay(market, kill)
            self.assertEqual(consumers[-1].stop(signal.SIGINT), 0)

    def test_while_nobody_consumes_them_at_first(self) -> None:
        with feed_market() as market:
            self.assertEqual(market.start_consumer().stop(), 0)

            def come_late() -> None:
                time.sleep(1.5)
                market.start_consumer()

            self.replay(market, come_late)

    def test_while_the_broker_is_restarted(self) -> None:
        with feed_market() as market:
            consumer = market.start_consumer()

            def restart() -> None:
                time.sleep(0.5)
                market.broker.restart()

            self.replay(market, restart)
            self.assertEqual(consumer.stop(), 0)
            self.assertNotRegex(consumer.output, "ERROR|Traceback")

    def test_through_the_short_queue_of_a_broker_as_it_comes(self) -> None:
        # Twenty messages in flight and a thousand waiting: at this pace none is dropped.
        with feed_market(config="") as market:
            market.start_consumer()
            path = market.folder / "ticks.csv"
            expected = made_up_ticks(path, 1_500)
            market.run("replay_prices", str(path), "--speed", "2")
            market.wait_for_ticks(1_500)
            self.assertEqual(market.stored(), expected)


# Not a skipped test where the file is not: CI has no such file, and skips nothing.
if REAL_TICKS.exists():

    @needs("mosquitto")
    class RealTicksTests(SimpleTestCase):
        def test_every_tick_of_a_real_day_is_stored_once_in_order(self) -> None:
            with feed_market() as market, gzip.open(REAL_TICKS, "rt") as file:
                rows = list(csv.DictReader(file))
                market.start_consumer()
                market.run("replay_prices", str(REAL_TICKS), "--flat-out")
                market.wait_for_ticks(len(rows))
                stored = market.stored()
                for stock_id in ("AAA", "BBB", "ETF"):
                    sizes = [int(row["size"]) for row in rows if row["symbol"] == stock_id]
                    self.assertEqual([size for _, size, _ in stored[stock_id]], sizes)
                market.run("audit")


@tag("postgresql")
@needs("postgresql", "mosquitto")
class PostgresqlTests(SimpleTestCase):
    def test_every_tick_is_stored_once_while_the_database_goes_away(self) -> None:
        with ExitStack() as stack:
            cluster = stack.enter_context(postgresql_cluster(durable=True))
            market = FeedMarket(stack, stack.enter_context(mosquitto_broker(BROKER)), cluster)
            consumer = market.start_consumer()
            path = market.folder / "ticks.csv"
            expected = made_up_ticks(path, 6_000)
            replay = market.start("replay_prices", str(path), "--flat-out")
            time.sleep(0.5)
            cluster.restart()
            time.sleep(0.5)
            cluster.kill()
            cluster.start()
            self.assertEqual(replay.wait(), 0, replay.output)
            market.wait_for_ticks(6_000)
            self.assertEqual(market.stored(), expected)
            market.run("audit")
            self.assertEqual(consumer.stop(), 0)


@needs("mosquitto")
class TakeoverTests(SimpleTestCase):
    def test_two_consumers_are_told_that_only_one_may_run(self) -> None:
        with feed_market() as market:
            first = market.start_consumer()
            second = market.start("consume_feed")
            deadline = time.monotonic() + PATIENCE_S
            while "Only one may" not in first.output + second.output:
                self.assertLess(time.monotonic(), deadline, first.output + second.output)
                time.sleep(0.1)
            self.assertEqual(second.stop(), 0)
            path = market.folder / "ticks.csv"
            expected = made_up_ticks(path, 500)
            market.run("replay_prices", str(path), "--flat-out")
            market.wait_for_ticks(500)
            self.assertEqual(market.stored(), expected)
            self.assertEqual(first.stop(), 0)
