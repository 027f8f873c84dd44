import asyncio
from dataclasses import replace
from functools import partial
from random import Random
from typing import Any
from zlib import crc32

from django.test import SimpleTestCase

from market_feed.streams import sockets
from market_feed.streams.book_groups import BookGroups, book_checksum, changed_levels
from market_feed.streams.books import Book
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
from trade.engine.batch import SNAPSHOT_DEPTH
from trade.signals import BookLevel, BookSnapshot, CommittedBatch

Levels = dict[float, int]


class Rebuilt:
    """A client's book, made of the messages alone. AssertionError when they do not chain."""

    def __init__(self) -> None:
        self.sequence = -1
        self.bids: Levels = {}
        self.asks: Levels = {}
        self.snapshots = 0
        self._read = 0

    def take(self, sink: RecordingSink) -> list[tuple[int, Levels, Levels]]:
        """Apply what has come since the last call; the book after each message."""
        messages = sink.messages()[self._read :]
        self._read += len(messages)
        return [self._apply(message) for message in messages]

    def has_come_to(self, sequence: int, sink: RecordingSink) -> bool:
        self.take(sink)
        return self.sequence == sequence

    def _apply(self, message: dict[str, Any]) -> tuple[int, Levels, Levels]:
        if message["type"] == "orderbook":
            self.snapshots += 1
            self.bids.clear()
            self.asks.clear()
            self.sequence = message["sequence"]
        else:
            assert message["first_sequence"] == self.sequence + 1, "a gap"
            assert message["last_sequence"] >= self.sequence
            self.sequence = message["last_sequence"]
        for side, levels in ((self.bids, message["bids"]), (self.asks, message["asks"])):
            for level in levels:
                if level["quantity"]:
                    side[level["price"]] = level["quantity"]
                else:
                    del side[level["price"]]
        return self.sequence, dict(self.bids), dict(self.asks)


class ScriptedMarket:
    """Commits random books to a market, remembers each, and tells the hub of some of them."""

    def __init__(self, hub: Hub, market: MemoryMarket, rng: Random) -> None:
        self._hub = hub
        self._market = market
        self._rng = rng
        self._sides = [self._levels(range(70, 30, -1)), self._levels(range(71, 110))]
        self._untold: list[CommittedBatch] = []
        self.books: dict[int, Book] = {0: Book(0, (), (), 500)}

    def _levels(self, prices: Any) -> dict[int, int]:
        return {price * 10_000: self._rng.randint(1, 9) for price in prices}

    def commit(self) -> None:
        for levels in self._sides:
            price = self._rng.choice([*levels, self._rng.randint(1, 200) * 10_000])
            levels[price] = self._rng.randint(0, 9)
            if not levels[price]:
                del levels[price]
        snapshot = BookSnapshot(
            *(
                tuple(BookLevel(price, levels[price], 1) for price in sorted(levels, reverse=is_bids))
                for levels, is_bids in zip(self._sides, (True, False), strict=True)
            )
        )
        sequence = max(self.books) + self._rng.randint(1, 3)
        whole = self._market.commit(batch([sequence], previous=max(self.books), levels=snapshot))
        self.books[sequence] = self._market.books["ACME"]
        cut = BookSnapshot(snapshot.bids[:SNAPSHOT_DEPTH], snapshot.asks[:SNAPSHOT_DEPTH])
        self._untold.append(replace(whole, book=cut))

    def tell(self) -> None:
        """Bring some of the news: late, out of order, twice, or never."""
        self._rng.shuffle(self._untold)
        for one in self._untold[: self._rng.randint(0, 3)]:
            for _ in range(self._rng.randint(1, 2)):
                self._hub.hand_over(one)
        del self._untold[: self._rng.randint(0, 2)]


class DeltaTests(SimpleTestCase):
    async def join(self, hub: Hub, depth: int) -> tuple[Socket, RecordingSink]:
        sink = RecordingSink()
        socket = Socket(sink)
        await hub.books.join(socket, ["ACME"], depth, "delta")
        return socket, sink

    def assert_is_the_markets(self, market: ScriptedMarket, client: Any, depth: int) -> None:
        sequence, bids, asks = client
        stored = market.books[sequence]
        for levels, expected in ((bids, stored.bids), (asks, stored.asks)):
            wanted = {level.price / 10_000: level.quantity for level in expected[:depth]}
            self.assertEqual(levels, wanted, f"at {sequence}, depth {depth}")

    @with_hub
    async def test_every_message_leads_to_the_book_at_its_sequence(
        self, hub: Hub, market: MemoryMarket
    ) -> None:
        seed = Random().randrange(10**6)
        script = ScriptedMarket(hub, market, Random(seed))
        clients = []
        with self.subTest(seed=seed):
            for number in range(240):
                script.commit()
                script.tell()
                if number % 20 == 0:
                    depth = (1, 5, 20, 25, 500)[len(clients) % 5]
                    _, sink = await self.join(hub, depth)
                    clients.append((depth, sink, Rebuilt()))
                if number == 100:
                    clients[0][1].backlog = sockets.SLOW_BYTES + 1
                elif number == 150:
                    clients[0][1].backlog = 0
                await asyncio.sleep(0.008)
                for depth, sink, rebuilt in clients:
                    for client in rebuilt.take(sink):
                        self.assert_is_the_markets(script, client, depth)
            last = max(script.books)
            for depth, sink, rebuilt in clients:
                await until(partial(rebuilt.has_come_to, last, sink))
                self.assert_is_the_markets(script, (rebuilt.sequence, rebuilt.bids, rebuilt.asks), depth)
        self.assertEqual([rebuilt.snapshots for _, _, rebuilt in clients], [2] + [1] * 11)

    @with_hub
    async def test_it_sends_a_snapshot_and_then_what_changed(self, hub: Hub, market: MemoryMarket) -> None:
        market.commit(batch([4], previous=0, levels=book(9, 8, 7)))
        _, sink = await self.join(hub, 2)
        hub.hand_over(market.commit(batch([6], previous=4, levels=book(9, 7))))
        await until(lambda: len(sink.frames) == 2)
        first, second = sink.messages()
        self.assertEqual((first["type"], first["sequence"]), ("orderbook", 4))
        self.assertEqual(
            list(second),
            ["type", "stock_id", "first_sequence", "last_sequence", "timestamp", "bids", "asks", "checksum"],
        )
        self.assertEqual((second["type"], second["stock_id"]), ("orderbook_changes", "ACME"))
        self.assertEqual((second["first_sequence"], second["last_sequence"]), (5, 6))
        self.assertEqual(second["bids"], [{"price": 7.0, "quantity": 10}, {"price": 8.0, "quantity": 0}])
        self.assertEqual(second["asks"], [])
        self.assertEqual(
            (first["checksum"], second["checksum"]),
            (crc32(b"90000:10,80000:10|"), crc32(b"90000:10,70000:10|")),
        )

    @with_hub
    async def test_it_sends_a_checksum_every_second_when_nothing_happens(
        self, hub: Hub, market: MemoryMarket
    ) -> None:
        market.commit(batch([4], previous=0, levels=book(9)))
        _, sink = await self.join(hub, 5)
        await until(lambda: len(sink.messages("orderbook_changes")) == 2, timeout_s=2.2)
        for message in sink.messages("orderbook_changes"):
            self.assertEqual((message["first_sequence"], message["last_sequence"]), (5, 4))
            self.assertEqual((message["bids"], message["asks"]), ([], []))
            self.assertEqual(message["checksum"], crc32(b"90000:10|"))

    @with_hub
    async def test_it_encodes_once_for_all_who_listen_alike(self, hub: Hub, market: MemoryMarket) -> None:
        market.commit(batch([1], previous=0, levels=book(9)))
        sinks = [(await self.join(hub, 5))[1] for _ in range(3)]
        hub.hand_over(market.commit(batch([2], previous=1, levels=book(8))))
        await until(lambda: all(len(sink.frames) == 2 for sink in sinks))
        self.assertEqual(len({id(sink.frames[1]) for sink in sinks}), 1)

    @with_hub
    async def test_it_sends_a_snapshot_to_who_was_too_busy(self, hub: Hub, market: MemoryMarket) -> None:
        market.commit(batch([1], previous=0, levels=book(9)))
        (_, lazy), (_, quick) = await self.join(hub, 5), await self.join(hub, 5)
        lazy.backlog = sockets.SLOW_BYTES + 1
        hub.hand_over(market.commit(batch([2], previous=1, levels=book(8))))
        await until(lambda: len(quick.frames) == 2)
        lazy.backlog = 0
        hub.hand_over(market.commit(batch([3], previous=2, levels=book(7))))
        await until(lambda: len(quick.frames) == 3 and len(lazy.frames) == 2)
        self.assertEqual([message["type"] for message in lazy.messages()], ["orderbook"] * 2)
        self.assertEqual(lazy.messages()[-1]["bids"], [{"price": 7.0, "quantity": 10}])
        hub.hand_over(market.commit(batch([4], previous=3, levels=book(6))))
        await until(lambda: len(lazy.frames) == 3)
        self.assertEqual(lazy.messages()[-1]["first_sequence"], 4)

    @with_hub
    async def test_it_shows_a_new_stock_to_who_listens_to_all(self, hub: Hub, market: MemoryMarket) -> None:
        sink = RecordingSink()
        await hub.books.join(Socket(sink), None, 5, "delta")
        market.list_stock("CHIP")
        hub.hand_over(market.commit(batch([1], previous=0, stock_id="CHIP", levels=book(3))))
        await until(lambda: [one for one in sink.messages() if one["stock_id"] == "CHIP"])
        (first, *_) = [one for one in sink.messages() if one["stock_id"] == "CHIP"]
        self.assertEqual((first["type"], first["sequence"]), ("orderbook", 1))

    @with_hub
    async def test_it_forgets_who_left(self, hub: Hub, market: MemoryMarket) -> None:
        socket, sink = await self.join(hub, 5)
        sink.backlog = sockets.SLOW_BYTES + 1
        hub.hand_over(market.commit(batch([1], previous=0, levels=book(3))))
        await asyncio.sleep(0.15)
        hub.leave(socket)
        self.assertEqual(len(hub.books.streams["ACME"].groups), 0)


class BookTests(SimpleTestCase):
    def levels(self, *prices: int) -> tuple[BookLevel, ...]:
        return tuple(BookLevel(price, 10, 1) for price in prices)

    def test_it_is_the_same_as_far_as_both_are_known(self) -> None:
        one, other = Book(1, self.levels(9, 8, 7), (), 500), Book(2, self.levels(9, 8, 6), (), 500)
        self.assertTrue(one.is_same(other, 2))
        self.assertFalse(one.is_same(other, 3))
        cut = Book(2, self.levels(9, 8), (), 2)
        self.assertTrue(one.is_same(cut, 2))
        # Whatever lies deeper may have changed.
        self.assertFalse(one.is_same(cut, 3))
        self.assertFalse(cut.is_same(one, 3))

    def test_no_group_goes_back_to_an_older_book(self) -> None:
        for mode in BookGroups.MODES:
            with self.subTest(mode=mode):
                groups, sink = BookGroups("ACME"), RecordingSink()
                groups.add(Socket(sink, clock=lambda: 0.0), mode, 5, Book(1, (), (), 500))
                written = [groups.write(Book(sequence, (), (), 500)) for sequence in (3, 2, 3, 4)]
                self.assertEqual(written, [1, 0, 1, 1])


class ChangedLevelsTests(SimpleTestCase):
    def test_it_says_what_is_new_what_is_other_and_what_is_gone(self) -> None:
        old = [BookLevel(5, 10, 1), BookLevel(4, 20, 1), BookLevel(3, 30, 1)]
        new = [BookLevel(6, 1, 1), BookLevel(5, 10, 2), BookLevel(4, 21, 1)]
        self.assertEqual(changed_levels(old, new), [(6, 1), (4, 21), (3, 0)])
        self.assertEqual(changed_levels(old, old), [])
        self.assertEqual(changed_levels([], []), [])

    def test_the_checksum_is_that_of_the_best_ten_levels_as_text(self) -> None:
        bids = tuple(BookLevel(price, 7, 1) for price in range(20, 8, -1))
        asks = (BookLevel(204_000, 10, 3), BookLevel(204_100, 5, 1))
        text = ",".join(f"{price}:7" for price in range(20, 10, -1)) + "|204000:10,204100:5"
        self.assertEqual(book_checksum(Book(1, bids, asks, 500)), crc32(text.encode()))
        self.assertEqual(book_checksum(Book(0, (), (), 5)), crc32(b"|"))
