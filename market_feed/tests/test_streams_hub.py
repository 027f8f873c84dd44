import asyncio
from unittest import mock

from django.db import OperationalError
from django.test import SimpleTestCase

from market_feed.streams import books, private, sockets, trades
from market_feed.streams import hub as hub_module
from market_feed.streams.catchup import catch_up
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
from trade.signals import ChangedOrder


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


class BookStreamTests(SimpleTestCase):
    @with_hub
    async def test_it_sends_a_snapshot_at_once_and_once_a_second(
        self, hub: Hub, market: MemoryMarket
    ) -> None:
        market.commit(batch([4], previous=0, levels=book(9, 8, 7, 6, 5, 4)))
        sink = RecordingSink()
        await hub.books.join(Socket(sink), ["ACME"], 5)
        (first,) = sink.messages()
        self.assertEqual(
            {name: first[name] for name in ("type", "stock_id", "sequence", "asks")},
            {"type": "orderbook", "stock_id": "ACME", "sequence": 4, "asks": []},
        )
        self.assertEqual(
            first["bids"], [{"price": float(price), "quantity": 10} for price in (9, 8, 7, 6, 5)]
        )
        self.assertRegex(first["timestamp"], r"^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d(\.\d+)?Z$")
        await until(lambda: len(sink.frames) == 3, timeout_s=2.2)

    @with_hub
    async def test_it_conflates_to_ten_a_second(self, hub: Hub, market: MemoryMarket) -> None:
        sink = RecordingSink()
        await hub.books.join(Socket(sink), ["ACME"], 5)
        for sequence in range(1, 61):
            hub.hand_over(market.commit(batch([sequence], previous=sequence - 1, levels=book(sequence))))
            await asyncio.sleep(0.01)
        await until(lambda: sink.messages()[-1]["sequence"] == 60)
        self.assertGreaterEqual(len(sink.frames), 5)
        self.assertLessEqual(len(sink.frames), 10)

    @with_hub
    async def test_it_says_nothing_about_batches_that_leave_the_book_alone(
        self, hub: Hub, market: MemoryMarket
    ) -> None:
        market.commit(batch([1], previous=0, levels=book(5)))
        sink = RecordingSink()
        await hub.books.join(Socket(sink), ["ACME"], 5)
        for sequence in range(2, 6):
            hub.hand_over(market.commit(batch([sequence], previous=sequence - 1, levels=book(5))))
            await asyncio.sleep(0.1)
        self.assertEqual(len(sink.frames), 1)

    @with_hub
    async def test_it_ignores_a_book_older_than_the_one_it_has(self, hub: Hub, market: MemoryMarket) -> None:
        sink = RecordingSink()
        await hub.books.join(Socket(sink), ["ACME"], 5)
        old = market.commit(batch([1], previous=0, levels=book(1)))
        hub.hand_over(market.commit(batch([2], previous=1, levels=book(2))))
        hub.hand_over(old)
        await until(lambda: len(sink.frames) == 2)
        self.assertEqual(sink.messages()[-1]["sequence"], 2)

    @with_hub
    async def test_it_reads_the_book_when_news_of_it_was_lost(self, hub: Hub, market: MemoryMarket) -> None:
        sink = RecordingSink()
        await hub.books.join(Socket(sink), ["ACME"], 5)
        market.commit(batch([7], previous=0, levels=book(3)))
        await until(lambda: sink.messages()[-1]["sequence"] == 7, timeout_s=1.5)

    @with_hub
    async def test_it_serves_more_levels_than_a_batch_brings_from_the_database(
        self, hub: Hub, market: MemoryMarket
    ) -> None:
        deep, shallow = RecordingSink(), RecordingSink()
        await hub.books.join(Socket(deep), ["ACME"], 100)
        await hub.books.join(Socket(shallow), ["ACME"], 5)
        whole = book(*range(150, 0, -1))
        market.commit(batch([1], previous=0, levels=whole))
        hub.hand_over(batch([1], previous=0, levels=book(*range(150, 130, -1))))
        await until(lambda: deep.messages()[-1]["sequence"] == 1 and shallow.messages()[-1]["sequence"] == 1)
        self.assertEqual(len(deep.messages()[-1]["bids"]), 100)
        self.assertEqual(len(shallow.messages()[-1]["bids"]), 5)

    @with_hub
    async def test_it_needs_no_query_where_a_batch_brings_the_whole_book(
        self, hub: Hub, market: MemoryMarket
    ) -> None:
        sink = RecordingSink()
        await hub.books.join(Socket(sink), ["ACME"], 500)
        before = market.reads.count("book")
        hub.hand_over(market.commit(batch([1], previous=0, levels=book(2, 1))))
        await until(lambda: sink.messages()[-1]["sequence"] == 1)
        self.assertEqual(market.reads.count("book"), before)

    @with_hub
    async def test_it_shows_a_new_stock_to_who_listens_to_all(self, hub: Hub, market: MemoryMarket) -> None:
        sink = RecordingSink()
        await hub.books.join(Socket(sink), None, 5)
        market.list_stock("CHIP")
        hub.hand_over(market.commit(batch([1], previous=0, stock_id="CHIP", levels=book(3))))
        await until(lambda: [one for one in sink.messages() if one["stock_id"] == "CHIP" and one["bids"]])

    @with_hub
    async def test_it_asks_once_for_clients_who_join_together(self, hub: Hub, market: MemoryMarket) -> None:
        market.commit(batch([1], previous=0, levels=book(*range(300, 0, -1))))
        depths = [5, 5, 5, 200, 200, 5]
        sinks = [RecordingSink() for _ in depths]
        joins = zip(sinks, depths, strict=True)
        await asyncio.gather(*(hub.books.join(Socket(sink), ["ACME"], depth) for sink, depth in joins))
        self.assertEqual([len(sink.messages()[0]["bids"]) for sink in sinks], depths)
        self.assertEqual(market.reads.count("book"), 2)


class PriceStreamTests(SimpleTestCase):
    @with_hub
    async def test_it_sends_all_prices_at_once_and_then_those_that_change(
        self, hub: Hub, market: MemoryMarket
    ) -> None:
        market.commit(batch([1], previous=0, last_price=10_000))
        sink = RecordingSink()
        await hub.prices.join(Socket(sink))
        for sequence, price in ((2, 11_000), (3, 12_345)):
            hub.hand_over(market.commit(batch([sequence], previous=sequence - 1, last_price=price)))
        await until(lambda: len(sink.frames) == 2)
        self.assertEqual(
            [message["prices"] for message in sink.messages("prices")],
            [
                [{"stock_id": "ACME", "sequence": 1, "price": 1.0}],
                [{"stock_id": "ACME", "sequence": 3, "price": 1.2345}],
            ],
        )

    @with_hub
    async def test_it_makes_up_for_what_a_busy_reader_missed(self, hub: Hub, market: MemoryMarket) -> None:
        sink, other = RecordingSink(), RecordingSink()
        await hub.prices.join(Socket(sink))
        await hub.prices.join(Socket(other))
        sink.backlog = sockets.SLOW_BYTES + 1
        hub.hand_over(market.commit(batch([1], previous=0, last_price=10_000)))
        await until(lambda: len(other.frames) == 2)
        sink.backlog = 0
        hub.hand_over(market.commit(batch([1], previous=0, stock_id="BOLT", last_price=20_000)))
        await until(lambda: len(sink.frames) == 2)
        self.assertEqual({one["stock_id"] for one in sink.messages()[-1]["prices"]}, {"ACME", "BOLT"})


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
        await catch_up(hub.trades.streams["ACME"], socket, 1)
        self.assertEqual(sink.sequences(), [1, 2, 3, 2, 3])

    @with_hub
    async def test_it_has_nothing_to_send_to_who_is_ahead(self, hub: Hub, market: MemoryMarket) -> None:
        market.commit(batch([1, 2], previous=0))
        socket, sink = await self._joined(hub)
        await catch_up(hub.trades.streams["ACME"], socket, 99)
        self._publish(hub, market, 3, previous=2)
        await until(lambda: sink.sequences() == [3])

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
