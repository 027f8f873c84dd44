"""The embedded broker: amqtt in a thread of this process, for the demo and for tests.

It listens on 127.0.0.1 and takes anybody who reaches it, so it must never listen anywhere else. It speaks MQTT 3.1.1,
keeps everything in memory, and does not send again what a client left unacknowledged: for anything that must not
lose a tick run mosquitto or VerneMQ.
"""

import asyncio
import logging
import threading
from concurrent.futures import Future
from typing import Any

LOOPBACK = "127.0.0.1"
START_TIMEOUT_S = 20.0
STOP_TIMEOUT_S = 10.0


class BrokerFailed(Exception):
    """The embedded broker could not be started."""


class EmbeddedBroker:
    """A broker on 127.0.0.1. `port` 0 takes a free one; after `start`, `port` is the real one."""

    def __init__(self, port: int = 0) -> None:
        self.port = port
        self._broker: Any = None
        self._loop: asyncio.AbstractEventLoop | None = None
        self._thread: threading.Thread | None = None

    @property
    def url(self) -> str:
        return f"mqtt://{LOOPBACK}:{self.port}"

    @property
    def is_alive(self) -> bool:
        return self._thread is not None and self._thread.is_alive()

    def subscriptions(self) -> set[str]:
        """The topic filters that somebody has subscribed to."""
        return set(self._broker._subscriptions) if self._broker is not None else set()

    def start(self) -> None:
        """Return when it listens. BrokerFailed when it cannot."""
        started: Future[int] = Future()
        self._thread = threading.Thread(target=self._run, args=(started,), name="mqtt-broker", daemon=True)
        self._thread.start()
        try:
            self.port = started.result(START_TIMEOUT_S)
        except Exception as error:
            raise BrokerFailed(f"the embedded broker does not start on port {self.port}: {error}") from error

    def stop(self) -> None:
        """Disconnect everybody and end the thread. Repeatable."""
        if self._thread is not None and self._loop is not None and self.is_alive:
            self._loop.call_soon_threadsafe(self._stop_wanted.set)
            self._thread.join(STOP_TIMEOUT_S)

    def _run(self, started: "Future[int]") -> None:
        for name in ("amqtt", "transitions"):
            logging.getLogger(name).setLevel(logging.CRITICAL)
        try:
            asyncio.run(self._serve(started))
        except BaseException as error:
            if not started.done():
                started.set_exception(error)
            else:
                logging.getLogger(__name__).exception("the embedded broker ended")

    async def _serve(self, started: "Future[int]") -> None:
        self._loop = asyncio.get_running_loop()
        self._stop_wanted = asyncio.Event()
        self._broker = broker = _make_broker(self.port)
        await broker.start()
        (listener,) = broker._servers["default"].instance.sockets
        started.set_result(listener.getsockname()[1])
        await self._stop_wanted.wait()
        await broker.shutdown()


def _make_broker(port: int) -> Any:
    # Half a second of imports, which only those who start a broker should wait for.
    from amqtt.broker import Broker
    from amqtt.session import Session

    class QuietBroker(Broker):
        """amqtt's broker without a habit: it sends every client that connects retained messages of topics
        that only others have subscribed to."""

        async def _publish_retained_messages_for_subscription(
            self, subscription: tuple[str, int], session: Session
        ) -> None:
            subscribers = self._subscriptions.get(subscription[0], [])
            if any(subscriber is session for subscriber, _ in subscribers):
                await super()._publish_retained_messages_for_subscription(subscription, session)

    return QuietBroker(
        {
            "listeners": {"default": {"type": "tcp", "bind": f"{LOOPBACK}:{port}"}},
            "plugins": {"amqtt.plugins.authentication.AnonymousAuthPlugin": {"allow_anonymous": True}},
        }
    )
