from contextlib import AsyncExitStack
from typing import Any

from django.contrib.sessions.models import Session
from django.test import SimpleTestCase, override_settings
from knox.models import AuthToken

from market_feed.streams.access import client_address
from market_feed.streams.hub import get_hub
from market_feed.streams.limits import ConnectionCount, MessageAllowance
from market_feed.streams.routing import streams
from market_feed.tests.streams_case import Client, StreamTestCase, page_headers
from users.models import User


class MessageAllowanceTests(SimpleTestCase):
    def setUp(self) -> None:
        self.now = 100.0
        self.allowance = MessageAllowance(8, lambda: self.now)

    def takes(self, count: int) -> int:
        return sum(self.allowance.take() for _ in range(count))

    def test_it_allows_a_burst_and_then_the_rate(self) -> None:
        self.assertEqual(self.takes(17), 16)
        self.now += 1.125
        self.assertEqual(self.takes(20), 8)

    def test_it_is_no_larger_after_a_long_rest(self) -> None:
        self.now += 3_600
        self.assertEqual(self.takes(30), 16)

    def test_it_is_overdrawn_by_who_goes_on(self) -> None:
        self.takes(31)
        self.assertFalse(self.allowance.is_overdrawn)
        self.takes(1)
        self.assertTrue(self.allowance.is_overdrawn)

    def test_it_makes_who_is_in_debt_wait(self) -> None:
        self.takes(30)
        self.now += 1.0
        self.assertEqual(self.takes(1), 0)

    def test_it_always_allows_one(self) -> None:
        self.allowance = MessageAllowance(0.01, lambda: self.now)
        self.assertEqual(self.takes(3), 1)


class ConnectionCountTests(SimpleTestCase):
    def test_it_counts_each_name_and_forgets_who_has_left(self) -> None:
        count = ConnectionCount()
        self.assertEqual([count.enter("ann", 2) for _ in range(3)], [True, True, False])
        self.assertTrue(count.enter("bob", 2))
        count.leave("ann")
        self.assertTrue(count.enter("ann", 2))
        for name in ("ann", "ann", "bob"):
            count.leave(name)
        self.assertEqual(len(count), 0)


class ClientAddressTests(SimpleTestCase):
    def address(self, *forwarded: str) -> str:
        headers = [(b"x-forwarded-for", one.encode()) for one in forwarded]
        return client_address({"client": ["10.0.0.9", 5_000], "headers": headers})

    def test_it_believes_no_header_without_a_proxy(self) -> None:
        self.assertEqual(self.address("1.2.3.4"), "10.0.0.9")

    @override_settings(NUM_PROXIES=2)
    def test_it_looks_behind_the_proxies_that_there_are(self) -> None:
        self.assertEqual(self.address(), "10.0.0.9")
        self.assertEqual(self.address("6.6.6.6, 1.2.3.4, 10.0.0.8"), "1.2.3.4")
        self.assertEqual(self.address("6.6.6.6,1.2.3.4", "10.0.0.8"), "1.2.3.4")
        self.assertEqual(self.address("1.2.3.4"), "1.2.3.4")

    def test_it_has_none_on_a_socket_file(self) -> None:
        self.assertEqual(client_address({"client": None}), "")


class ConnectionLimitTests(StreamTestCase):
    def setUp(self) -> None:
        super().setUp()
        _, self.token = AuthToken.objects.create(user=self.ann)

    async def open(self, stack: AsyncExitStack, path: str, **scope: Any) -> Client:
        client = Client(streams, path, **scope)
        self.assertEqual((await client.connect(3))[0], True)
        stack.push_async_callback(client.disconnect, timeout=3)
        return client

    async def assert_is_one_too_many(self, stack: AsyncExitStack, path: str) -> None:
        client = await self.open(stack, path)
        self.assertEqual((await client.next("error"))["code"], "too_many_connections")
        self.assertEqual(await client.next_close(), 4029)

    @override_settings(STREAM_ADDRESS_CONNECTIONS=2, STREAM_USER_CONNECTIONS=2)
    async def test_it_counts_users_and_addresses_apart(self) -> None:
        async with AsyncExitStack() as stack:
            stack.push_async_callback(get_hub().stop)
            first = await self.open(stack, "/ws/trades/")
            await self.open(stack, "/ws/prices/")
            await self.assert_is_one_too_many(stack, "/ws/orderbook/")
            # A user counts as such wherever they connect, and not for the address.
            await self.open(stack, f"/ws/orders/?token={self.token}")
            await self.open(stack, f"/ws/trades/?token={self.token}")
            await self.assert_is_one_too_many(stack, f"/ws/orders/?token={self.token}")
            # A token that is none makes no user.
            await self.assert_is_one_too_many(stack, "/ws/trades/?token=nonsense")
            await first.disconnect(timeout=3)
            await self.open(stack, "/ws/trades/")

    @override_settings(STREAM_STOCKS=1)
    async def test_it_limits_the_stocks_named_on_a_connection(self) -> None:
        for path in ("trades", "orderbook"):
            async with self.connected(f"/ws/{path}/?stock_id=ACME&stock_id=BOLT") as client:
                self.assertEqual((await client.next())["code"], "too_many_stocks")
                self.assertEqual(await client.next_close(), 4000)
        async with self.connected("/ws/trades/?since=ACME:0&since=BOLT:0") as client:
            self.assertEqual((await client.next())["code"], "too_many_stocks")
            self.assertEqual(await client.next_close(), 4000)

    async def test_it_refuses_a_url_with_absurdly_many_parameters(self) -> None:
        for path in ("trades", "orderbook", "prices", "orders"):
            async with self.connected(f"/ws/{path}/?" + "stock_id=ACME&" * 1_001) as client:
                self.assertEqual((await client.next())["code"], "invalid")
                self.assertEqual(await client.next_close(), 4000)


class MessageLimitTests(StreamTestCase):
    @override_settings(STREAM_MESSAGE_RATE=0.001)
    async def test_it_warns_and_then_closes(self) -> None:
        async with self.connected("/ws/trades/") as client:
            for _ in range(3):
                await client.ask(type="ping")
            self.assertEqual(await client.next(), {"type": "pong"})
            for _ in range(2):
                self.assertEqual((await client.next())["code"], "too_many_messages")
            self.assertEqual(await client.next_close(), 4030)

    @override_settings(STREAM_MESSAGE_RATE=0.001)
    async def test_messages_that_make_no_sense_count_too(self) -> None:
        async with self.connected("/ws/trades/") as client:
            for _ in range(2):
                await client.send_to(text_data="nonsense")
            self.assertEqual((await client.next())["code"], "invalid_json")
            self.assertEqual((await client.next())["code"], "too_many_messages")

    @override_settings(STREAM_MESSAGE_LENGTH=20)
    async def test_it_takes_no_message_longer_than_the_setting(self) -> None:
        async with self.connected("/ws/trades/") as client:
            await client.send_to(text_data='{"type":      "ping"}')
            self.assertEqual((await client.next())["code"], "too_large")


class WelcomeTests(StreamTestCase):
    """A private stream ends soon after its user's right to it."""

    def setUp(self) -> None:
        super().setUp()
        _, self.token = AuthToken.objects.create(user=self.ann)
        _, self.bobs_token = AuthToken.objects.create(user=self.bob)

    async def assert_is_ended_by(self, end: Any, path: str, **scope: Any) -> None:
        async with AsyncExitStack() as stack:
            client = await stack.enter_async_context(self.connected(path, **scope))
            bob = await stack.enter_async_context(self.connected(f"/ws/orders/?token={self.bobs_token}"))
            await get_hub().admission.look_again()
            self.assertTrue(await client.receive_nothing(0.05))
            await self.in_database(end)
            self.assertEqual((await client.next())["code"], "not_authenticated")
            self.assertEqual(await client.next_close(), 4001)
            await bob.ask(type="ping")
            self.assertEqual(await bob.next(), {"type": "pong"})

    async def test_it_ends_with_the_token(self) -> None:
        await self.assert_is_ended_by(
            AuthToken.objects.filter(user=self.ann).delete, f"/ws/orders/?token={self.token}"
        )

    async def test_it_ends_when_the_token_is_over(self) -> None:
        await self.assert_is_ended_by(
            lambda: AuthToken.objects.filter(user=self.ann).update(expiry="2020-01-01T00:00:00Z"),
            f"/ws/orders/?token={self.token}",
        )

    async def test_it_ends_when_the_user_is_deactivated(self) -> None:
        await self.assert_is_ended_by(
            lambda: User.objects.filter(pk=self.ann.pk).update(is_active=False),
            f"/ws/orders/?token={self.token}",
        )

    async def test_it_ends_with_the_session(self) -> None:
        headers = await self.in_database(lambda: page_headers(self.ann))
        await self.assert_is_ended_by(Session.objects.all().delete, "/ws/orders/", headers=headers)

    async def test_it_ends_with_the_password_of_the_session(self) -> None:
        def change_password() -> None:
            self.ann.set_password("another one")
            self.ann.save()

        headers = await self.in_database(lambda: page_headers(self.ann))
        await self.assert_is_ended_by(change_password, "/ws/orders/", headers=headers)

    async def test_it_asks_nothing_for_public_streams(self) -> None:
        async with self.connected(f"/ws/trades/?token={self.token}") as client:
            await self.in_database(AuthToken.objects.filter(user=self.ann).delete)
            await get_hub().admission.look_again()
            await client.ask(type="ping")
            self.assertEqual(await client.next(), {"type": "pong"})
