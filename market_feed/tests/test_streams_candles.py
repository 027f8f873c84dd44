"""The stream of candles: the current one, then what changed; none is lost to a busy reader or to lost news."""

from datetime import datetime, timedelta
from typing import Any
from unittest import mock

from django.db import OperationalError
from django.test import SimpleTestCase

from market_feed.streams import candles
from market_feed.streams.hub import Hub
from market_feed.streams.sockets import SLOW_BYTES, TOO_SLOW, Socket
from market_feed.tests.streams_base import NOON, MemoryMarket, RecordingSink, batch, tick, until, with_hub
from market_feed.tests.streams_case import StreamTestCase
from trade.selectors.candles import CandleRow
from trade.tests.base import NOON as TICKS_BEGIN

MINUTE = timedelta(minutes=1)
START = NOON.replace(microsecond=0)


def candle(minute: int, close: int = 200_000) -> CandleRow:
    return CandleRow(START + minute * MINUTE, close, close, close, close, 0, 1)


def minutes(message: dict[str, Any]) -> list[int]:
    """The minutes after START of the candles of a message."""
    starts = [datetime.fromisoformat(one["time"]) for one in message["candles"]]
    return [(start - START) // MINUTE for start in starts]


@mock.patch.object(candles, "MIN_INTERVAL_S", 0.01)
class CandleDeskTests(SimpleTestCase):
    async def join(self, hub: Hub, *stock_ids: str, interval: str = "1m") -> tuple[Socket, RecordingSink]:
        sink = RecordingSink()
        socket = Socket(sink)
        await hub.candles.join(socket, stock_ids or None, [interval])
        return socket, sink

    def happen(
        self, hub: Hub, market: MemoryMarket, sequence: int, minute: int, *now: CandleRow, heard: bool = True
    ) -> None:
        """A tick that left these candles behind, with or without news of it."""
        one = tick(sequence, timestamp=START + minute * MINUTE)
        market.commit(done := batch([], previous=0, end=sequence, ticks=[one], previous_tick=sequence - 1))
        kept = {old.start: old for old in market.stored_candles.get("ACME", [])}
        market.stored_candles["ACME"] = list((kept | {new.start: new for new in now}).values())
        if heard:
            hub.hand_over(done)

    @with_hub
    async def test_it_sends_the_current_one_and_then_what_closed_and_what_opened(
        self, hub: Hub, market: MemoryMarket
    ) -> None:
        self.happen(hub, market, 1, 0, candle(0))
        _, sink = await self.join(hub, "ACME")
        self.happen(hub, market, 2, 0, candle(0, 210_000))
        self.happen(hub, market, 3, 1, candle(1))
        await until(lambda: len(sink.frames) == 2)
        first, second = sink.messages("candles")
        self.assertEqual((first["stock_id"], first["interval"], first["sequence"]), ("ACME", "1m", 1))
        self.assertEqual((minutes(first), minutes(second), second["sequence"]), ([0], [0, 1], 3))
        self.assertEqual(
            second["candles"][0],
            {"time": "2026-01-05T12:00:00Z", "open": 21.0, "high": 21.0, "low": 21.0, "close": 21.0}
            | {"volume": 0, "ticks": 1},
        )

    @with_hub
    async def test_it_sends_an_older_candle_that_a_late_tick_corrected(
        self, hub: Hub, market: MemoryMarket
    ) -> None:
        for sequence in range(1, 6):
            self.happen(hub, market, sequence, sequence, candle(sequence), heard=False)
        _, sink = await self.join(hub, "ACME")
        with mock.patch.object(candles, "MAX_CORRECTED", 1):
            for sequence, minute in [(6, 1), (7, 3)]:
                self.happen(hub, market, sequence, minute, candle(minute, 300_000))
            await until(lambda: len(sink.frames) == 3)
        self.assertEqual([minutes(message) for message in sink.messages()], [[5], [3, 5], [1, 5]])

    @with_hub
    async def test_it_notices_within_a_second_what_it_never_heard_of(
        self, hub: Hub, market: MemoryMarket
    ) -> None:
        _, sink = await self.join(hub, "ACME")
        self.happen(hub, market, 1, 0, candle(0), heard=False)
        await hub.refresh()
        await until(lambda: len(sink.frames) == 2)
        self.assertEqual([minutes(message) for message in sink.messages()], [[], [0]])
        await hub.refresh()
        self.happen(hub, market, 2, 1, candle(1))
        await until(lambda: len(sink.frames) == 3)
        self.assertEqual(minutes(sink.messages()[-1]), [0, 1])

    @with_hub
    async def test_it_gives_a_busy_reader_all_it_missed_once_it_reads_again(
        self, hub: Hub, market: MemoryMarket
    ) -> None:
        _, busy = await self.join(hub, "ACME")
        _, quick = await self.join(hub, "ACME")
        busy.backlog = SLOW_BYTES + 1
        for sequence in (1, 2, 3):
            self.happen(hub, market, sequence, sequence, candle(sequence), candle(sequence - 1, 220_000))
            await until(lambda sequence=sequence: len(quick.frames) == sequence + 1)
        self.assertEqual(len(busy.frames), 1)
        busy.backlog = 0
        await until(lambda: len(busy.frames) == 2)
        self.assertEqual(minutes(busy.messages()[-1]), [0, 1, 2, 3])
        self.assertEqual([one["close"] for one in busy.messages()[-1]["candles"]], [22.0, 22.0, 22.0, 20.0])
        self.assertEqual(len(quick.frames), 4)

    @with_hub
    async def test_it_closes_who_missed_too_much(self, hub: Hub, market: MemoryMarket) -> None:
        _, busy = await self.join(hub, "ACME")
        busy.backlog = SLOW_BYTES + 1
        with mock.patch.object(candles, "MAX_MISSED", 1):
            self.happen(hub, market, 1, 1, candle(1), candle(0))
            await until(lambda: busy.close_code is not None)
        self.assertEqual(busy.close_code, TOO_SLOW)

    @with_hub
    async def test_it_tries_again_what_could_not_be_read(self, hub: Hub, market: MemoryMarket) -> None:
        _, sink = await self.join(hub, "ACME")
        market.failure = OperationalError("gone")
        with self.assertLogs("market_feed.streams.hub", "WARNING"):
            self.happen(hub, market, 1, 0, candle(0))
            await until(lambda: "candles" in market.reads[2:])
            await until(lambda: hub.candles._writing is None)
        market.failure = None
        await hub.refresh()
        await until(lambda: len(sink.frames) == 2)

    @with_hub
    async def test_it_reads_nothing_that_nobody_listens_to(self, hub: Hub, market: MemoryMarket) -> None:
        socket, _ = await self.join(hub, "ACME")
        hub.leave(socket)
        self.happen(hub, market, 1, 0, candle(0))
        await hub.refresh()
        self.assertIsNone(hub.candles._writing)
        self.assertEqual(market.reads.count("candles"), 1)

    @with_hub
    async def test_it_sends_those_of_a_stock_that_is_listed_later(
        self, hub: Hub, market: MemoryMarket
    ) -> None:
        _, sink = await self.join(hub)
        market.list_stock("COIL")
        market.stored_candles["COIL"] = [candle(0)]
        hub.hand_over(market.commit(batch([], previous=0, end=1, stock_id="COIL", ticks=[tick(1)])))
        await until(lambda: len(sink.frames) == 3)
        self.assertEqual(sink.messages()[-1]["stock_id"], "COIL")


class CandlesOverWebSocket(StreamTestCase):
    async def test_it_sends_what_rest_answers(self) -> None:
        await self.tick("20", 7)
        path = "/ws/candles/?interval=1s&interval=1d&stock_id=ACME"
        async with self.connected(path) as client:
            seen = {(await client.next())["interval"]: 1 for _ in range(2)}
            self.assertEqual(set(seen), {"1s", "1d"})
            await self.tick("22", 7, at=TICKS_BEGIN + timedelta(milliseconds=1))
            for _ in range(2):
                message = await client.next()
                (one,) = message["candles"]
                self.assertEqual((one["open"], one["close"], one["ticks"]), (20.0, 22.0, 2))
                self.assertEqual((message["stock_id"], message["sequence"]), ("ACME", 2))

    async def test_it_sends_minutes_of_every_stock_when_nothing_is_named(self) -> None:
        async with self.connected("/ws/candles") as client:
            first = [await client.next() for _ in range(2)]
            self.assertEqual({message["stock_id"] for message in first}, {"ACME", "BOLT"})
            self.assertEqual(
                [(message["interval"], message["candles"]) for message in first], [("1m", [])] * 2
            )
            await self.trade(quantity=3, stock_id="BOLT")
            message = await client.next()
            self.assertEqual((message["stock_id"], message["candles"][0]["volume"]), ("BOLT", 3))

    async def test_it_refuses_an_interval_that_there_is_not(self) -> None:
        for interval in ("2m", "", "60"):
            with self.subTest(interval=interval):
                async with self.connected(f"/ws/candles/?interval={interval}") as client:
                    self.assertEqual((await client.next())["code"], "invalid")
                    self.assertEqual(await client.next_close(), 4000)
