"""Runs the parts of the demo in one process: broker, feed, prices, publisher and bots, around the engine.

Parts are started in the order in which they need each other and stopped in reverse. Each loop has a thread
of its own; `stop` waits for all of them. The web server is not a part: it has the main thread, and ends
first (`config.serving`).
"""

import logging
import socket
import threading
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from random import Random

from django.conf import settings
from django.utils import timezone

from config.demo import cast
from config.demo.bots import BotFloor, MarketMaker, NoiseTrader
from config.demo.desk import Desk
from config.demo.quoting import Style
from config.demo.world import World
from market_feed.broker import EmbeddedBroker
from market_feed.link import BrokerLink
from market_feed.roles import Role, feed_consumer, publisher
from market_feed.sources.feeder import feed
from market_feed.sources.synthetic import SyntheticStock, synthetic_ticks
from stocks.models import Stock
from trade.engine import get_engine
from users.fields import to_units

logger = logging.getLogger(__name__)

MQTT_PORT = 1883
STOP_TIMEOUT_S = 5.0


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """What runs, and how lively. `broker_url` empty: the embedded broker."""

    seed: int = 1
    bots: bool = True
    orders_per_second: float = 30.0
    prices: bool = True
    ticks_per_second: float = 12.0
    broker_url: str = ""


class Demo:
    """The parts, from `start` to `stop`."""

    def __init__(self, world: World, options: DemoOptions) -> None:
        self._world = world
        self._options = options
        self._parts = ExitStack()
        self.broker_url = options.broker_url

    def start(self) -> None:
        """Start every part; when one cannot be started, those before it are stopped."""
        try:
            if not self.broker_url:
                self.broker_url = self._start_broker()
            self._start_role(feed_consumer(get_engine(), url=self.broker_url))
            self._start_role(publisher(url=self.broker_url))
            if self._options.prices:
                self._start_prices()
            if self._options.bots:
                self._start_bots()
        except BaseException:
            self.stop()
            raise

    def stop(self) -> None:
        """End every part, the newest first. Repeatable."""
        self._parts.close()

    def _start_broker(self) -> str:
        broker = EmbeddedBroker(MQTT_PORT if is_free("127.0.0.1", MQTT_PORT) else 0)
        broker.start()
        self._parts.callback(broker.stop)
        return broker.url

    def _start_role(self, role: Role) -> None:
        role.start()
        self._parts.callback(role.stop)

    def _start_prices(self) -> None:
        link = BrokerLink(self.broker_url, client_id="bourse-prices", service="prices")
        link.start()
        self._parts.callback(link.stop)
        ticks = synthetic_ticks(
            stocks_to_price(),
            seed=self._options.seed,
            rate=self._options.ticks_per_second,
            start=timezone.now(),
        )
        stopping = threading.Event()
        self._run(
            "price-stream",
            lambda: feed(ticks, link, topic=settings.MQTT_FEED_TOPIC, stop=stopping),
            stopping.set,
        )

    def _start_bots(self) -> None:
        floor = make_floor(self._world, self._options)
        stopping = threading.Event()
        self._run("house-bots", lambda: floor.run(stopping), stopping.set)

    def _run(self, name: str, run: Callable[[], object], stop: Callable[[], None]) -> None:
        """Run a loop in a thread until `stop` is called."""
        thread = threading.Thread(target=run, name=name, daemon=True)

        def end() -> None:
            stop()
            thread.join(STOP_TIMEOUT_S)
            if thread.is_alive():
                logger.warning("%s did not end within %.0f s", name, STOP_TIMEOUT_S)

        thread.start()
        self._parts.callback(end)


def make_floor(world: World, options: DemoOptions) -> BotFloor:
    """The house bots on their floor. One seed decides all they draw."""
    rng = Random(options.seed)
    desk = Desk(get_engine())
    makers = [
        # Every second maker stands half a step beside the others.
        MarketMaker(desk, user_id, _style(grid_shift=2 * (number % 2)), rng)
        for number, user_id in enumerate(world.ids_of(cast.MAKERS))
    ]
    return BotFloor(
        look=desk.views,
        makers=makers,
        noise_traders=[NoiseTrader(desk, user_id, rng) for user_id in world.ids_of(cast.NOISE_TRADERS)],
        stock_ids=world.stock_ids,
        orders_per_second=options.orders_per_second,
        rng=rng,
    )


def stocks_to_price() -> list[SyntheticStock]:
    """The cast's stocks for the price stream: each goes on from its last quote."""
    quoted = {stock.stock_id: stock.quote_price for stock in Stock.objects.all()}
    return [
        SyntheticStock(
            stock_id=stock.stock_id,
            name=stock.name,
            price=to_units(stock.price),
            last_price=None if price is None else to_units(price),
        )
        for stock in cast.STOCKS
        for price in [quoted.get(stock.stock_id)]
    ]


def _style(*, grid_shift: int) -> Style:
    return Style(grid_shift=grid_shift, target_worth=to_units(cast.MAKER_SHARES_WORTH))


def is_free(host: str, port: int) -> bool:
    """Whether somebody could listen there now."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as probe:
        probe.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            probe.bind((host, port))
        except OSError:
            return False
        return True
