"""The link to the broker, against the embedded one."""

import threading
import time
from collections.abc import Callable
from unittest import mock

from django.test import SimpleTestCase

from market_feed import link as link_module
from market_feed.broker import EmbeddedBroker
from market_feed.buffered_socket import BufferedSocket
from market_feed.link import BadBrokerUrl, BrokerAddress, BrokerLink, Message

PATIENCE_S = 10.0


class Inbox:
    """A receiver with room for `size` messages."""

    def __init__(self, size: int = 10_000) -> None:
        self.size = size
        self.messages: list[tuple[int, int, bytes]] = []
        self.came = threading.Event()

    def is_full(self) -> bool:
        return len(self.messages) >= self.size

    def receive(self, generation: int, mid: int, payload: bytes) -> None:
        self.messages.append((generation, mid, payload))

    def end_of_burst(self) -> None:
        self.came.set()

    @property
    def payloads(self) -> list[bytes]:
        return [payload for *_, payload in self.messages]


class BrokenInbox(Inbox):
    """Trips over its first message."""

    def receive(self, generation: int, mid: int, payload: bytes) -> None:
        super().receive(generation, mid, payload)
        if len(self.messages) == 1:
            raise RuntimeError("tripped")


class LinkTestCase(SimpleTestCase):
    def setUp(self) -> None:
        self.broker = EmbeddedBroker()
        self.broker.start()
        self.addCleanup(self.broker.stop)
        self.enterContext(mock.patch.object(link_module, "FIRST_RETRY_S", 0.05))

    def link(self, client_id: str, **options: object) -> BrokerLink:
        link = BrokerLink(self.broker.url, client_id=client_id, **options)  # type: ignore[arg-type]
        self.addCleanup(link.stop)
        link.start()
        self.assertTrue(link.wait_until_connected(PATIENCE_S))
        return link

    def listener(
        self, topic: str, inbox: Inbox | None = None, client_id: str = "listener"
    ) -> tuple[BrokerLink, Inbox]:
        inbox = inbox or Inbox()
        link = self.link(client_id, subscribe_to=topic, receiver=inbox)
        self.wait_for(lambda: topic in self.broker.subscriptions())
        return link, inbox

    def wait_for(self, condition: Callable[[], bool]) -> None:
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            self.assertLess(time.monotonic(), deadline, "waited in vain")
            time.sleep(0.005)


class Delivering(LinkTestCase):
    def test_messages_arrive_once_and_in_order(self) -> None:
        listener, inbox = self.listener("a/#")
        sender = self.link("sender")
        sent = [str(number).encode() for number in range(1_500)]
        for start in range(0, 1_500, 50):
            sender.publish([Message("a/b", payload) for payload in sent[start : start + 50]])
        self.assertTrue(sender.wait_until_delivered(PATIENCE_S))
        self.wait_for(lambda: len(inbox.messages) >= 1_500)
        for generation, mid, _ in inbox.messages:
            listener.acknowledge(generation, [mid])
        self.assertEqual(inbox.payloads, sent)

    def test_it_reads_no_more_than_the_receiver_takes(self) -> None:
        listener, inbox = self.listener("a/#", Inbox(size=10))
        sender = self.link("sender")
        sender.publish([Message("a", b"x" * 2_000)] * 500)
        self.assertTrue(sender.wait_until_delivered(PATIENCE_S))
        self.wait_for(inbox.is_full)
        time.sleep(0.1)
        self.assertEqual(len(inbox.messages), 10)
        inbox.size = 500
        listener.wake()
        self.wait_for(lambda: len(inbox.messages) == 500)

    def test_it_says_that_it_is_up_and_then_that_it_is_down(self) -> None:
        _, inbox = self.listener("market/status/+")
        service = self.link("service", service="prices")
        self.wait_for(lambda: inbox.payloads == [b"up"])
        service.stop()
        self.wait_for(lambda: inbox.payloads == [b"up", b"down"])
        _, late = self.listener("market/status/#", client_id="late")
        self.wait_for(lambda: late.payloads == [b"down"])

    def test_the_broker_says_that_it_is_down_when_it_cannot(self) -> None:
        _, inbox = self.listener("market/status/+")
        service = self.link("service", service="prices")
        self.wait_for(lambda: inbox.payloads == [b"up"])
        with mock.patch.object(service._client, "reconnect", side_effect=OSError("crashed")):
            service._stream()._inner.shutdown(2)
            self.wait_for(lambda: inbox.payloads[-1] == b"down")

    def test_what_was_sent_before_there_was_a_broker_is_delivered(self) -> None:
        _, inbox = self.listener("a")
        sender = BrokerLink(self.broker.url, client_id="sender")
        self.addCleanup(sender.stop)
        sender.publish([Message("a", b"early")])
        self.assertFalse(sender.wait_until_delivered(0.01))
        sender.start()
        self.assertTrue(sender.wait_until_delivered(PATIENCE_S))
        self.wait_for(lambda: inbox.payloads == [b"early"])


class Living(LinkTestCase):
    def test_it_comes_back_when_the_broker_does(self) -> None:
        link, _inbox = self.listener("a")
        sender = self.link("sender")
        with self.assertLogs("market_feed.link", "WARNING"):
            self.broker.stop()
            self.wait_for(lambda: not link.is_connected and not sender.is_connected)
            sender.publish([Message("a", b"while it was away")])
            self.broker = EmbeddedBroker(self.broker.port)
            self.broker.start()
            self.assertTrue(link.wait_until_connected(PATIENCE_S))
        self.assertTrue(sender.wait_until_delivered(PATIENCE_S))
        self.assertEqual(link.generation, 2)

    def test_an_exception_of_the_receiver_does_not_end_it(self) -> None:
        with mock.patch("market_feed.link.logger"):
            _, inbox = self.listener("a", BrokenInbox())
            sender = self.link("sender")
            sender.publish([Message("a", b"1"), Message("a", b"2")])
            self.wait_for(lambda: inbox.payloads[-1:] == [b"2"])

    def test_a_defect_of_its_own_does_not_end_it(self) -> None:
        link, inbox = self.listener("a")
        sender = self.link("sender")
        with mock.patch.object(link, "_send_outbox", side_effect=[RuntimeError("tripped")]):
            with self.assertLogs("market_feed.link", "ERROR"):
                link.wake()
                self.wait_for(lambda: not link.is_connected)
        self.assertTrue(link.wait_until_connected(PATIENCE_S))
        sender.publish([Message("a", b"1")])
        self.wait_for(lambda: inbox.payloads[-1:] == [b"1"])

    def test_an_acknowledgement_for_an_earlier_connection_is_dropped(self) -> None:
        link, inbox = self.listener("a")
        sender = self.link("sender")
        with mock.patch.object(link._client, "ack", wraps=link._client.ack) as ack:
            link.acknowledge(link.generation - 1, [1])
            sender.publish([Message("a", b"1")])
            self.wait_for(lambda: bool(inbox.messages))
            link.acknowledge(*next((generation, [mid]) for generation, mid, _ in inbox.messages))
            self.wait_for(lambda: ack.call_count == 1)

    def test_it_says_so_when_another_may_be_using_its_name(self) -> None:
        link = BrokerLink("mqtt://localhost", client_id="same")
        taken = mock.Mock(is_failure=False)
        with self.assertLogs("market_feed.link", "INFO") as caught:
            for _ in range(3):
                link._on_connect(link._client, None, None, taken, None)
                link._on_disconnect(link._client, None, None, taken, None)
        errors = [record for record in caught.records if record.levelname == "ERROR"]
        self.assertEqual(len(errors), 1)
        self.assertIn("Only one may", errors[0].getMessage())

    def test_it_stops_quickly_while_there_is_no_broker(self) -> None:
        self.broker.stop()
        with self.assertLogs("market_feed.link", "WARNING"):
            link = BrokerLink(self.broker.url, client_id="lonely")
            link.start()
            self.assertFalse(link.wait_until_connected(0.2))
        started = time.monotonic()
        link.stop()
        self.assertLess(time.monotonic() - started, 2.0)
        self.assertFalse(link._thread.is_alive())

    def test_whoever_waits_for_a_delivery_is_released_by_stop(self) -> None:
        self.broker.stop()
        link = BrokerLink(self.broker.url, client_id="lonely")
        link.publish([Message("a", b"1")])
        threading.Timer(0.05, link.stop).start()
        self.assertFalse(link.wait_until_delivered(PATIENCE_S))

    def test_its_client_is_on_a_buffered_socket_that_sends_at_once(self) -> None:
        stream = self.link("service")._client.socket()
        self.assertIsInstance(stream, BufferedSocket)
        self.assertTrue(stream._inner.getsockopt(6, 1))  # type: ignore[union-attr]


class Addresses(SimpleTestCase):
    def test_it_reads_broker_urls(self) -> None:
        for url, address in [
            ("mqtt://localhost", BrokerAddress("localhost", 1883, None, None, False)),
            ("mqtt://u:p%40ss@10.0.0.1:1884", BrokerAddress("10.0.0.1", 1884, "u", "p@ss", False)),
            ("mqtts://broker.example", BrokerAddress("broker.example", 8883, None, None, True)),
            ("mqtt://[::1]:1883", BrokerAddress("::1", 1883, None, None, False)),
        ]:
            with self.subTest(url):
                self.assertEqual(BrokerAddress.parse(url), address)

    def test_it_refuses_others(self) -> None:
        for url in (
            "",
            "localhost",
            "localhost:1883",
            "http://localhost",
            "mqtt://",
            "mqtt://h:99999",
            "mqtt://h:x",
        ):
            with self.subTest(url), self.assertRaises(BadBrokerUrl):
                BrokerAddress.parse(url)
