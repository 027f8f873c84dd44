import asyncio
from unittest import mock

from django.db import OperationalError
from django.test import SimpleTestCase

from market_feed.streams import sockets, trades
from market_feed.streams.catchup import catch_up
from market_feed.streams.hub import Hub
from market_feed.streams.sockets import Socket
from market_feed.tests.streams_base import (
    MemoryMarket,
    RecordingSink,
    batch,
    until,
    with_hub,
)


class CatchUpTests(SimpleTestCase):
    async def _joined(self, hub: Hub) -> tuple[Socket, RecordingSink]:
        sink = RecordingSink()
        socket = Socket(sink)
        await hub.trades.join(socket, ["ACME"])
        return socket, sink

    def _publish(self, hub: Hub, market: MemoryMarket, *sequences: int, previous: int) -> None:
        for sequence in sequences:
            hub.hand_over(market.commit(batch([sequence], previous=previous)))
            previous = sequence

    @with_hub
    async def test_it_sends_what_was_missed_and_goes_on_live(self, hub: Hub, market: MemoryMarket) -> None:
        market.commit(batch(list(range(1, 11)), previous=0))
        socket, sink = await self._joined(hub)
        await catch_up(hub.trades.streams["ACME"], socket, 4)
        self._publish(hub, market, 11, 12, previous=10)
        await until(lambda: len(sink.sequences()) == 8)
        self.assertEqual(sink.sequences(), list(range(5, 13)))

    @with_hub
    async def test_it_sends_it_in_chunks(self, hub: Hub, market: MemoryMarket) -> None:
        market.commit(batch(list(range(1, 30)), previous=0))
        socket, sink = await self._joined(hub)
        with mock.patch.object(trades, "CHUNK", 4):
            await catch_up(hub.trades.streams["ACME"], socket, 0)
        self.assertEqual(sink.sequences(), list(range(1, 30)))

    @with_hub
    async def test_it_does_not_repeat_what_came_live_before_the_request(
        self, hub: Hub, market: MemoryMarket
    ) -> None:
        market.commit(batch([1, 2, 3], previous=0))
        socket, sink = await self._joined(hub)
        self._publish(hub, market, 4, 5, previous=3)
        await until(lambda: sink.sequences() == [4, 5])
        await catch_up(hub.trades.streams["ACME"], socket, 1)
        self.assertEqual(sink.sequences(), [4, 5, 2, 3])

    @with_hub
    async def test_it_rewinds_within_what_was_sent_when_asked_to(
        self, hub: Hub, market: MemoryMarket
    ) -> None:
        socket, sink = await self._joined(hub)
        self._publish(hub, market, 1, 2, 3, previous=0)
        await until(lambda: sink.sequences() == [1, 2, 3])
        await catch_up(hub.trades.streams["ACME"], socket, 1, rewind=True)
        self.assertEqual(sink.sequences(), [1, 2, 3, 2, 3])

    @with_hub
    async def test_it_repeats_nothing_of_what_was_sent(self, hub: Hub, market: MemoryMarket) -> None:
        market.commit(batch([1, 2], previous=0))
        socket, sink = await self._joined(hub)
        self._publish(hub, market, 3, 4, previous=2)
        await until(lambda: sink.sequences() == [3, 4])
        # Exactly where it joined, within what it was sent, and at its end.
        for since in (2, 3, 4):
            await catch_up(hub.trades.streams["ACME"], socket, since)
        await catch_up(hub.trades.streams["ACME"], socket, 1)
        await catch_up(hub.trades.streams["ACME"], socket, 1)
        self._publish(hub, market, 5, previous=4)
        await until(lambda: 5 in sink.sequences())
        self.assertEqual(sink.sequences(), [3, 4, 2, 5])

    @with_hub
    async def test_it_does_not_repeat_what_a_client_knows_from_elsewhere(
        self, hub: Hub, market: MemoryMarket
    ) -> None:
        market.commit(batch([1], previous=0))
        socket, sink = await self._joined(hub)
        # This hub has not heard of these yet, and then late, but the client has seen two of them.
        late = [market.commit(batch([number], previous=number - 1)) for number in (2, 3, 4)]
        resume = asyncio.ensure_future(catch_up(hub.trades.streams["ACME"], socket, 3))
        hub.hand_over(late[0])
        await resume
        for one in late[1:]:
            hub.hand_over(one)
        await until(lambda: sink.sequences())
        self._publish(hub, market, 5, previous=4)
        await until(lambda: 5 in sink.sequences())
        self.assertEqual(sink.sequences(), [4, 5])

    @with_hub
    async def test_it_goes_on_at_once_after_a_sequence_that_was_no_trade(
        self, hub: Hub, market: MemoryMarket
    ) -> None:
        market.commit(batch([1], previous=0, end=9))
        socket, sink = await self._joined(hub)
        await catch_up(hub.trades.streams["ACME"], socket, 9)
        self._publish(hub, market, 10, previous=1)
        await until(lambda: sink.sequences() == [10])

    @with_hub
    async def test_it_tells_who_is_ahead_of_the_market_and_goes_on(
        self, hub: Hub, market: MemoryMarket
    ) -> None:
        market.commit(batch([1, 2], previous=0))
        socket, sink = await self._joined(hub)
        await catch_up(hub.trades.streams["ACME"], socket, 99)
        self._publish(hub, market, 3, previous=2)
        await until(lambda: sink.sequences() == [3])
        self.assertEqual([message["code"] for message in sink.messages("error")], ["ahead"])

    @with_hub
    async def test_it_loses_and_repeats_nothing_while_trades_go_on(
        self, hub: Hub, market: MemoryMarket
    ) -> None:
        market.commit(batch(list(range(1, 101)), previous=0))
        socket, sink = await self._joined(hub)
        _, other = await self._joined(hub)
        with mock.patch.object(trades, "CHUNK", 10):
            resume = asyncio.ensure_future(catch_up(hub.trades.streams["ACME"], socket, 0))
            for sequence in range(101, 161):
                self._publish(hub, market, sequence, previous=sequence - 1)
                await asyncio.sleep(0.001)
            await resume
        await until(lambda: len(sink.sequences()) >= 160)
        self.assertEqual(sink.sequences(), list(range(1, 161)))
        self.assertEqual(other.sequences(), list(range(101, 161)))

    @with_hub
    async def test_it_waits_for_a_reader_that_is_busy(self, hub: Hub, market: MemoryMarket) -> None:
        market.commit(batch(list(range(1, 11)), previous=0))
        socket, sink = await self._joined(hub)
        sink.backlog = sockets.SLOW_BYTES + 1
        resume = asyncio.ensure_future(catch_up(hub.trades.streams["ACME"], socket, 0))
        await asyncio.sleep(0.1)
        self.assertEqual(sink.frames, [])
        sink.backlog = 0
        await resume
        self.assertEqual(sink.sequences(), list(range(1, 11)))

    @with_hub
    async def test_it_closes_the_stream_when_the_database_fails_half_way(
        self, hub: Hub, market: MemoryMarket
    ) -> None:
        market.commit(batch([1, 2], previous=0))
        socket, sink = await self._joined(hub)
        market.failure = OperationalError("no connection")
        with self.assertRaises(OperationalError):
            await catch_up(hub.trades.streams["ACME"], socket, 0)
        self.assertEqual(sink.close_code, 4013)
