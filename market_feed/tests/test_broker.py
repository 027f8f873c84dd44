"""The embedded broker."""

import threading
from typing import Any

import paho.mqtt.client as mqtt
from django.test import SimpleTestCase
from paho.mqtt.enums import CallbackAPIVersion

from market_feed.broker import BrokerFailed, EmbeddedBroker

PATIENCE_S = 10.0


class Embedded(SimpleTestCase):
    def setUp(self) -> None:
        self.broker = EmbeddedBroker()
        self.broker.start()
        self.addCleanup(self.broker.stop)

    def connected(self, client_id: str, *, clean_session: bool = True) -> mqtt.Client:
        is_connected = threading.Event()
        client = mqtt.Client(CallbackAPIVersion.VERSION2, client_id=client_id, clean_session=clean_session)
        client.on_connect = lambda *_: is_connected.set()
        client.connect("127.0.0.1", self.broker.port)
        client.loop_start()
        self.addCleanup(client.loop_stop)
        self.addCleanup(client.disconnect)
        self.assertTrue(is_connected.wait(PATIENCE_S))
        return client

    def subscribe(self, client: mqtt.Client, topic: str) -> None:
        done = threading.Event()
        client.on_subscribe = lambda *_: done.set()
        client.subscribe(topic, qos=1)
        self.assertTrue(done.wait(PATIENCE_S))

    def test_it_listens_on_this_machine_alone(self) -> None:
        listeners = self.broker._broker._servers["default"].instance.sockets
        self.assertEqual([listener.getsockname()[0] for listener in listeners], ["127.0.0.1"])
        self.assertEqual(self.broker.url, f"mqtt://127.0.0.1:{self.broker.port}")

    def test_a_retained_message_goes_only_to_who_asked_for_its_topic(self) -> None:
        self.subscribe(self.connected("curious"), "kept/#")
        self.connected("sender").publish("kept/a", b"1", qos=1, retain=True).wait_for_publish(PATIENCE_S)
        got: list[str] = []
        came = threading.Event()

        def on_message(_client: Any, _userdata: Any, message: mqtt.MQTTMessage) -> None:
            got.append(message.topic)
            came.set()

        other = mqtt.Client(CallbackAPIVersion.VERSION2, client_id="other")
        other.on_message = on_message
        other.connect("127.0.0.1", self.broker.port)
        other.loop_start()
        self.addCleanup(other.loop_stop)
        self.addCleanup(other.disconnect)
        self.assertFalse(came.wait(0.3), got)
        self.subscribe(other, "kept/a")
        self.assertTrue(came.wait(PATIENCE_S))
        self.assertEqual(got, ["kept/a"])

    def test_it_says_when_its_port_is_taken(self) -> None:
        with self.assertRaisesRegex(BrokerFailed, f"port {self.broker.port}"):
            EmbeddedBroker(self.broker.port).start()

    def test_it_stops_and_frees_its_port(self) -> None:
        self.connected("somebody")
        self.broker.stop()
        self.assertFalse(self.broker.is_alive)
        again = EmbeddedBroker(self.broker.port)
        again.start()
        again.stop()
        again.stop()
