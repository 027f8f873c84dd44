"""What runs on its own, put together: each a link to the broker, and a thread that works.

A command runs one of them as a process; the demo runs them beside everything else.
"""

import logging
import threading
from datetime import timedelta
from typing import Protocol

from django.conf import settings

from market_feed import metrics
from market_feed.consumer import FeedConsumer, TickEngine
from market_feed.known_stocks import KnownStocks
from market_feed.link import BrokerLink
from market_feed.publisher import Publisher
from stocks.services import list_stock

logger = logging.getLogger(__name__)

STOP_TIMEOUT_S = 15.0


class Worker(Protocol):
    """What does the work in a thread of its own."""

    def run(self) -> None: ...
    def stop(self) -> None: ...


class Role:
    """A worker and its link to the broker. `start`, then `stop`; both once."""

    def __init__(self, name: str, link: BrokerLink, worker: Worker) -> None:
        self.name = name
        self.link = link
        self._worker = worker
        self._thread = threading.Thread(target=self._run, name=name, daemon=True)

    def start(self) -> None:
        self.link.start()
        self._thread.start()

    def stop(self) -> None:
        """Finish what is under way, tell the broker, and disconnect."""
        self._worker.stop()
        # The worker may be waiting for a broker that is away: it need not wait for ever.
        self._thread.join(STOP_TIMEOUT_S if self.link.is_connected else 1.0)
        self.link.stop()
        self._thread.join(STOP_TIMEOUT_S)

    @property
    def is_alive(self) -> bool:
        return self._thread.is_alive()

    def _run(self) -> None:
        try:
            self._worker.run()
        except Exception:
            logger.exception("%s ended", self.name)


def feed_consumer(engine: TickEngine, *, url: str | None = None) -> Role:
    """The consumer of the market's feed. BadBrokerUrl."""
    consumer = FeedConsumer(
        engine=engine,
        known_stocks=KnownStocks(list_stock=_list_stock if settings.FEED_LISTS_STOCKS else None),
        max_clock_skew=timedelta(seconds=settings.FEED_MAX_CLOCK_SKEW_S),
    )
    consumer.link = link = BrokerLink(
        url or settings.MQTT_URL,
        client_id=settings.MQTT_CLIENT_ID,
        service="feed",
        subscribe_to=settings.MQTT_FEED_TOPIC,
        receiver=consumer,
    )
    metrics.connected.set_function(lambda: link.is_connected)
    return Role("feed-consumer", link, consumer)


def publisher(*, url: str | None = None) -> Role:
    """The publisher of trades, books and events. BadBrokerUrl."""
    link = BrokerLink(
        url or settings.MQTT_URL, client_id=f"{settings.MQTT_CLIENT_ID}-publisher", service="publisher"
    )
    return Role("publisher", link, Publisher(outlet=link))


def _list_stock(stock_id: str, name: str) -> None:
    list_stock(stock_id=stock_id, name=name, price_increment=settings.FEED_PRICE_INCREMENT)
