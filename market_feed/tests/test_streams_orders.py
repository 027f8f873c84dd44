import asyncio
from typing import Any
from unittest import mock

from django.conf import settings
from django.test import override_settings
from knox.models import AuthToken

from market_feed.streams.hub import get_hub
from market_feed.streams.routing import streams
from market_feed.tests.streams_case import Client, StreamTestCase, session_cookie
from trade.engine import get_engine
from users.models import User


class OrdersTests(StreamTestCase):
    def setUp(self) -> None:
        super().setUp()
        _, self.token = AuthToken.objects.create(user=self.ann)

    def headers(self, **values: str) -> list[tuple[bytes, bytes]]:
        return [(name.encode(), value.encode()) for name, value in values.items()]

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
        cookie = await self.in_database(lambda: session_cookie(self.ann))
        ours = self.headers(cookie=cookie, host="localhost:8000", origin="http://localhost:8000")
        async with self.connected("/ws/orders/", headers=ours) as client:
            await self.assert_is_anns(client)

    async def test_it_refuses_the_session_without_the_origin_of_this_host(self) -> None:
        cookie = await self.in_database(lambda: session_cookie(self.ann))
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
            self.assertEqual(
                list(placed), ["type", "stock_id", "sequence", "order", "balance", "available", "unsettled"]
            )
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

    async def test_it_begins_where_the_url_says(self) -> None:
        first = await self.place(self.ann, "buy", 1, "20")
        second = await self.place(self.ann, "buy", 1, "19")
        path = f"/ws/orders/?token={self.token}&since=ACME:{first.sequence}"
        async with self.connected(path) as client:
            self.assertEqual((await client.next())["order"]["order_id"], str(second.order_id))
            third = await self.place(self.ann, "buy", 1, "18")
            self.assertEqual((await client.next())["order"]["order_id"], str(third.order_id))

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
