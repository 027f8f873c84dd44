"""The endpoints as a client sees them, on the real database, with the real engine."""

from collections.abc import Callable
from contextlib import asynccontextmanager
from datetime import datetime
from typing import Any

from channels.db import database_sync_to_async
from channels.testing import WebsocketCommunicator
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.test import TransactionTestCase, override_settings

from market_feed.streams.hub import get_hub
from market_feed.streams.routing import streams
from stocks.models import Stock
from stocks.services.ticks import FeedTick
from trade.engine import get_engine, reset_engine
from trade.services.order_rules import NewOrder
from trade.tests.base import NOON, make_trader, units
from users.models import User


class Client(WebsocketCommunicator):
    """A client that reads messages of the kinds it wants."""

    async def next(self, *kinds: str, timeout_s: float = 3) -> dict[str, Any]:
        while True:
            message = await self.receive_json_from(timeout_s)
            if not kinds or message["type"] in kinds:
                return message

    async def next_close(self) -> int:
        event = await self.receive_output(3)
        assert event["type"] == "websocket.close", event
        return event["code"]

    async def ask(self, **request: Any) -> None:
        await self.send_json_to(request)


def session_cookie(user: User) -> str:
    """The cookies of a browser in which `user` has logged in."""
    session = SessionStore()
    session[SESSION_KEY] = str(user.pk)
    session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
    session[HASH_SESSION_KEY] = user.get_session_auth_hash()
    session.save()
    return f"a=b; {settings.SESSION_COOKIE_NAME}={session.session_key}"


def page_headers(user: User) -> list[tuple[bytes, bytes]]:
    """What a page of this host sends when `user` has logged in."""
    return [
        (b"host", b"localhost:8000"),
        (b"origin", b"http://localhost:8000"),
        (b"cookie", session_cookie(user).encode()),
    ]


@override_settings(ENGINE_THREADS=0)
class StreamTestCase(TransactionTestCase):
    def setUp(self) -> None:
        reset_engine()
        self.addCleanup(reset_engine)
        for stock_id in ("ACME", "BOLT"):
            Stock.objects.create(stock_id=stock_id, name=stock_id.title())
        self.ann = make_trader("ann", 10_000)
        self.bob = make_trader("bob", 0, ACME=1_000, BOLT=1_000)

    @asynccontextmanager
    async def connected(self, path: str, *, accepted: bool = True, **scope: Any) -> Any:
        client = Client(streams, path, **scope)
        is_connected, code = await client.connect(3)
        self.assertEqual(is_connected, accepted, code)
        try:
            yield client
        finally:
            if accepted:
                await client.disconnect(timeout=3)
            await get_hub().stop()

    @database_sync_to_async
    def place(self, user: User, side: str, quantity: int, price: str, stock_id: str = "ACME") -> Any:
        return get_engine().place_order(
            NewOrder(
                user_id=user.pk,
                stock_id=stock_id,
                side=side,
                type="limit",
                quantity=quantity,
                price=units(price),
            )
        )

    @database_sync_to_async
    def tick(self, price: str, availability: int = 0, stock_id: str = "ACME", at: datetime = NOON) -> None:
        get_engine().apply_ticks([FeedTick(stock_id, units(price), availability, at)]).result(3)

    @database_sync_to_async
    def in_database(self, work: Callable[[], Any]) -> Any:
        return work()

    async def trade(self, quantity: int = 1, price: str = "20", stock_id: str = "ACME") -> Any:
        """Ann buys from Bob."""
        await self.place(self.bob, "sell", quantity, price, stock_id)
        return await self.place(self.ann, "buy", quantity, price, stock_id)
