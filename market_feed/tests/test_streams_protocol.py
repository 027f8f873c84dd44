from typing import Any
from unittest import mock
from uuid import UUID

from django.db import OperationalError

from market_feed.streams import hub as hub_module
from market_feed.tests.streams_case import StreamTestCase


class TradesTests(StreamTestCase):
    async def test_it_sends_trades_of_every_stock_or_of_those_named(self) -> None:
        for path, expected in (
            ("/ws/trades/", ["ACME", "BOLT"]),
            ("/ws/trades", ["ACME", "BOLT"]),
            ("/ws/trades/?stock_id=BOLT", ["BOLT"]),
            ("/ws/trades?stock_id=BOLT&stock_id=ACME", ["ACME", "BOLT"]),
        ):
            with self.subTest(path=path):
                async with self.connected(path) as client:
                    await self.trade()
                    await self.trade(stock_id="BOLT")
                    received = [(await client.next("trades"))["stock_id"] for _ in expected]
                    self.assertEqual(received, expected)
                    self.assertTrue(await client.receive_nothing(0.1))

    async def test_it_sends_a_trade_as_the_contract_has_it(self) -> None:
        async with self.connected("/ws/trades/?stock_id=ACME") as client:
            buy = await self.trade(quantity=3, price="20.5")
            (trade,) = (await client.next())["trades"]
            self.assertEqual(
                list(trade),
                [
                    "trade_id",
                    "sequence",
                    "price",
                    "quantity",
                    "execution_timestamp",
                    "bid_order_id",
                    "ask_order_id",
                ],
            )
            self.assertEqual((trade["price"], trade["quantity"]), (20.5, 3))
            self.assertEqual(UUID(trade["bid_order_id"]), buy.order_id)
            self.assertEqual(trade["bid_order_id"], str(buy.order_id))

    async def test_it_sends_the_same_live_and_from_the_database(self) -> None:
        async with self.connected("/ws/trades/?stock_id=ACME") as client:
            await self.trade()
            live = await client.next()
            await client.ask(type="resume", stock_id="ACME", since_sequence=0, rewind=True)
            self.assertEqual(await client.next(), live)

    async def test_it_resumes_after_a_sequence_and_goes_on(self) -> None:
        for _ in range(4):
            await self.trade()
        async with self.connected("/ws/trades/?stock_id=ACME") as client:
            await client.ask(type="resume", stock_id="ACME", since_sequence=0)
            first = (await client.next())["trades"]
            self.assertEqual(len(first), 4)
            await client.ask(type="resume", stock_id="ACME", since_sequence=first[1]["sequence"])
            await self.trade()
            (live,) = (await client.next())["trades"]
            self.assertGreater(live["sequence"], first[-1]["sequence"])
            await client.ask(type="resume", stock_id="ACME", since_sequence=first[1]["sequence"], rewind=True)
            self.assertEqual((await client.next())["trades"], [*first[2:], live])

    async def test_it_begins_where_the_url_says(self) -> None:
        for stock_id in ("ACME", "BOLT", "ACME", "BOLT"):
            await self.trade(stock_id=stock_id)
        async with self.connected("/ws/trades/?since=ACME:0") as client:
            message = await client.next()
            self.assertEqual((message["stock_id"], len(message["trades"])), ("ACME", 2))
            known = message["trades"][0]["sequence"]
            self.assertTrue(await client.receive_nothing(0.1))
        async with self.connected(f"/ws/trades/?stock_id=ACME&since=ACME:{known}") as client:
            self.assertEqual((await client.next())["trades"], message["trades"][1:])
            await self.trade()
            self.assertGreater((await client.next())["trades"][0]["sequence"], known)

    async def test_it_refuses_a_since_that_makes_no_sense(self) -> None:
        for since in (
            "ACME",
            ":5",
            "ACME:",
            "ACME:-1",
            "ACME:1.0",
            "ACME:٣",
            "ACME:" + "9" * 19,
            "ACME:" + "9" * 5_000,
        ):
            with self.subTest(since=since[:20]):
                async with self.connected(f"/ws/trades/?since={since}") as client:
                    self.assertEqual((await client.next())["code"], "invalid")
                    self.assertEqual(await client.next_close(), 4000)
        for path in ("/ws/trades/?since=NONE:5", "/ws/trades/?stock_id=BOLT&since=ACME:0"):
            with self.subTest(path=path):
                async with self.connected(path) as client:
                    self.assertEqual((await client.next())["code"], "unknown_stock")
                    self.assertEqual(await client.next_close(), 4004)

    async def test_it_answers_ping(self) -> None:
        async with self.connected("/ws/trades/") as client:
            await client.ask(type="ping")
            self.assertEqual(await client.next(), {"type": "pong"})

    async def test_it_answers_nonsense_with_an_error_and_goes_on(self) -> None:
        resume = {"type": "resume", "stock_id": "ACME", "since_sequence": 0}
        cases: list[tuple[Any, str]] = [
            ("no json", "invalid_json"),
            ("", "invalid_json"),
            ("[" * 5_000, "invalid_json"),
            ("NaN", "invalid_json"),
            ("[]", "invalid"),
            ("null", "invalid"),
            ('{"typ": "ping"}', "invalid"),
            ('{"type": 7}', "invalid"),
            ('{"type": "place"}', "unknown_type"),
            ('{"type": "on_ping"}', "unknown_type"),
            ('"' + "x" * 20_000 + '"', "too_large"),
            (b"\x00\xff", "not_text"),
            ({**resume, "stock_id": None}, "invalid"),
            ({**resume, "stock_id": ["ACME"]}, "invalid"),
            ({**resume, "stock_id": "NONE"}, "unknown_stock"),
            ({**resume, "stock_id": "BOLT"}, "unknown_stock"),
            ({**resume, "since_sequence": "0"}, "invalid"),
            ({**resume, "since_sequence": True}, "invalid"),
            ({**resume, "since_sequence": 1.0}, "invalid"),
            ({**resume, "since_sequence": -1}, "invalid"),
            ({**resume, "since_sequence": 2**63}, "invalid"),
            ({"type": "resume"}, "invalid"),
            ({**resume, "rewind": "yes"}, "invalid"),
            ({**resume, "rewind": None}, "invalid"),
        ]
        async with self.connected("/ws/trades/?stock_id=ACME") as client:
            for request, code in cases:
                with self.subTest(request=str(request)[:40]):
                    if isinstance(request, dict):
                        await client.send_json_to(request)
                    else:
                        key = "bytes" if isinstance(request, bytes) else "text"
                        await client.send_input({"type": "websocket.receive", key: request})
                    answer = await client.next()
                    self.assertEqual((answer["type"], answer["code"]), ("error", code))
                    self.assertTrue(answer["detail"])
            await client.ask(type="ping")
            self.assertEqual(await client.next(), {"type": "pong"})

    async def test_it_names_a_stock_it_does_not_know_and_closes(self) -> None:
        for path in (
            "/ws/trades/?stock_id=NONE",
            "/ws/orderbook/?stock_id=ACME&stock_id=NONE",
            "/ws/trades/?stock_id=",
        ):
            with self.subTest(path=path):
                async with self.connected(path) as client:
                    self.assertEqual((await client.next("error"))["code"], "unknown_stock")
                    self.assertEqual(await client.next_close(), 4004)

    async def test_it_refuses_a_second_resume_of_a_stock_under_way(self) -> None:
        await self.trade()
        async with self.connected("/ws/trades/") as client:
            for _ in range(2):
                await client.ask(type="resume", stock_id="ACME", since_sequence=0)
            answers = [await client.next(), await client.next()]
            self.assertEqual({answer["type"] for answer in answers}, {"error", "trades"})

    async def test_it_says_so_when_the_database_is_away(self) -> None:
        with (
            mock.patch.object(hub_module.StoredMarket, "positions", side_effect=OperationalError("gone")),
            self.assertLogs("market_feed.streams", "WARNING"),
        ):
            async with self.connected("/ws/trades/") as client:
                self.assertEqual((await client.next())["code"], "unavailable")
                self.assertEqual(await client.next_close(), 4013)

    async def test_it_closes_a_path_that_leads_nowhere(self) -> None:
        for path in ("/", "/ws/", "/ws/secrets/", "/ws/trades/more/", "/nothing"):
            with self.subTest(path=path):
                async with self.connected(path, accepted=False):
                    pass


class OrderBookTests(StreamTestCase):
    async def test_it_sends_a_snapshot_at_once_and_after_a_change(self) -> None:
        await self.place(self.ann, "buy", 5, "19.5")
        async with self.connected("/ws/orderbook/?stock_id=ACME") as client:
            first = await client.next()
            self.assertEqual(list(first), ["type", "stock_id", "sequence", "timestamp", "bids", "asks"])
            self.assertEqual(first["bids"], [{"price": 19.5, "quantity": 5}])
            self.assertEqual(first["asks"], [])
            await self.place(self.bob, "sell", 7, "21")
            second = await client.next()
            self.assertGreater(second["sequence"], first["sequence"])
            self.assertEqual(second["asks"], [{"price": 21.0, "quantity": 7}])

    async def test_it_shows_five_levels_or_as_many_as_asked_for(self) -> None:
        for number in range(30):
            await self.place(self.ann, "buy", 1, f"{10 + number}")
        for parameters, expected in (("", 5), ("&depth=1", 1), ("&depth=25", 25), ("&depth=500", 30)):
            with self.subTest(parameters=parameters):
                async with self.connected("/ws/orderbook?stock_id=ACME" + parameters) as client:
                    levels = (await client.next())["bids"]
                    self.assertEqual(
                        [level["price"] for level in levels], [39.0 - n for n in range(expected)]
                    )
                    await self.place(self.bob, "sell", 1, "50")
                    changed = await client.next()
                    self.assertEqual(changed["bids"], levels)
                    self.assertTrue(changed["asks"])

    async def test_it_sends_every_stock_when_none_is_named(self) -> None:
        async with self.connected("/ws/orderbook/") as client:
            received = [await client.next(), await client.next()]
            self.assertEqual({message["stock_id"] for message in received}, {"ACME", "BOLT"})

    async def test_it_refuses_a_depth_that_is_none(self) -> None:
        for depth in ("0", "-1", "501", "five", "", "1e2", "٣", "99999999999999999999"):
            with self.subTest(depth=depth):
                async with self.connected(f"/ws/orderbook/?depth={depth}") as client:
                    self.assertEqual((await client.next())["code"], "invalid")
                    self.assertEqual(await client.next_close(), 4000)

    async def test_it_sends_changes_to_who_asks_for_them(self) -> None:
        await self.place(self.ann, "buy", 5, "19.5")
        async with self.connected("/ws/orderbook/?stock_id=ACME&mode=delta&depth=1") as client:
            first = await client.next("orderbook")
            self.assertEqual(first["bids"], [{"price": 19.5, "quantity": 5}])
            await self.place(self.ann, "buy", 1, "19.6")
            changes = await client.next("orderbook_changes")
            self.assertEqual(changes["first_sequence"], first["sequence"] + 1)
            self.assertEqual(
                changes["bids"], [{"price": 19.6, "quantity": 1}, {"price": 19.5, "quantity": 0}]
            )

    async def test_it_refuses_a_mode_that_is_none(self) -> None:
        for mode in ("", "deltas", "DELTA"):
            with self.subTest(mode=mode):
                async with self.connected(f"/ws/orderbook/?mode={mode}") as client:
                    self.assertEqual((await client.next())["code"], "invalid")
                    self.assertEqual(await client.next_close(), 4000)

    async def test_it_has_nothing_to_resume(self) -> None:
        async with self.connected("/ws/orderbook/?stock_id=ACME") as client:
            await client.ask(type="resume", stock_id="ACME", since_sequence=0)
            self.assertEqual((await client.next("error"))["code"], "unknown_type")


class PricesTests(StreamTestCase):
    async def test_it_sends_prices_that_ticks_moved(self) -> None:
        async with self.connected("/ws/prices/") as client:
            self.assertEqual((await client.next())["prices"], [])
            await self.tick("12.34")
            (price,) = (await client.next())["prices"]
            self.assertEqual((price["stock_id"], price["price"]), ("ACME", 12.34))
