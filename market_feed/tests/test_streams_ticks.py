"""The stream of ticks: as safe as that of the trades, whose desk it shares."""

from datetime import timedelta
from unittest import mock

from django.test import SimpleTestCase

from market_feed.streams import ticks
from market_feed.streams.hub import Hub
from market_feed.streams.sockets import Socket
from market_feed.tests.streams_base import MemoryMarket, RecordingSink, batch, tick, until, with_hub
from market_feed.tests.streams_case import StreamTestCase
from trade.tests.base import NOON


def numbers(sink: RecordingSink) -> list[int]:
    return [one["sequence"] for message in sink.messages("ticks") for one in message["ticks"]]


class TickDeskTests(SimpleTestCase):
    @with_hub
    async def test_it_orders_batches_and_reads_what_it_never_heard_of(
        self, hub: Hub, market: MemoryMarket
    ) -> None:
        sink = RecordingSink()
        await hub.ticks.join(Socket(sink), ["ACME"])
        first = market.commit(batch([], previous=0, end=2, ticks=[tick(1), tick(2)]))
        market.commit(batch([], previous=0, end=4, ticks=[tick(4)], previous_tick=2))
        last = market.commit(batch([], previous=0, end=7, ticks=[tick(6), tick(7)], previous_tick=4))
        for one in (last, first, last):
            hub.hand_over(one)
        await until(lambda: len(numbers(sink)) >= 5)
        self.assertEqual(numbers(sink), [1, 2, 4, 6, 7])
        self.assertEqual(market.reads.count("ticks"), 1)

    @with_hub
    async def test_it_sends_very_many_in_several_frames(self, hub: Hub, market: MemoryMarket) -> None:
        sink = RecordingSink()
        await hub.ticks.join(Socket(sink), None)
        with mock.patch.object(ticks, "TICKS_PER_FRAME", 2):
            hub.hand_over(market.commit(batch([], previous=0, end=5, ticks=[tick(n) for n in range(1, 6)])))
            await until(lambda: len(numbers(sink)) == 5)
        self.assertEqual([len(message["ticks"]) for message in sink.messages()], [2, 2, 1])


class TicksOverWebSocket(StreamTestCase):
    async def test_it_sends_every_stored_tick_the_same_live_and_from_the_database(self) -> None:
        async with self.connected("/ws/ticks/?stock_id=ACME") as client:
            await self.tick("20.5", 7)
            live = await client.next()
            await client.ask(type="resume", stock_id="ACME", since_sequence=0, rewind=True)
            self.assertEqual(await client.next(), live)
        first = {"sequence": 1, "price": 20.5, "availability": 7, "timestamp": "2024-05-06T12:00:00Z"}
        self.assertEqual(live, {"type": "ticks", "stock_id": "ACME", "ticks": [first | {"is_late": False}]})

    async def test_it_resumes_with_late_ticks_and_without_trades(self) -> None:
        await self.tick("20", 7)
        await self.trade(price="21")
        await self.tick("19", 7, at=NOON - timedelta(minutes=1))
        async with self.connected("/ws/ticks?since=ACME:1") as client:
            (missed,) = (await client.next())["ticks"]
            self.assertEqual((missed["price"], missed["is_late"]), (19.0, True))
            await self.tick("18", 7, at=NOON + timedelta(minutes=1))
            self.assertEqual((await client.next())["ticks"][0]["price"], 18.0)

    async def test_it_refuses_a_stock_that_there_is_not(self) -> None:
        async with self.connected("/ws/ticks/?stock_id=NONE") as client:
            self.assertEqual((await client.next())["code"], "unknown_stock")
            self.assertEqual(await client.next_close(), 4004)
