"""The bare pipeline: paho at QoS 1, whatever waits goes into a table by COPY, acknowledged after the commit.

No checks, no duplicates, no matching, no candles: the least that any consumer of a feed has to do.
"""

import io
import json
import socket
import threading
from collections import deque
from typing import Any

import paho.mqtt.client as mqtt
from django.db import connection, transaction
from paho.mqtt.enums import CallbackAPIVersion

from market_feed.link import BrokerAddress

TABLE = "bench_bare_tick"


class BarePipeline:
    """Stores what it receives. `applied` is how many ticks are committed and acknowledged."""

    def __init__(self, url: str, topic: str, client_id: str) -> None:
        self.applied = 0
        self._topic = topic
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._news = threading.Event()
        self._subscribed = threading.Event()
        self._client = client = mqtt.Client(
            CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=True, manual_ack=True
        )
        address = BrokerAddress.parse(url)
        if address.username:
            client.username_pw_set(address.username, address.password)
        client.on_connect = self._on_connect
        client.on_subscribe = lambda *_: self._subscribed.set()
        client.on_message = self._on_message
        client.on_socket_open = self._on_socket_open
        client.connect(address.host, address.port)

    def start(self) -> None:
        with connection.cursor() as cursor:
            cursor.execute(f"DROP TABLE IF EXISTS {TABLE}")
            cursor.execute(
                f"CREATE TABLE {TABLE} (stock_id text, price numeric, availability bigint, ts timestamp)"
            )
        self._client.loop_start()
        if not self._subscribed.wait(5):
            raise ConnectionError("the broker does not take the subscription")

    def step(self) -> None:
        """Store and acknowledge what waits."""
        if not self._news.wait(1.0):
            return
        self._news.clear()
        batch = []
        while self._waiting:
            batch.append(self._waiting.popleft())
        if not batch:
            return
        with transaction.atomic(), connection.cursor() as cursor:
            _store(cursor, [json.loads(payload) for _, payload in batch])
        for mid, _ in batch:
            self._client.ack(mid, 1)
        self.applied += len(batch)

    def stop(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    def stored(self) -> int:
        with connection.cursor() as cursor:
            cursor.execute(f"SELECT count(*) FROM {TABLE}")
            (count,) = cursor.fetchone()
            cursor.execute(f"DROP TABLE {TABLE}")
        return count

    def _on_connect(self, client: mqtt.Client, *_: Any) -> None:
        client.subscribe(self._topic, qos=1)

    def _on_socket_open(self, _client: Any, _userdata: Any, stream: Any) -> None:
        stream.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def _on_message(self, _client: Any, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        self._waiting.append((message.mid, bytes(message.payload)))
        self._news.set()


def _store(cursor: Any, ticks: list[dict[str, Any]]) -> None:
    if connection.vendor == "postgresql":
        text = "".join(
            f"{tick['stock_id']}\t{tick['price']}\t{tick['availability']}\t{tick['timestamp']}\n"
            for tick in ticks
        )
        cursor.cursor.copy_expert(f"COPY {TABLE} FROM STDIN", io.StringIO(text))
    else:
        rows = [(tick["stock_id"], tick["price"], tick["availability"], tick["timestamp"]) for tick in ticks]
        cursor.executemany(f"INSERT INTO {TABLE} VALUES (%s, %s, %s, %s)", rows)
