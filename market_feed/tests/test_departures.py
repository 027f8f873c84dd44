"""What is left in the market when a client goes."""

from typing import Any
from unittest import mock

from market_feed.streams import order_entry
from market_feed.streams.departures import OwnOrders, departures_done
from market_feed.streams.routing import streams
from market_feed.tests.order_entry_case import BUY, OrderEntryTestCase, held_orders
from market_feed.tests.streams_case import Client
from trade.models import Order
from trade.services.refusals import EngineBusy


class DisconnectTests(OrderEntryTestCase):
    async def test_it_leaves_orders_in_the_market_when_a_client_goes(self) -> None:
        async with self.connected(self.path) as client:
            order = await self.placed(client)
        await departures_done(3)
        self.assertEqual((await self.stored(order)).status, "ACTIVE")

    async def test_it_cancels_the_orders_of_the_connection_where_asked(self) -> None:
        elsewhere = await self.place(self.ann, "buy", 1, "19")
        async with self.connected(self.path) as client:
            before = await self.placed(client)
            answer = await self.ask(client, "cancel_on_disconnect", enabled=True)
            self.assertEqual((answer["type"], answer["enabled"]), ("cancel_on_disconnect", True))
            after = await self.placed(client, stock_id="BOLT")
        await departures_done(3)
        for order in (before, after):
            stored = await self.stored(order)
            self.assertEqual((stored.status, stored.reason), ("CANCELLED", "disconnect"))
        self.assertEqual((await Order.objects.aget(pk=elsewhere.pk)).status, "ACTIVE")
        await self.assert_books_right()

    async def test_it_takes_the_wish_back(self) -> None:
        async with self.connected(self.path) as client:
            await self.ask(client, "cancel_on_disconnect", enabled=True)
            await self.ask(client, "cancel_on_disconnect", enabled=False)
            order = await self.placed(client)
        await departures_done(3)
        self.assertEqual((await self.stored(order)).status, "ACTIVE")

    async def test_it_cancels_what_is_placed_only_after_the_client_has_gone(self) -> None:
        with held_orders() as gate:
            async with self.connected(self.path) as client:
                await self.ask(client, "cancel_on_disconnect", enabled=True)
                await client.ask(type="place", id=1, order=BUY)
                await client.ask(type="ping")
                await client.next("pong")
            gate.set()
            await departures_done(3)
        self.assertEqual([order.status async for order in Order.objects.all()], ["CANCELLED"])

    async def test_it_leaves_an_order_that_was_placed_elsewhere_before(self) -> None:
        async with self.connected(self.path) as client:
            order = await self.placed(client, client_order_id="mine")
            other = Client(streams, self.path)
            await other.connect()
            await self.ask(other, "cancel_on_disconnect", enabled=True)
            await self.ask(other, "place", order={**BUY, "client_order_id": "mine"})
            await other.disconnect(timeout=3)
            await departures_done(3)
            self.assertEqual((await self.stored(order)).status, "ACTIVE")

    async def test_it_tries_again_while_the_market_is_busy(self) -> None:
        submit, refusals = order_entry.get_engine().submit, [EngineBusy("full"), EngineBusy("full")]

        def busy_at_first(*args: Any) -> Any:
            if refusals:
                raise refusals.pop()
            return submit(*args)

        async with self.connected(self.path) as client:
            await self.ask(client, "cancel_on_disconnect", enabled=True)
            order = await self.placed(client)
            patched = mock.patch.object(order_entry.get_engine(), "submit", busy_at_first)
            delays = mock.patch("market_feed.streams.departures.RETRY_DELAYS_S", (0.01,) * 3)
            with patched, delays, self.assertLogs("market_feed.streams.departures", "WARNING"):
                await client.disconnect(timeout=3)
                await departures_done(3)
        self.assertEqual((await self.stored(order)).status, "CANCELLED")

    async def test_it_forgets_orders_that_are_finished(self) -> None:
        finished = await self.place(self.ann, "buy", 1, "20")
        await self.place(self.bob, "sell", 1, "20")
        waiting = await self.place(self.ann, "buy", 1, "20")
        own = OwnOrders()
        with mock.patch.object(own, "_forget_at", 2):
            own.add(finished.pk)
            own.add(waiting.pk)
            await departures_done(3)
        self.assertEqual(own._order_ids, {waiting.pk})
