import asyncio
from unittest import mock

from django.db import OperationalError
from django.test import SimpleTestCase

from market_feed.streams import books, sockets, trades
from market_feed.streams import hub as hub_module
from market_feed.streams.hub import Hub, UnknownStock
from market_feed.streams.sockets import Socket
from market_feed.tests.streams_base import (
    MemoryMarket,
    RecordingSink,
    batch,
    book,
    join_trades,
    until,
    with_hub,
)


class TradeStreamTests(SimpleTestCase):
    @with_hub
    async def test_it_sends_trades_as_the_contract_has_them(self, hub: Hub, market: MemoryMarket) -> None:
        sink = await join_trades(hub, "ACME")
        hub.hand_over(market.commit(batch([3], previous=0)))
        await until(sink.frames.__len__)
        self.assertEqual(
            sink.messages(),
            [
                {
                    "type": "trades",
                    "stock_id": "ACME",
                    "trades": [
                        {
                            "trade_id": 1_003,
                            "sequence": 3,
                            "price": 100.5,
                            "quantity": 10,
                            "execution_timestamp": "2026-01-05T12:00:00.250000Z",
                            "bid_order_id": "01234567-89ab-cdef-0123-456789abcdef",
                            "ask_order_id": None,
                        }
                    ],
                }
            ],
        )

    @with_hub
    async def test_it_orders_batches_and_drops_repeats_without_a_query(
        self, hub: Hub, market: MemoryMarket
    ) -> None:
        sink = await join_trades(hub, "ACME")
        first, second = (
            market.commit(batch([1, 2], previous=0)),
            market.commit(batch([5], previous=2)),
        )
        for one in (second, first, second, first):
            hub.hand_over(one)
        await until(lambda: len(sink.sequences()) >= 3)
        await asyncio.sleep(3 * trades.GRACE_S)
        self.assertEqual(sink.sequences(), [1, 2, 5])
        self.assertNotIn("trades", market.reads)

    @with_hub
    async def test_it_reads_what_never_arrived(self, hub: Hub, market: MemoryMarket) -> None:
        sink = await join_trades(hub, "ACME")
        market.commit(batch([1, 2], previous=0))
        hub.hand_over(market.commit(batch([5], previous=2)))
        await until(lambda: sink.sequences() == [1, 2, 5])

    @with_hub
    async def test_it_heals_the_loss_of_the_last_batch_within_a_second(
        self, hub: Hub, market: MemoryMarket
    ) -> None:
        sink = await join_trades(hub, "ACME")
        market.commit(batch([1, 2], previous=0))
        await until(lambda: sink.sequences() == [1, 2], timeout_s=1.5)

    @with_hub
    async def test_it_learns_of_missing_trades_from_a_batch_without_any(
        self, hub: Hub, market: MemoryMarket
    ) -> None:
        sink = await join_trades(hub, "ACME")
        market.commit(batch([1], previous=0))
        with mock.patch.object(hub_module, "COMPARE_INTERVAL_S", 60):
            hub.hand_over(market.commit(batch([], previous=1, end=4)))
            await until(lambda: sink.sequences() == [1])

    @with_hub
    async def test_it_survives_a_database_that_fails(self, hub: Hub, market: MemoryMarket) -> None:
        sink = await join_trades(hub, "ACME")
        market.commit(batch([1], previous=0))
        market.failure = OperationalError("no connection")
        with self.assertLogs("market_feed.streams.hub", "WARNING"):
            hub.hand_over(market.commit(batch([2], previous=1)))
            await until(lambda: "trades" in market.reads)
            await asyncio.sleep(0.02)
        market.failure = None
        await until(lambda: sink.sequences() == [1, 2])

    @with_hub
    async def test_it_starts_where_the_stock_stands(self, hub: Hub, market: MemoryMarket) -> None:
        market.commit(batch([1, 2], previous=0))
        sink = await join_trades(hub, "ACME")
        hub.hand_over(market.commit(batch([4], previous=2)))
        await until(sink.frames.__len__)
        self.assertEqual(sink.sequences(), [4])

    @with_hub
    async def test_it_starts_where_the_stock_stands_after_nobody_listened(
        self, hub: Hub, market: MemoryMarket
    ) -> None:
        first = Socket(RecordingSink())
        await hub.trades.join(first, ["ACME"])
        hub.leave(first)
        market.commit(batch([1, 2], previous=0))
        sink = await join_trades(hub, "ACME")
        hub.hand_over(market.commit(batch([4], previous=2)))
        await until(sink.frames.__len__)
        self.assertEqual(sink.sequences(), [4])

    @with_hub
    async def test_it_sends_only_the_stocks_asked_for(self, hub: Hub, market: MemoryMarket) -> None:
        one, both = await join_trades(hub, "BOLT"), await join_trades(hub)
        hub.hand_over(market.commit(batch([1], previous=0)))
        hub.hand_over(market.commit(batch([7], previous=0, stock_id="BOLT")))
        await until(lambda: len(both.frames) == 2)
        self.assertEqual(one.sequences(), [7])

    @with_hub
    async def test_it_tells_listeners_of_everything_about_a_new_stock(
        self, hub: Hub, market: MemoryMarket
    ) -> None:
        sink = await join_trades(hub)
        market.list_stock("CHIP")
        market.commit(batch([2], previous=0, stock_id="CHIP"))
        hub.hand_over(market.commit(batch([3], previous=2, stock_id="CHIP")))
        await until(lambda: sink.sequences() == [2, 3])

    @with_hub
    async def test_it_finds_a_stock_listed_a_moment_ago(self, hub: Hub, market: MemoryMarket) -> None:
        await join_trades(hub, "ACME")
        with self.assertRaises(UnknownStock):
            await join_trades(hub, "CHIP")
        market.list_stock("CHIP")
        await join_trades(hub, "CHIP")

    @with_hub
    async def test_it_encodes_a_frame_once_for_all_sockets(self, hub: Hub, market: MemoryMarket) -> None:
        sinks = [await join_trades(hub, "ACME") for _ in range(5)]
        hub.hand_over(market.commit(batch([1], previous=0)))
        await until(lambda: all(sink.frames for sink in sinks))
        self.assertEqual(len({id(sink.frames[0]) for sink in sinks}), 1)

    @with_hub
    async def test_it_joins_batches_that_wait_into_one_frame(self, hub: Hub, market: MemoryMarket) -> None:
        sink = await join_trades(hub, "ACME")
        for sequence in range(1, 21):
            hub.hand_over(market.commit(batch([sequence], previous=sequence - 1)))
        await until(lambda: len(sink.sequences()) == 20)
        self.assertEqual(sink.sequences(), list(range(1, 21)))
        self.assertEqual(len(sink.frames), 1)

    @with_hub
    async def test_it_forgets_who_left(self, hub: Hub, market: MemoryMarket) -> None:
        gone, sink = Socket(RecordingSink()), await join_trades(hub)
        await hub.trades.join(gone, None)
        hub.leave(gone)
        hub.hand_over(market.commit(batch([1], previous=0)))
        await until(sink.frames.__len__)
        self.assertEqual(gone.sink.frames, [])
        self.assertNotIn(gone, hub.sockets)


class SlowReaderTests(SimpleTestCase):
    @with_hub
    async def test_it_closes_a_trade_stream_that_is_far_behind_and_no_other(
        self, hub: Hub, market: MemoryMarket
    ) -> None:
        slow, quick = await join_trades(hub, "ACME"), await join_trades(hub, "ACME")
        slow.backlog = sockets.MAX_BYTES + 1
        for sequence in (1, 2, 3):
            hub.hand_over(market.commit(batch([sequence], previous=sequence - 1)))
            await until(lambda sequence=sequence: quick.sequences()[-1:] == [sequence])
        self.assertEqual(slow.close_code, 4008)
        self.assertEqual(slow.frames, [])
        self.assertIsNone(quick.close_code)

    @with_hub
    async def test_it_bears_with_a_reader_that_catches_up(self, hub: Hub, market: MemoryMarket) -> None:
        sink = await join_trades(hub, "ACME")
        for sequence, backlog in ((1, sockets.SLOW_BYTES + 1), (2, 0), (3, sockets.SLOW_BYTES + 1)):
            sink.backlog = backlog
            hub.hand_over(market.commit(batch([sequence], previous=sequence - 1)))
            await until(lambda sequence=sequence: sink.sequences()[-1:] == [sequence])
        self.assertIsNone(sink.close_code)

    def test_it_closes_a_reader_that_does_not_catch_up(self) -> None:
        now, sink = 0.0, RecordingSink()
        socket = Socket(sink, clock=lambda: now)
        sink.backlog = sockets.SLOW_BYTES + 1
        frame = mock.sentinel.frame
        socket.deliver(frame)
        now = sockets.SLOW_SECONDS - 0.1
        socket.deliver(frame)
        self.assertEqual((len(sink.frames), sink.close_code), (2, None))
        now = sockets.SLOW_SECONDS + 0.1
        socket.deliver(frame)
        self.assertEqual((len(sink.frames), sink.close_code), (2, 4008))
        socket.deliver(frame)
        self.assertEqual(len(sink.frames), 2)

    @with_hub
    async def test_it_skips_books_for_a_busy_reader_and_sends_the_newest_later(
        self, hub: Hub, market: MemoryMarket
    ) -> None:
        sink = RecordingSink()
        await hub.books.join(Socket(sink), ["ACME"], 5)
        sink.backlog = sockets.SLOW_BYTES + 1
        for sequence in range(1, 4):
            hub.hand_over(market.commit(batch([sequence], previous=sequence - 1, levels=book(sequence))))
            await asyncio.sleep(books.MIN_INTERVAL_S + 0.02)
        self.assertEqual(len(sink.frames), 1)
        sink.backlog = 0
        await until(lambda: len(sink.frames) == 2)
        self.assertEqual(sink.messages()[-1]["bids"], [{"price": 3.0, "quantity": 10}])
        self.assertIsNone(sink.close_code)
