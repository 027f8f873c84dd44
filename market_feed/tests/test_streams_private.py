import asyncio
from unittest import mock

from django.test import SimpleTestCase

from market_feed.streams import private, sockets
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
from trade.signals import ChangedOrder


class PrivateStreamTests(SimpleTestCase):
    ANN, BOB = 1, 2

    async def _joined(self, hub: Hub, user_id: int) -> tuple[Socket, RecordingSink]:
        sink = RecordingSink()
        socket = Socket(sink)
        await hub.private.join(socket, user_id)
        return socket, sink

    def _happen(
        self, hub: Hub, market: MemoryMarket, sequence: int, *user_ids: int, told: bool = True
    ) -> None:
        """The orders of these users change."""
        market.events += [(user_id, sequence) for user_id in user_ids]
        orders = tuple(ChangedOrder("0" * 32, user_id, "ACTIVE", 1, 0, sequence) for user_id in user_ids)
        one = market.commit(batch([], previous=0, end=sequence, orders=orders))
        if told:
            hub.hand_over(one)

    def _sequences(self, sink: RecordingSink) -> list[int]:
        return [message["sequence"] for message in sink.messages()]

    @with_hub
    async def test_it_sends_each_user_their_own(self, hub: Hub, market: MemoryMarket) -> None:
        self._happen(hub, market, 1, self.ANN)
        (_, ann), (_, again), (_, bob) = [
            await self._joined(hub, user_id) for user_id in (self.ANN, self.ANN, self.BOB)
        ]
        self._happen(hub, market, 2, self.ANN)
        self._happen(hub, market, 3, self.ANN, self.BOB)
        await until(lambda: bob.frames and len(ann.frames) == len(again.frames) == 2)
        self.assertEqual((self._sequences(ann), self._sequences(again)), ([2, 3], [2, 3]))
        self.assertEqual(self._sequences(bob), [3])

    @with_hub
    async def test_it_asks_nothing_about_what_concerns_nobody_here(
        self, hub: Hub, market: MemoryMarket
    ) -> None:
        await self._joined(hub, self.ANN)
        for sequence in range(1, 6):
            self._happen(hub, market, sequence, self.BOB)
        await asyncio.sleep(1.3)
        self.assertNotIn("private", market.reads)

    @with_hub
    async def test_it_hears_within_a_second_of_what_it_was_not_told(
        self, hub: Hub, market: MemoryMarket
    ) -> None:
        _, ann = await self._joined(hub, self.ANN)
        self._happen(hub, market, 1, self.ANN, told=False)
        await until(lambda: self._sequences(ann) == [1], timeout_s=1.5)

    @with_hub
    async def test_it_serves_who_joins_while_a_query_runs(self, hub: Hub, market: MemoryMarket) -> None:
        _, ann = await self._joined(hub, self.ANN)
        market.gate.clear()
        self._happen(hub, market, 1, self.ANN)
        await until(lambda: "private" in market.reads)
        _, bob = await self._joined(hub, self.BOB)
        self._happen(hub, market, 2, self.ANN, self.BOB)
        market.gate.set()
        await until(lambda: len(ann.frames) == 2 and bob.frames)
        await asyncio.sleep(0.1)
        self.assertEqual((self._sequences(ann), self._sequences(bob)), ([1, 2], [2]))

    @with_hub
    async def test_it_sends_very_many_events_in_parts(self, hub: Hub, market: MemoryMarket) -> None:
        _, ann = await self._joined(hub, self.ANN)
        with mock.patch.object(private, "CHUNK", 3):
            for sequence in range(1, 11):
                self._happen(hub, market, sequence, self.ANN)
            await until(lambda: len(ann.frames) >= 10)
        self.assertEqual(self._sequences(ann), list(range(1, 11)))

    @with_hub
    async def test_it_resumes_and_goes_on_live(self, hub: Hub, market: MemoryMarket) -> None:
        for sequence in range(1, 6):
            self._happen(hub, market, sequence, self.ANN)
        socket, ann = await self._joined(hub, self.ANN)
        _, other = await self._joined(hub, self.ANN)
        market.gate.clear()
        resume = asyncio.ensure_future(catch_up(hub.private.streams["ACME"], socket, 2))
        await until(lambda: "private" in market.reads)
        self._happen(hub, market, 6, self.ANN)
        await asyncio.sleep(0.05)
        market.gate.set()
        await resume
        self._happen(hub, market, 7, self.ANN)
        await until(lambda: len(other.frames) == 2 and len(ann.frames) >= 5)
        self.assertEqual(self._sequences(ann), [3, 4, 5, 6, 7])

    @with_hub
    async def test_it_repeats_nothing_and_rewinds_when_asked_to(self, hub: Hub, market: MemoryMarket) -> None:
        self._happen(hub, market, 1, self.ANN)
        socket, ann = await self._joined(hub, self.ANN)
        self._happen(hub, market, 2, self.ANN)
        self._happen(hub, market, 3, self.ANN)
        await until(lambda: len(ann.frames) == 2)
        for since in (1, 2, 3):
            await catch_up(hub.private.streams["ACME"], socket, since)
        self.assertEqual(self._sequences(ann), [2, 3])
        await catch_up(hub.private.streams["ACME"], socket, 1, rewind=True)
        self.assertEqual(self._sequences(ann), [2, 3, 2, 3])

    @with_hub
    async def test_it_does_not_repeat_what_a_client_knows_from_elsewhere(
        self, hub: Hub, market: MemoryMarket
    ) -> None:
        socket, ann = await self._joined(hub, self.ANN)
        for sequence in range(1, 5):
            self._happen(hub, market, sequence, self.ANN, told=False)
        await catch_up(hub.private.streams["ACME"], socket, 3)
        await until(lambda: ann.frames)
        self._happen(hub, market, 5, self.ANN)
        await until(lambda: 5 in self._sequences(ann))
        self.assertEqual(self._sequences(ann), [4, 5])

    @with_hub
    async def test_it_closes_a_reader_that_is_too_slow(self, hub: Hub, market: MemoryMarket) -> None:
        _, ann = await self._joined(hub, self.ANN)
        ann.backlog = sockets.MAX_BYTES + 1
        self._happen(hub, market, 1, self.ANN)
        await until(lambda: ann.close_code == 4008)

    @with_hub
    async def test_it_forgets_who_left(self, hub: Hub, market: MemoryMarket) -> None:
        socket, ann = await self._joined(hub, self.ANN)
        hub.leave(socket)
        self._happen(hub, market, 1, self.ANN)
        await asyncio.sleep(0.05)
        self.assertEqual((ann.frames, hub.private.users_by_socket), ([], {}))
