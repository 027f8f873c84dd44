"""The endpoints as a client sees them, on the real database, with the real engine."""

import asyncio
from collections.abc import Callable
from contextlib import asynccontextmanager
from typing import Any
from unittest import mock
from uuid import UUID

from channels.db import database_sync_to_async
from channels.testing import WebsocketCommunicator
from django.conf import settings
from django.contrib.auth import BACKEND_SESSION_KEY, HASH_SESSION_KEY, SESSION_KEY
from django.contrib.sessions.backends.db import SessionStore
from django.db import OperationalError
from django.test import TransactionTestCase, override_settings
from knox.models import AuthToken

from market_feed.streams import hub as hub_module
from market_feed.streams.hub import get_hub
from market_feed.streams.routing import streams
from stocks.models import Stock
from stocks.services.ticks import FeedTick
from trade.engine import get_engine, reset_engine
from trade.services.reservation import NewOrder
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
    def tick(self, price: str, availability: int = 0, stock_id: str = "ACME") -> None:
        get_engine().apply_ticks([FeedTick(stock_id, units(price), availability, NOON)]).result(3)

    @database_sync_to_async
    def in_database(self, work: Callable[[], Any]) -> Any:
        return work()

    async def trade(self, quantity: int = 1, price: str = "20", stock_id: str = "ACME") -> Any:
        """Ann buys from Bob."""
        await self.place(self.bob, "sell", quantity, price, stock_id)
        return await self.place(self.ann, "buy", quantity, price, stock_id)


class TradesTests(StreamTestCase):
    async def test_it_sends_trades_of_every_stock_or_of_those_named(self) -> None:
        for path, expected in (
            ("/ws/trades/", ["ACME", "BOLT"]),
            ("/ws/trades", ["ACME", "BOLT"]),
            ("/ws/trades/?stock_id=BOLT", ["BOLT"]),
            ("/ws/trades?stock_id=BOLT&stock_id=ACME", ["ACME", "BOLT"]),
        ):
            with self.subTest(path=path):
                async with self.connected(path) as client:
                    await self.trade()
                    await self.trade(stock_id="BOLT")
                    received = [(await client.next("trades"))["stock_id"] for _ in expected]
                    self.assertEqual(received, expected)
                    self.assertTrue(await client.receive_nothing(0.1))

    async def test_it_sends_a_trade_as_the_contract_has_it(self) -> None:
        async with self.connected("/ws/trades/?stock_id=ACME") as client:
            buy = await self.trade(quantity=3, price="20.5")
            (trade,) = (await client.next())["trades"]
            self.assertEqual(
                list(trade),
                [
                    "trade_id",
                    "sequence",
                    "price",
                    "quantity",
                    "execution_timestamp",
                    "bid_order_id",
                    "ask_order_id",
                ],
            )
            self.assertEqual((trade["price"], trade["quantity"]), (20.5, 3))
            self.assertEqual(UUID(trade["bid_order_id"]), buy.order_id)
            self.assertEqual(trade["bid_order_id"], str(buy.order_id))

    async def test_it_sends_the_same_live_and_from_the_database(self) -> None:
        async with self.connected("/ws/trades/?stock_id=ACME") as client:
            await self.trade()
            live = await client.next()
            await client.ask(type="resume", stock_id="ACME", since_sequence=0)
            self.assertEqual(await client.next(), live)

    async def test_it_resumes_after_a_sequence_and_goes_on(self) -> None:
        for _ in range(4):
            await self.trade()
        async with self.connected("/ws/trades/?stock_id=ACME") as client:
            await client.ask(type="resume", stock_id="ACME", since_sequence=0)
            first = (await client.next())["trades"]
            self.assertEqual(len(first), 4)
            await client.ask(type="resume", stock_id="ACME", since_sequence=first[1]["sequence"])
            self.assertEqual((await client.next())["trades"], first[2:])
            await self.trade()
            (live,) = (await client.next())["trades"]
            self.assertGreater(live["sequence"], first[-1]["sequence"])

    async def test_it_answers_ping(self) -> None:
        async with self.connected("/ws/trades/") as client:
            await client.ask(type="ping")
            self.assertEqual(await client.next(), {"type": "pong"})

    async def test_it_answers_nonsense_with_an_error_and_goes_on(self) -> None:
        resume = {"type": "resume", "stock_id": "ACME", "since_sequence": 0}
        cases: list[tuple[Any, str]] = [
            ("no json", "invalid_json"),
            ("", "invalid_json"),
            ("[" * 5_000, "invalid_json"),
            ("NaN", "invalid_json"),
            ("[]", "invalid"),
            ("null", "invalid"),
            ('{"typ": "ping"}', "invalid"),
            ('{"type": 7}', "invalid"),
            ('{"type": "place"}', "unknown_type"),
            ('{"type": "on_ping"}', "unknown_type"),
            ('"' + "x" * 20_000 + '"', "too_large"),
            (b"\x00\xff", "not_text"),
            ({**resume, "stock_id": None}, "invalid"),
            ({**resume, "stock_id": ["ACME"]}, "invalid"),
            ({**resume, "stock_id": "NONE"}, "unknown_stock"),
            ({**resume, "stock_id": "BOLT"}, "unknown_stock"),
            ({**resume, "since_sequence": "0"}, "invalid"),
            ({**resume, "since_sequence": True}, "invalid"),
            ({**resume, "since_sequence": 1.0}, "invalid"),
            ({**resume, "since_sequence": -1}, "invalid"),
            ({**resume, "since_sequence": 2**63}, "invalid"),
            ({"type": "resume"}, "invalid"),
        ]
        async with self.connected("/ws/trades/?stock_id=ACME") as client:
            for request, code in cases:
                with self.subTest(request=str(request)[:40]):
                    if isinstance(request, dict):
                        await client.send_json_to(request)
                    else:
                        key = "bytes" if isinstance(request, bytes) else "text"
                        await client.send_input({"type": "websocket.receive", key: request})
                    answer = await client.next()
                    self.assertEqual((answer["type"], answer["code"]), ("error", code))
                    self.assertTrue(answer["detail"])
            await client.ask(type="ping")
            self.assertEqual(await client.next(), {"type": "pong"})

    async def test_it_names_a_stock_it_does_not_know_and_closes(self) -> None:
        for path in (
            "/ws/trades/?stock_id=NONE",
            "/ws/orderbook/?stock_id=ACME&stock_id=NONE",
            "/ws/trades/?stock_id=",
        ):
            with self.subTest(path=path):
                async with self.connected(path) as client:
                    self.assertEqual((await client.next("error"))["code"], "unknown_stock")
                    self.assertEqual(await client.next_close(), 4004)

    async def test_it_refuses_a_second_resume_of_a_stock_under_way(self) -> None:
        await self.trade()
        async with self.connected("/ws/trades/") as client:
            for _ in range(2):
                await client.ask(type="resume", stock_id="ACME", since_sequence=0)
            answers = [await client.next(), await client.next()]
            self.assertEqual({answer["type"] for answer in answers}, {"error", "trades"})

    async def test_it_says_so_when_the_database_is_away(self) -> None:
        with (
            mock.patch.object(hub_module.StoredMarket, "positions", side_effect=OperationalError("gone")),
            self.assertLogs("market_feed.streams", "WARNING"),
        ):
            async with self.connected("/ws/trades/") as client:
                self.assertEqual((await client.next())["code"], "unavailable")
                self.assertEqual(await client.next_close(), 4013)

    async def test_it_closes_a_path_that_leads_nowhere(self) -> None:
        for path in ("/", "/ws/", "/ws/secrets/", "/ws/trades/more/", "/nothing"):
            with self.subTest(path=path):
                async with self.connected(path, accepted=False):
                    pass


class OrderBookTests(StreamTestCase):
    async def test_it_sends_a_snapshot_at_once_and_after_a_change(self) -> None:
        await self.place(self.ann, "buy", 5, "19.5")
        async with self.connected("/ws/orderbook/?stock_id=ACME") as client:
            first = await client.next()
            self.assertEqual(list(first), ["type", "stock_id", "sequence", "timestamp", "bids", "asks"])
            self.assertEqual(first["bids"], [{"price": 19.5, "quantity": 5}])
            self.assertEqual(first["asks"], [])
            await self.place(self.bob, "sell", 7, "21")
            second = await client.next()
            self.assertGreater(second["sequence"], first["sequence"])
            self.assertEqual(second["asks"], [{"price": 21.0, "quantity": 7}])

    async def test_it_shows_five_levels_or_as_many_as_asked_for(self) -> None:
        for number in range(30):
            await self.place(self.ann, "buy", 1, f"{10 + number}")
        for parameters, expected in (("", 5), ("&depth=1", 1), ("&depth=25", 25), ("&depth=500", 30)):
            with self.subTest(parameters=parameters):
                async with self.connected("/ws/orderbook?stock_id=ACME" + parameters) as client:
                    levels = (await client.next())["bids"]
                    self.assertEqual(
                        [level["price"] for level in levels], [39.0 - n for n in range(expected)]
                    )
                    await self.place(self.bob, "sell", 1, "50")
                    changed = await client.next()
                    self.assertEqual(changed["bids"], levels)
                    self.assertTrue(changed["asks"])

    async def test_it_sends_every_stock_when_none_is_named(self) -> None:
        async with self.connected("/ws/orderbook/") as client:
            received = [await client.next(), await client.next()]
            self.assertEqual({message["stock_id"] for message in received}, {"ACME", "BOLT"})

    async def test_it_refuses_a_depth_that_is_none(self) -> None:
        for depth in ("0", "-1", "501", "five", "", "1e2", "٣", "99999999999999999999"):
            with self.subTest(depth=depth):
                async with self.connected(f"/ws/orderbook/?depth={depth}") as client:
                    self.assertEqual((await client.next())["code"], "invalid")
                    self.assertEqual(await client.next_close(), 4000)

    async def test_it_has_nothing_to_resume(self) -> None:
        async with self.connected("/ws/orderbook/?stock_id=ACME") as client:
            await client.ask(type="resume", stock_id="ACME", since_sequence=0)
            self.assertEqual((await client.next("error"))["code"], "unknown_type")


class PricesTests(StreamTestCase):
    async def test_it_sends_prices_that_ticks_moved(self) -> None:
        async with self.connected("/ws/prices/") as client:
            self.assertEqual((await client.next())["prices"], [])
            await self.tick("12.34")
            (price,) = (await client.next())["prices"]
            self.assertEqual((price["stock_id"], price["price"]), ("ACME", 12.34))


class OrdersTests(StreamTestCase):
    def setUp(self) -> None:
        super().setUp()
        _, self.token = AuthToken.objects.create(user=self.ann)

    def headers(self, **values: str) -> list[tuple[bytes, bytes]]:
        return [(name.encode(), value.encode()) for name, value in values.items()]

    def session_cookie(self) -> str:
        session = SessionStore()
        session[SESSION_KEY] = str(self.ann.pk)
        session[BACKEND_SESSION_KEY] = settings.AUTHENTICATION_BACKENDS[0]
        session[HASH_SESSION_KEY] = self.ann.get_session_auth_hash()
        session.save()
        return f"a=b; {settings.SESSION_COOKIE_NAME}={session.session_key}"

    async def assert_is_anns(self, client: Client) -> None:
        order = await self.place(self.ann, "buy", 1, "5")
        self.assertEqual((await client.next())["order"]["order_id"], str(order.order_id))

    async def assert_is_refused(self, path: str, **scope: Any) -> None:
        async with self.connected(path, **scope) as client:
            self.assertEqual((await client.next())["code"], "not_authenticated")
            self.assertEqual(await client.next_close(), 4001)

    async def test_it_takes_a_token_from_the_url(self) -> None:
        async with self.connected(f"/ws/orders/?token={self.token}") as client:
            await self.assert_is_anns(client)

    async def test_it_takes_a_token_from_the_subprotocol(self) -> None:
        client = Client(streams, "/ws/orders", subprotocols=["token", self.token])
        self.assertEqual(await client.connect(), (True, "token"))
        await self.assert_is_anns(client)
        await client.disconnect()
        await get_hub().stop()

    async def test_it_takes_a_token_from_the_header(self) -> None:
        async with self.connected(
            "/ws/orders/", headers=self.headers(authorization=f"Token {self.token}")
        ) as client:
            await self.assert_is_anns(client)

    async def test_it_refuses_who_has_no_valid_token(self) -> None:
        await self.assert_is_refused("/ws/orders/")
        await self.assert_is_refused("/ws/orders/?token=")
        await self.assert_is_refused(f"/ws/orders/?token={self.token[:-1]}")
        await self.assert_is_refused("/ws/orders/?token=%00%ff%F0")
        await self.assert_is_refused("/ws/orders/", headers=self.headers(authorization=f"Basic {self.token}"))

    async def test_it_refuses_a_user_who_was_deactivated(self) -> None:
        await self.in_database(lambda: User.objects.filter(pk=self.ann.pk).update(is_active=False))
        await self.assert_is_refused(f"/ws/orders/?token={self.token}")

    async def test_it_takes_the_session_of_a_page_of_this_host(self) -> None:
        cookie = await self.in_database(self.session_cookie)
        ours = self.headers(cookie=cookie, host="localhost:8000", origin="http://localhost:8000")
        async with self.connected("/ws/orders/", headers=ours) as client:
            await self.assert_is_anns(client)

    async def test_it_refuses_the_session_without_the_origin_of_this_host(self) -> None:
        cookie = await self.in_database(self.session_cookie)
        await self.assert_is_refused(
            "/ws/orders/", headers=self.headers(cookie=cookie, host="localhost:8000")
        )
        other_port = self.headers(cookie=cookie, host="localhost:8000", origin="http://localhost:9000")
        await self.assert_is_refused("/ws/orders/", headers=other_port)

    async def test_it_refuses_a_session_that_is_none(self) -> None:
        for cookie in (f"{settings.SESSION_COOKIE_NAME}=nonsense", "=;=;", ""):
            headers = self.headers(cookie=cookie, host="localhost", origin="http://localhost")
            await self.assert_is_refused("/ws/orders/", headers=headers)

    async def test_it_tells_a_user_of_orders_and_fills_with_the_cash_then(self) -> None:
        async with self.connected(f"/ws/orders/?token={self.token}") as client:
            order = await self.place(self.ann, "buy", 10, "20")
            placed = await client.next()
            self.assertEqual(list(placed), ["type", "stock_id", "sequence", "order", "balance", "available"])
            self.assertEqual(
                (placed["type"], placed["balance"], placed["available"]), ("order", 10_000.0, 9_800.0)
            )
            self.assertEqual(
                {
                    name: placed["order"][name]
                    for name in ("order_id", "type", "status", "reserved", "sequence")
                },
                {
                    "order_id": str(order.order_id),
                    "type": "limit",
                    "status": "ACTIVE",
                    "reserved": 200.0,
                    "sequence": placed["sequence"],
                },
            )
            await self.place(self.bob, "sell", 4, "20")
            fill, changed = await client.next(), await client.next()
            self.assertEqual((fill["type"], fill["balance"], fill["available"]), ("fill", 9_920.0, 9_800.0))
            self.assertEqual(
                {name: fill["fill"][name] for name in ("order_id", "side", "price", "quantity", "source")},
                {
                    "order_id": str(order.order_id),
                    "side": "buy",
                    "price": 20.0,
                    "quantity": 4,
                    "source": "book",
                },
            )
            self.assertEqual(changed["order"]["status"], "PARTIALLY_FILLED")
            self.assertEqual(changed["sequence"], fill["sequence"])
            await self.in_database(lambda: get_engine().cancel_order(order.order_id, self.ann.pk))
            cancelled = await client.next()
            self.assertEqual((cancelled["order"]["status"], cancelled["available"]), ("CANCELLED", 9_920.0))

    async def test_it_tells_nobody_of_others(self) -> None:
        async with self.connected(f"/ws/orders/?token={self.token}") as client:
            await self.place(self.bob, "sell", 1, "30")
            self.assertTrue(await client.receive_nothing(1.3))

    async def test_it_hears_of_what_happened_without_news(self) -> None:
        async with self.connected(f"/ws/orders/?token={self.token}") as client:
            with mock.patch("market_feed.streams.broadcaster.hubs", return_value=[]):
                await self.place(self.ann, "buy", 1, "5")
            self.assertEqual((await client.next(timeout_s=2))["type"], "order")

    async def test_it_resumes_after_a_sequence(self) -> None:
        order = await self.place(self.ann, "buy", 2, "20")
        await self.place(self.bob, "sell", 1, "20")
        await self.place(self.bob, "sell", 1, "20")
        async with self.connected(f"/ws/orders/?token={self.token}") as client:
            await client.ask(type="resume", stock_id="ACME", since_sequence=order.sequence)
            received = [await client.next() for _ in range(3)]
            self.assertEqual([message["type"] for message in received], ["fill", "fill", "order"])
            self.assertEqual(received[2]["order"]["status"], "FILLED")
            self.assertEqual(received[2]["sequence"], received[1]["sequence"])
            self.assertTrue(await client.receive_nothing(0.1))

    async def test_it_serves_users_who_join_while_another_is_being_served(self) -> None:
        _, token = await self.in_database(lambda: AuthToken.objects.create(user=self.bob))
        async with self.connected(f"/ws/orders/?token={self.token}") as client:
            other = Client(streams, f"/ws/orders/?token={token}")
            await other.connect()
            await self.trade()
            for one in (client, other):
                kinds = {(await one.next())["type"] for _ in range(2)}
                self.assertEqual(kinds, {"order", "fill"})
            await other.disconnect()


class OriginTests(StreamTestCase):
    def scope(self, origin: str) -> dict[str, Any]:
        return {"headers": [(b"host", b"localhost:8000"), (b"origin", origin.encode())]}

    async def test_it_lets_pages_of_allowed_hosts_in(self) -> None:
        for origin in (
            "http://localhost:8000",
            "http://127.0.0.1",
            "https://localhost:444",
            "http://[::1]:8000",
        ):
            with self.subTest(origin=origin):
                async with self.connected("/ws/trades/", **self.scope(origin)):
                    pass

    async def test_it_keeps_other_pages_out(self) -> None:
        for origin in (
            "https://evil.example",
            "http://localhost.evil.example",
            "null",
            "",
            "file://",
            "http://localhost:eight",
            "http://[::1",
            "\x80",
        ):
            with self.subTest(origin=origin):
                for path in ("/ws/trades/", "/ws/orders/?token=x"):
                    async with self.connected(path, accepted=False, **self.scope(origin)):
                        pass

    @override_settings(CSRF_TRUSTED_ORIGINS=["https://trade.example:8443", "https://*.school.example"])
    async def test_it_lets_trusted_pages_in(self) -> None:
        cases = {
            "https://trade.example:8443": True,
            "https://trade.example": False,
            "http://trade.example:8443": False,
            "https://a.school.example": True,
            "https://school.example.evil.example": False,
        }
        for origin, accepted in cases.items():
            with self.subTest(origin=origin):
                async with self.connected("/ws/trades/", accepted=accepted, **self.scope(origin)):
                    pass

    async def test_it_lets_a_client_in_that_is_no_page(self) -> None:
        async with self.connected("/ws/trades/"):
            await asyncio.sleep(0)
