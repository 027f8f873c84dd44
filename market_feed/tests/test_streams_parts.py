"""Frames, sinks, and the news between processes."""

import asyncio
import threading
from dataclasses import replace
from datetime import UTC, datetime
from functools import partial
from types import SimpleNamespace
from typing import Any
from unittest import mock

import orjson
from channels.layers import InMemoryChannelLayer
from django.test import SimpleTestCase, override_settings

from market_feed.streams import broadcaster as broadcaster_module
from market_feed.streams import news, sockets
from market_feed.streams.broadcaster import Broadcaster, on_batch_committed
from market_feed.streams.frames import TRADES_PER_FRAME, encode, public_trades, trades_frames
from market_feed.streams.hub import Hub, get_hub, hubs
from market_feed.streams.news import decode_batches, encode_batches, message_of
from market_feed.streams.sockets import DaphneSink, QueueSink, Socket, sink_for
from market_feed.tests.streams_base import (
    MemoryMarket,
    RecordingSink,
    batch,
    book,
    join_trades,
    tick,
    until,
    with_hub,
)
from trade.signals import ChangedOrder, batch_committed


class FrameTests(SimpleTestCase):
    def test_it_frames_every_length(self) -> None:
        for length, header in (
            (125, "817d"),
            (126, "817e007e"),
            (65_535, "817effff"),
            (65_536, "817f" + "0" * 11 + "10000"),
        ):
            frame = encode("x" * (length - 2))
            self.assertEqual(len(frame.payload), length)
            self.assertEqual(frame.wire.hex()[: len(header)], header)
            self.assertTrue(frame.wire.endswith(frame.payload))

    def test_it_writes_prices_as_the_exact_decimal(self) -> None:
        for units, text in (
            (1, "0.0001"),
            (10_000_000_000, "1000000.0"),
            (194_020_000, "19402.0"),
            (3_333_333, "333.3333"),
        ):
            self.assertEqual(orjson.dumps(units / 10_000).decode(), text)

    def test_it_splits_very_many_trades(self) -> None:
        many = public_trades(batch(list(range(1, TRADES_PER_FRAME + 2)), previous=0))
        sizes = [len(orjson.loads(frame.payload)["trades"]) for frame in trades_frames("ACME", many)]
        self.assertEqual(sizes, [TRADES_PER_FRAME, 1])


class QueueSinkTests(SimpleTestCase):
    async def test_it_counts_what_the_server_has_not_taken(self) -> None:
        taken: list[dict[str, Any]] = []
        gate = asyncio.Event()

        async def send(event: dict[str, Any]) -> None:
            await gate.wait()
            taken.append(event)

        sink, frame = QueueSink(send), encode({"type": "pong"})
        for _ in range(3):
            sink.write(frame)
        await asyncio.sleep(0)
        self.assertEqual(sink.backlog, 3 * len(frame.wire))
        gate.set()
        await until(lambda: len(taken) == 3)
        self.assertEqual(sink.backlog, 0)
        self.assertEqual(taken[0], {"type": "websocket.send", "text": '{"type":"pong"}'})

    async def test_it_closes_after_what_waits_or_instead_of_it_when_that_is_much(self) -> None:
        for size, expected in (
            (10, ["websocket.send", "websocket.close"]),
            (sockets.SLOW_BYTES, ["websocket.close"]),
        ):
            taken: list[str] = []

            async def send(event: dict[str, Any], taken: list[str] = taken) -> None:
                taken.append(event["type"])

            sink = QueueSink(send)
            sink.write(encode("x" * size))
            sink.close(4008, "")
            await until(lambda taken=taken: "websocket.close" in taken)
            self.assertEqual(taken, expected)

    async def test_it_bears_with_a_server_whose_client_has_gone(self) -> None:
        async def send(event: dict[str, Any]) -> None:
            raise ConnectionError

        sink = QueueSink(send)
        sink.write(encode(1))
        await asyncio.sleep(0.01)
        sink.write(encode(2))
        await asyncio.sleep(0.01)


class FakeTransport:
    """As much of a Twisted TCP connection as the sink uses. `room` is what the kernel takes at once."""

    def __init__(self, room: int) -> None:
        self.room = room
        self.sent = b""
        self.dataBuffer = b""
        self.offset = 0
        self._tempDataLen = 0
        self.queued: list[bytes] = []
        self.connected = True
        self.disconnecting = False
        self.aborted = False

    def writeSomeData(self, data: bytes) -> int | Exception:
        if self.room < 0:
            return ConnectionError()
        self.sent += data[: self.room]
        return min(len(data), self.room)

    def write(self, data: bytes) -> None:
        self.queued.append(data)
        self._tempDataLen += len(data)

    def abortConnection(self) -> None:
        self.aborted = True


class FakeProtocol:
    STATE_OPEN = 3

    def __init__(self, room: int = 1_000_000) -> None:
        self.state = self.STATE_OPEN
        self.transport = FakeTransport(room)
        self.closed_with: dict[str, Any] = {}

    def sendCloseFrame(self, **close: Any) -> None:
        self.closed_with = close


class DaphneSinkTests(SimpleTestCase):
    def test_it_writes_to_the_kernel_at_once(self) -> None:
        protocol, frame = FakeProtocol(), encode({"type": "pong"})
        DaphneSink(protocol).write(frame)
        self.assertEqual((protocol.transport.sent, protocol.transport.queued), (frame.wire, []))

    def test_it_queues_what_the_kernel_does_not_take_and_everything_after_it(self) -> None:
        protocol, frame = FakeProtocol(room=5), encode({"type": "pong"})
        sink = DaphneSink(protocol)
        sink.write(frame)
        sink.write(frame)
        transport = protocol.transport
        self.assertEqual(transport.sent + b"".join(transport.queued), 2 * frame.wire)
        self.assertEqual(sink.backlog, 2 * len(frame.wire) - 5)

    def test_it_writes_nothing_to_a_connection_that_ends(self) -> None:
        for change in (
            lambda protocol: setattr(protocol, "state", 2),
            lambda protocol: setattr(protocol.transport, "connected", False),
            lambda protocol: setattr(protocol.transport, "disconnecting", True),
        ):
            protocol = FakeProtocol()
            change(protocol)
            DaphneSink(protocol).write(encode(1))
            self.assertEqual((protocol.transport.sent, protocol.transport.queued), (b"", []))

    def test_it_gives_up_a_connection_that_is_lost(self) -> None:
        protocol = FakeProtocol(room=-1)
        DaphneSink(protocol).write(encode(1))
        self.assertTrue(protocol.transport.aborted)

    def test_it_closes_with_a_reason_that_fits(self) -> None:
        protocol = FakeProtocol()
        DaphneSink(protocol).close(4004, "ü" * 100)
        self.assertEqual(protocol.closed_with["code"], 4004)
        self.assertLessEqual(len(protocol.closed_with["reasonUtf8"]), 123)
        protocol.closed_with["reasonUtf8"].decode()

    def test_it_is_used_for_plain_daphne_only(self) -> None:
        async def send(event: dict[str, Any]) -> None: ...

        self.assertIsInstance(sink_for(send), QueueSink)
        self.assertIsInstance(sink_for(partial(send, SimpleNamespace())), QueueSink)


class SocketTests(SimpleTestCase):
    def test_it_holds_frames_until_it_is_open(self) -> None:
        socket, sink = Socket(clock=lambda: 0.0), RecordingSink()
        first, second = encode(1), encode(2)
        socket.deliver(first)
        self.assertTrue(socket.offer(second))
        socket.open(sink)
        socket.deliver(first)
        self.assertEqual(sink.frames, [first, second, first])

    def test_it_closes_what_was_closed_before_it_was_open(self) -> None:
        socket, sink = Socket(clock=lambda: 0.0), RecordingSink()
        socket.close(4001)
        socket.deliver(encode(1))
        socket.open(sink)
        self.assertEqual((sink.close_code, sink.frames), (4001, []))


class NewsTests(SimpleTestCase):
    def test_it_arrives_as_it_was_sent(self) -> None:
        order = ChangedOrder("0123456789abcdef0123456789abcdef", 1, "FILLED", 0, 10, 3)
        sent = [
            batch([2, 3], previous=1, levels=book(5, 4), orders=(order,)),
            batch([], previous=3, end=9, last_price=None),
            batch([], previous=3, end=9, ticks=[tick(8), tick(9)], previous_tick=4),
            replace(batch([4], previous=3), committed_at=datetime(2026, 1, 5, tzinfo=UTC)),
        ]
        self.assertEqual(decode_batches(encode_batches(sent)), sent)

    def test_it_leaves_very_many_trades_and_ticks_to_be_read(self) -> None:
        sequences = range(1, news.MAX_EVENTS + 2)
        sent = [batch([*sequences], previous=0), batch([], previous=0, ticks=[tick(n) for n in sequences])]
        many_trades, many_ticks = decode_batches(encode_batches(sent))
        self.assertEqual(many_trades, replace(sent[0], trades=()))
        self.assertEqual(many_ticks, replace(sent[1], ticks=()))
        self.assertEqual(many_trades.trade_sequence, many_ticks.tick_sequence)

    @with_hub
    async def test_it_is_not_taken_twice_by_the_process_that_sent_it(
        self, hub: Hub, market: MemoryMarket
    ) -> None:
        sink = await join_trades(hub, "ACME")
        message = message_of([market.commit(batch([1], previous=0))])
        hub._take_message(message)
        await asyncio.sleep(0.05)
        self.assertEqual(sink.frames, [])
        hub._take_message({**message, "from": "another"})
        await until(sink.frames.__len__)

    @with_hub
    async def test_it_is_dropped_when_it_cannot_be_read(self, hub: Hub, market: MemoryMarket) -> None:
        for body in (b"", b"[1]", b"[{}]", b'[{"book": {"bids": [], "asks": []}}]', None):
            with self.assertLogs("market_feed.streams.hub", "WARNING"):
                hub._take_message({"from": "another", "batches": body})
        with self.assertLogs("market_feed.streams.hub", "WARNING"):
            hub._take_message({})


class FakeLayer:
    """A channel layer that crosses processes, or fails to."""

    def __init__(self) -> None:
        self.sent: list[dict[str, Any]] = []
        self.failures = 0
        self.gate = threading.Event()
        self.gate.set()

    async def group_send(self, group: str, message: dict[str, Any]) -> None:
        await asyncio.to_thread(self.gate.wait, 3)
        if self.failures:
            self.failures -= 1
            raise ConnectionError("no Redis")
        self.sent.append(message)


class BroadcasterTests(SimpleTestCase):
    def setUp(self) -> None:
        self.layer = FakeLayer()
        patch = mock.patch.object(broadcaster_module, "get_channel_layer", return_value=self.layer)
        patch.start()
        self.addCleanup(patch.stop)
        self.broadcaster = Broadcaster()
        self.addCleanup(self.broadcaster.stop)

    def sent_sequences(self) -> list[int]:
        return [one.sequence for message in self.layer.sent for one in decode_batches(message["batches"])]

    async def test_it_sends_from_a_thread_of_its_own(self) -> None:
        for sequence in (1, 2, 3):
            self.broadcaster.send(batch([sequence], previous=sequence - 1))
        await until(lambda: self.sent_sequences() == [1, 2, 3])
        self.broadcaster.send(batch([4], previous=3))
        await until(lambda: self.sent_sequences() == [1, 2, 3, 4])

    async def test_it_never_waits_and_keeps_a_bounded_number(self) -> None:
        self.layer.gate.clear()
        for sequence in range(1, broadcaster_module.MAX_QUEUE + 1_002):
            self.broadcaster.send(batch([sequence], previous=sequence - 1))
        self.assertGreaterEqual(self.broadcaster.dropped, 900)
        self.layer.gate.set()
        await until(lambda: self.sent_sequences()[-1:] == [broadcaster_module.MAX_QUEUE + 1_001])

    async def test_it_goes_on_after_a_failure_and_says_so_once(self) -> None:
        self.layer.failures = 2
        with (
            mock.patch.object(broadcaster_module, "RETRY_S", 0.01),
            self.assertLogs("market_feed.streams.broadcaster", "WARNING") as logs,
        ):
            for sequence in (1, 2, 3):
                self.broadcaster.send(batch([sequence], previous=sequence - 1))
                await asyncio.sleep(0.05)
            await until(lambda: self.sent_sequences() == [3])
        self.assertEqual(len(logs.output), 2)

    async def test_it_starts_again_after_a_stop(self) -> None:
        self.broadcaster.send(batch([1], previous=0))
        await until(lambda: self.sent_sequences() == [1])
        await asyncio.to_thread(self.broadcaster.stop)
        self.broadcaster.send(batch([2], previous=1))
        await until(lambda: self.sent_sequences() == [1, 2])


class ReceiverTests(SimpleTestCase):
    async def test_it_brings_batches_to_the_hubs_of_this_process(self) -> None:
        hub = get_hub()
        try:
            with mock.patch.object(hub, "hand_over") as hand_over:
                committed = batch([1], previous=0)
                batch_committed.send(sender=None, batch=committed)
            hand_over.assert_called_once_with(committed)
            self.assertIs(get_hub(), hub)
        finally:
            await hub.stop()
        self.assertNotIn(hub, hubs())

    def test_it_sends_to_other_processes_only_where_the_layer_reaches_them(self) -> None:
        with mock.patch.object(broadcaster_module, "broadcaster") as broadcaster:
            on_batch_committed(batch=batch([1], previous=0))
            broadcaster.send.assert_not_called()
            with mock.patch.object(broadcaster_module, "crosses_processes", return_value=True):
                on_batch_committed(batch=batch([1], previous=0))
            broadcaster.send.assert_called_once()

    def test_it_knows_which_layer_reaches_other_processes(self) -> None:
        self.assertFalse(news.crosses_processes())
        redis = {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": ["redis://x"]},
        }
        with override_settings(CHANNEL_LAYERS={"default": redis}):
            self.assertTrue(news.crosses_processes())
        with override_settings(CHANNEL_LAYERS={}):
            self.assertFalse(news.crosses_processes())

    @with_hub
    async def test_a_hub_hears_the_layer_when_it_comes_back(self, hub: Hub, market: MemoryMarket) -> None:
        layer = InMemoryChannelLayer()
        failing = mock.Mock(new_channel=mock.AsyncMock(side_effect=ConnectionError("no Redis")))
        layers = iter([failing])
        with (
            mock.patch("market_feed.streams.hub.crosses_processes", return_value=True),
            mock.patch("market_feed.streams.hub.get_channel_layer", side_effect=lambda: next(layers, layer)),
            mock.patch("market_feed.streams.hub.LAYER_RETRY_S", 0.01),
            self.assertLogs("market_feed.streams.hub", "WARNING"),
        ):
            sink = await join_trades(hub, "ACME")
            await until(lambda: news.GROUP in layer.groups)
            message = message_of([market.commit(batch([1], previous=0))])
            await layer.group_send(news.GROUP, {**message, "from": "another"})
            await until(lambda: sink.sequences() == [1])
