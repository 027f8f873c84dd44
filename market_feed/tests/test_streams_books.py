import asyncio

from django.test import SimpleTestCase

from market_feed.streams import sockets
from market_feed.streams.hub import Hub
from market_feed.streams.sockets import Socket
from market_feed.tests.streams_base import (
    MemoryMarket,
    RecordingSink,
    batch,
    book,
    until,
    with_hub,
)


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
