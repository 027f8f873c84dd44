"""Runs daphne in the main thread of this process until SIGTERM or SIGINT, and then ends the market cleanly.

The order of the end: no more connections; the streams say good-bye; requests under way are given up; the
orders that end with their connections are cancelled; whatever else the caller started is stopped, while the
engine still answers it; the engine commits what it has begun.
"""

import asyncio
import gc
import logging
import time
from collections.abc import Callable

from daphne.endpoints import build_endpoint_description_strings
from daphne.server import Server
from django.core.management.base import CommandError
from twisted.internet.defer import Deferred

logger = logging.getLogger(__name__)

# Requests are short: what is longer is refused before it is in memory.
MAX_WEBSOCKET_MESSAGE = 64 * 1024
# How long the end waits for clients to answer the good-bye.
GOOD_BYE_S = 1.0
# How long it waits for the orders that end with their connections.
CANCEL_S = 5.0


class MarketServer(Server):
    """Daphne, saying where it serves, and saying good-bye to the streams."""

    def run(self) -> None:
        self.refused = ""
        super().run()

    def listen_error(self, failure: object) -> None:
        self.refused = str(getattr(failure, "getErrorMessage", lambda: failure)())
        self.stop()

    def kill_all_applications(self) -> object:
        end = Deferred.fromFuture(asyncio.ensure_future(self._say_good_bye()))
        end.addBoth(lambda _: super(MarketServer, self).kill_all_applications())
        return end.addBoth(lambda _: Deferred.fromFuture(asyncio.ensure_future(self._cancel_their_orders())))

    async def _say_good_bye(self) -> None:
        """Close the streams, and give their clients a moment to hear of it."""
        from market_feed.streams.hub import hubs

        for hub in hubs():
            hub.close_sockets("the server stops")
        deadline = time.monotonic() + GOOD_BYE_S
        while any(hub.sockets for hub in hubs()) and time.monotonic() < deadline:
            await asyncio.sleep(0.02)

    async def _cancel_their_orders(self) -> None:
        """Wait for the orders that were to end with their connections, while the engine still works."""
        from market_feed.streams.departures import departures_done

        await departures_done(CANCEL_S)


def run_server(
    host: str = "127.0.0.1",
    port: int = 8000,
    *,
    on_start: Callable[[str], None] | None = None,
    on_stop: Callable[[], None] | None = None,
) -> None:
    """Serve the web application; returns after SIGTERM or SIGINT. Port 0 takes a free one.

    `on_start` is called with the address once connections are accepted, `on_stop` when there are none
    any more and before the engine stops. CommandError when the address cannot be listened on.
    """
    # Here, because they need the apps to be loaded.
    from config.asgi import application
    from trade.engine import get_engine

    def started() -> None:
        bound_host, bound_port = server.listening_addresses[0]
        url = f"http://{_in_url(bound_host)}:{bound_port}/"
        # What is refused as too large is told so with a close code, instead of being cut off.
        server.ws_factory.setProtocolOptions(failByDrop=False)
        logger.info("Serving on %s", url)
        if on_start is not None:
            on_start(url)

    server = MarketServer(
        application,
        endpoints=build_endpoint_description_strings(host=host, port=port),
        ready_callable=started,
        websocket_timeout=-1,
        websocket_max_message_size=MAX_WEBSOCKET_MESSAGE,
        websocket_max_frame_size=MAX_WEBSOCKET_MESSAGE,
        server_name="bourse",
    )
    # What is loaded now stays for good: collections need not look at it again.
    gc.collect()
    gc.freeze()
    try:
        # Before the first order: orders that another process left pending are picked up.
        get_engine()
        server.run()
    finally:
        _stop_market(on_stop)
    if server.refused:
        raise CommandError(f"Cannot serve on {_in_url(host)}:{port}: {server.refused}")


def _stop_market(on_stop: Callable[[], None] | None) -> None:
    from market_feed.streams.broadcaster import broadcaster
    from trade.engine import reset_engine

    try:
        # First: who still calls `get_engine()` after the engine's end would start another.
        if on_stop is not None:
            on_stop()
    finally:
        reset_engine()
        broadcaster.stop()


def _in_url(host: str) -> str:
    return f"[{host}]" if ":" in host else host
