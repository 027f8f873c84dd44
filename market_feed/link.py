"""One connection to the broker, kept up for as long as it is wanted.

One thread owns paho's client and makes every call on it; the rest of the process hands messages and
acknowledgements over. So nothing here depends on which of paho's methods are thread-safe, and an
exception in a callback cannot end the thread unseen, as it ends paho's own.

Delivery      What `publish` takes is sent at QoS 1 until the broker has acknowledged it, over any number
              of connections. It may arrive twice, and is lost only with the process.
Receiving     Messages go to the receiver in the order of arrival; nothing is acknowledged until `acknowledge` says
              so. While the receiver is full the socket is not read: the broker keeps the rest.
Generations   Every connection has a number. An acknowledgement for an earlier one is dropped: its message
              comes again, and its identifier may belong to another by now.
Back-off      0.5 s, doubled up to 30 s; a connection that lived for a while starts over.
"""

import logging
import random
import selectors
import socket
import ssl
import threading
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Any, Protocol, cast
from urllib.parse import unquote, urlsplit

import paho.mqtt.client as mqtt
from paho.mqtt.enums import CallbackAPIVersion

from market_feed.buffered_socket import BufferedSocket

logger = logging.getLogger(__name__)

KEEPALIVE_S = 60
CONNECT_TIMEOUT_S = 5.0
# Sent and not yet acknowledged by the broker; what comes after waits in our own queue.
MAX_IN_FLIGHT = 500
# Taken by `publish` and not yet with the broker, before it lets the caller wait.
MAX_OUTSTANDING = 2_000
FIRST_RETRY_S, LAST_RETRY_S = 0.5, 30.0
# A connection that ends sooner is one of a series.
SHORT_LIFE_S = 10.0
GOODBYE_TIMEOUT_S = 5.0

UP, DOWN = b"up", b"down"


class BadBrokerUrl(ValueError):
    """A broker URL that is not of the form mqtt[s]://[user:password@]host[:port]."""


@dataclass(frozen=True, slots=True)
class Message:
    """Something to publish, at QoS 1."""

    topic: str
    payload: bytes
    retain: bool = False


@dataclass(frozen=True, slots=True)
class BrokerAddress:
    host: str
    port: int
    username: str | None
    password: str | None
    tls: bool

    @classmethod
    def parse(cls, url: str) -> "BrokerAddress":
        """BadBrokerUrl when it is none."""
        parts = urlsplit(url)
        tls = parts.scheme == "mqtts"
        try:
            port = parts.port or (8883 if tls else 1883)
        except ValueError:
            raise BadBrokerUrl(f"the port in {url!r} is not a number below 65536") from None
        if parts.scheme not in ("mqtt", "mqtts") or not parts.hostname:
            raise BadBrokerUrl(f"{url!r} is not of the form mqtt://host:port")
        username = unquote(parts.username) if parts.username else None
        return cls(parts.hostname, port, username, unquote(parts.password or "") or None, tls)

    def __str__(self) -> str:
        return f"{self.host}:{self.port}"


class Receiver(Protocol):
    """Who gets the messages of a subscription. Called in the link's thread; must not block."""

    def is_full(self) -> bool: ...
    def receive(self, generation: int, mid: int, payload: bytes) -> None: ...
    def end_of_burst(self) -> None: ...


class BrokerLink:
    """A connection to the broker and the thread that keeps it up. Safe to use from any thread."""

    def __init__(
        self,
        url: str,
        *,
        client_id: str,
        service: str = "",
        subscribe_to: str = "",
        receiver: Receiver | None = None,
    ) -> None:
        """`service` names the status topic that says "up" while this lives. A subscription is kept by the
        broker while this is away, under its `client_id`."""
        self.address = BrokerAddress.parse(url)
        self.client_id = client_id
        self.generation = 0
        self._status_topic = f"market/status/{service}" if service else ""
        self._subscribe_to = subscribe_to
        self._receiver = receiver
        self._stopping = threading.Event()
        self._connected = threading.Event()
        self._connected_at = 0.0
        self._failures = 0
        self._short_lives = 0
        self._outbox: deque[Message] = deque()
        self._acknowledgements: deque[tuple[int, Sequence[int]]] = deque()
        self._in_flight = 0
        self._delivered = threading.Condition()
        self._outstanding = 0
        self._wake_reader, self._wake_writer = socket.socketpair()
        self._wake_reader.setblocking(False)
        self._wake_writer.setblocking(False)
        self._is_woken = False
        self._client = self._make_client(clean_session=not subscribe_to)
        self._thread = threading.Thread(target=self._run, name=f"mqtt-{client_id}", daemon=True)

    # --- For everyone -------------------------------------------------------------------------------

    def start(self) -> None:
        self._thread.start()

    def stop(self) -> None:
        """Send what is waiting, if the broker takes it soon, say "down" and disconnect. Repeatable."""
        if self._status_topic and not self._stopping.is_set():
            self._hand_over([Message(self._status_topic, DOWN, retain=True)])
        self._stopping.set()
        with self._delivered:
            self._delivered.notify_all()
        self.wake()
        if self._thread.is_alive():
            self._thread.join(GOODBYE_TIMEOUT_S + CONNECT_TIMEOUT_S)

    @property
    def is_connected(self) -> bool:
        return self._connected.is_set()

    def wait_until_connected(self, timeout_s: float) -> bool:
        return self._connected.wait(timeout_s)

    def publish(self, messages: Sequence[Message]) -> None:
        """Queue messages. Waits while too many are outstanding; after `stop` it takes nothing more."""
        with self._delivered:
            self._delivered.wait_for(lambda: self._outstanding < MAX_OUTSTANDING or self._stopping.is_set())
        if not self._stopping.is_set():
            self._hand_over(messages)

    def wait_until_delivered(self, timeout_s: float | None = None) -> bool:
        """Whether the broker has acknowledged all that was published; waits for it, or for `stop`."""
        with self._delivered:
            self._delivered.wait_for(lambda: not self._outstanding or self._stopping.is_set(), timeout_s)
            return not self._outstanding

    def acknowledge(self, generation: int, mids: Sequence[int]) -> None:
        """Tell the broker that received messages are done with."""
        self._acknowledgements.append((generation, mids))
        self.wake()

    def wake(self) -> None:
        """Make the thread look at its queues, and at whether the receiver is still full."""
        if not self._is_woken:
            self._is_woken = True
            with suppress(OSError):  # full: it is awake; closed: it is gone
                self._wake_writer.send(b"!")

    def _hand_over(self, messages: Sequence[Message]) -> None:
        with self._delivered:
            self._outbox.extend(messages)
            self._outstanding = len(self._outbox) + self._in_flight
        self.wake()

    # --- The thread ---------------------------------------------------------------------------------

    def _run(self) -> None:
        try:
            while True:
                try:
                    self._client.reconnect()
                    self._serve()
                except (OSError, ssl.SSLError) as error:
                    self._report_failure(error)
                except Exception:
                    # Whatever it was, the link must go on: a silent end here looks like a silent market.
                    logger.exception("the link to the broker tripped")
                self._drop_connection()
                if self._stopping.wait(self._retry_delay()):
                    return
        finally:
            self._wake_reader.close()
            self._wake_writer.close()

    def _serve(self) -> None:
        """Exchange messages until the connection ends."""
        client = self._client
        stream = self._stream()
        next_upkeep = stop_by = 0.0
        with selectors.DefaultSelector() as selector:
            selector.register(self._wake_reader, selectors.EVENT_READ)
            while self._stream() is stream:
                self._send_acknowledgements()
                self._send_outbox()
                if client.want_write():
                    client.loop_write()
                stream.flush()
                self._count_delivered()
                now = time.monotonic()
                if now >= next_upkeep:
                    client.loop_misc()
                    next_upkeep = now + 1.0
                if self._stopping.is_set():
                    stop_by = stop_by or now + GOODBYE_TIMEOUT_S
                    if now > stop_by or not self._has_last_words():
                        client.disconnect()
                        client.loop_write()
                        return
                if self._stream() is stream and self._wait(selector, stream):
                    self._read(stream)

    def _stream(self) -> BufferedSocket:
        return cast(BufferedSocket, self._client.socket())

    def _has_last_words(self) -> bool:
        return self.is_connected and bool(self._outbox or self._in_flight or self._acknowledgements)

    def _wait(self, selector: selectors.BaseSelector, stream: BufferedSocket) -> bool:
        """Wait for something to do. Whether there is something to read."""
        wanted = 0 if self._receiver is not None and self._receiver.is_full() else selectors.EVENT_READ
        if stream.has_unsent:
            wanted |= selectors.EVENT_WRITE
        self._watch(selector, stream, wanted)
        if wanted & selectors.EVENT_READ and stream.pending():
            return True
        is_readable = False
        for key, mask in selector.select(0.1 if self._stopping.is_set() else 1.0):
            if key.fileobj is stream:
                is_readable = bool(mask & selectors.EVENT_READ)
            else:
                self._is_woken = False
                self._wake_reader.recv(64)
        return is_readable

    @staticmethod
    def _watch(selector: selectors.BaseSelector, stream: BufferedSocket, wanted: int) -> None:
        known = selector.get_map().get(stream.fileno())
        if known is None:
            if wanted:
                selector.register(stream, wanted)
        elif not wanted:
            selector.unregister(stream)
        elif known.events != wanted:
            selector.modify(stream, wanted)

    def _read(self, stream: BufferedSocket) -> None:
        """Handle the packets of one read, and what paho says to them."""
        client = self._client
        client.loop_read()
        while self._stream() is stream and stream.pending():
            if self._receiver is not None and self._receiver.is_full():
                break
            client.loop_read()
        if self._receiver is not None:
            self._receiver.end_of_burst()

    def _send_acknowledgements(self) -> None:
        while self._acknowledgements:
            generation, mids = self._acknowledgements.popleft()
            if generation == self.generation and self.is_connected:
                for mid in mids:
                    self._client.ack(mid, 1)

    def _send_outbox(self) -> None:
        while self._outbox and self._in_flight < MAX_IN_FLIGHT and self.is_connected:
            message = self._outbox.popleft()
            self._in_flight += 1
            # When the connection ends under it paho keeps it, and sends it on the next one.
            self._client.publish(message.topic, message.payload, qos=1, retain=message.retain)

    def _count_delivered(self) -> None:
        # One lock for a burst of acknowledgements instead of one each.
        with self._delivered:
            outstanding = len(self._outbox) + self._in_flight
            if outstanding != self._outstanding:
                self._outstanding = outstanding
                self._delivered.notify_all()

    # --- Connections come and go --------------------------------------------------------------------

    def _drop_connection(self) -> None:
        self._connected.clear()
        if (stream := self._client.socket()) is not None:
            stream.close()

    def _retry_delay(self) -> float:
        if self._connected_at and time.monotonic() - self._connected_at > SHORT_LIFE_S:
            self._failures = 0
        self._connected_at = 0.0
        delay = min(LAST_RETRY_S, FIRST_RETRY_S * 2**self._failures)
        self._failures = min(self._failures + 1, 10)
        return 0.0 if self._stopping.is_set() else delay * random.uniform(0.8, 1.2)

    def _report_failure(self, error: Exception) -> None:
        level = logging.WARNING if self._failures in (0, 5) else logging.DEBUG
        logger.log(level, "no connection to the broker at %s, trying again: %s", self.address, error)

    def _make_client(self, *, clean_session: bool) -> mqtt.Client:
        client = _Client(
            CallbackAPIVersion.VERSION2,
            client_id=self.client_id,
            clean_session=clean_session,
            manual_ack=True,
        )
        client.suppress_exceptions = True
        client.connect_timeout = CONNECT_TIMEOUT_S
        client.max_inflight_messages_set(MAX_IN_FLIGHT)
        if self.address.username is not None:
            client.username_pw_set(self.address.username, self.address.password)
        if self.address.tls:
            client.tls_set_context(ssl.create_default_context())
        if self._status_topic:
            client.will_set(self._status_topic, DOWN, qos=1, retain=True)
        client.on_connect = self._on_connect
        client.on_disconnect = self._on_disconnect
        client.on_message = self._on_message
        client.on_publish = self._on_publish
        client.on_subscribe = self._on_subscribe
        # That it is set keeps paho from writing in the middle of a call: `_serve` writes.
        client.on_socket_register_write = lambda *_: None
        client.on_socket_open = lambda *_: self._stream().send_at_once()
        client.connect_async(self.address.host, self.address.port, KEEPALIVE_S)
        return client

    # --- paho's callbacks, in the thread ------------------------------------------------------------

    def _on_connect(self, client: mqtt.Client, _userdata: Any, _flags: Any, reason: Any, _props: Any) -> None:
        if reason.is_failure:
            logger.error("the broker at %s refuses %s: %s", self.address, self.client_id, reason)
            return
        self.generation += 1
        self._connected_at = time.monotonic()
        self._connected.set()
        logger.info("connected to the broker at %s as %s", self.address, self.client_id)
        if self._subscribe_to:
            client.subscribe(self._subscribe_to, qos=1)
        if self._status_topic:
            self._hand_over([Message(self._status_topic, UP, retain=True)])

    def _on_subscribe(self, _client: Any, _userdata: Any, _mid: int, reasons: Any, _props: Any) -> None:
        if any(reason.is_failure for reason in reasons):
            logger.error("the broker does not let %s subscribe to %s", self.client_id, self._subscribe_to)

    def _on_disconnect(self, _client: Any, _userdata: Any, _flags: Any, reason: Any, _props: Any) -> None:
        was_connected = self._connected.is_set()
        self._connected.clear()
        if self._stopping.is_set() or not was_connected:
            return
        logger.warning("the connection to the broker at %s ended: %s", self.address, reason)
        short = time.monotonic() - self._connected_at < SHORT_LIFE_S
        self._short_lives = self._short_lives + 1 if short else 0
        if self._short_lives >= 3:
            logger.error(
                "the broker has ended %d connections of %s within seconds. Is a second process running "
                "under this client id? Only one may.",
                *(self._short_lives, self.client_id),
            )

    def _on_message(self, _client: Any, _userdata: Any, message: mqtt.MQTTMessage) -> None:
        if self._receiver is not None:
            try:
                self._receiver.receive(
                    self.generation, message.mid if message.qos else 0, bytes(message.payload)
                )
            except Exception:
                logger.exception("a message could not be received")

    def _on_publish(self, *_: Any) -> None:
        self._in_flight -= 1


class _Client(mqtt.Client):
    """paho's client on a buffered socket."""

    def _create_socket(self) -> Any:
        return BufferedSocket(super()._create_socket())
