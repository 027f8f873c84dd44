"""Clients whose connections are cut at random, under load: in the end they have exactly what the server has."""

import asyncio
import json
import os
from collections.abc import Callable
from contextlib import suppress
from random import Random
from typing import Any

from django.test import SimpleTestCase, tag
from websockets.asyncio.client import ClientConnection, connect
from websockets.exceptions import ConnectionClosed

from config.testing.servers import Postgresql, needs, postgresql_cluster, redis_server
from config.tests.test_streams_reference import reference_client, rest_book
from config.tests.web_processes import Market, WebProcess, market

# How often each client is cut off, and at least how many trades there are meanwhile.
CUTS = int(os.environ.get("BOURSE_CUTS", "50"))
TRADES = 50
# How long a connection lives at most, and how long a client then stays away.
LONGEST_S = 0.3
TIMEOUT_S = 60 + CUTS
DEPTH = 50


class Client:
    """A client on one stream of ACME, which connects again, to any process, when it is cut off."""

    def __init__(self, webs: list[WebProcess], rng: Random) -> None:
        self.webs = webs
        self.rng = rng
        self.cuts = 0
        self.count = 0
        self.sequence = 0

    def path(self) -> str:
        raise NotImplementedError

    def take(self, message: dict[str, Any]) -> None:
        raise NotImplementedError

    async def run(self) -> None:
        while True:
            url = self.rng.choice(self.webs).stream(self.path())
            with suppress(ConnectionClosed):
                async with connect(url, max_queue=None) as connection:
                    cutting = asyncio.create_task(self._cut(connection))
                    try:
                        async for text in connection:
                            self.take(json.loads(text))
                            self.count += 1
                    finally:
                        cutting.cancel()
            await asyncio.sleep(self.rng.random() * LONGEST_S)

    async def _cut(self, connection: ClientConnection) -> None:
        if self.cuts < CUTS:
            await asyncio.sleep(self.rng.random() * LONGEST_S)
            self.cuts += 1
            # No good-bye, and what the kernel still holds is lost: as when a cable is pulled.
            connection.transport.abort()


class TradesClient(Client):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.sequences: list[int] = []

    def path(self) -> str:
        return f"/ws/trades/?stock_id=ACME&since=ACME:{self.sequence}"

    def take(self, message: dict[str, Any]) -> None:
        assert message["type"] == "trades", message
        self.sequences += [trade["sequence"] for trade in message["trades"]]
        self.sequence = self.sequences[-1]


class BookClient(Client):
    def __init__(self, *arguments: Any) -> None:
        super().__init__(*arguments)
        self.make_book = reference_client()["Book"]
        self.book = self.make_book()

    def path(self) -> str:
        # A new connection, a new book.
        self.book = self.make_book()
        return f"/ws/orderbook/?stock_id=ACME&mode=delta&depth={DEPTH}"

    def take(self, message: dict[str, Any]) -> None:
        assert self.book.apply(message), f"{message} does not fit on {self.book.sequence}"
        self.sequence = self.book.sequence


@tag("postgresql")
@needs("postgresql", "redis")
class CutOffTests(SimpleTestCase):
    def test_they_end_with_what_the_server_has(self) -> None:
        seed = Random().randrange(10**6)
        with (
            self.subTest(seed=seed),
            postgresql_cluster() as postgresql,
            redis_server() as redis,
            market(DATABASE_URL=postgresql.url, REDIS_URL=redis.url) as place,
        ):
            webs = [place.serve(), place.serve()]
            trades, books = TradesClient(webs, Random(seed)), BookClient(webs, Random(seed + 1))
            asyncio.run(self._run(place, postgresql, trades, books))
            self.assertEqual((trades.cuts, books.cuts), (CUTS, CUTS))
            self.assertEqual(trades.sequences, stored_trades(postgresql))
            for web in webs:
                sequence, (bids, asks) = rest_book(web, "ACME", DEPTH)
                self.assertEqual((books.sequence, books.book.bids, books.book.asks), (sequence, bids, asks))
                self.assertNotRegex(web.output, "ERROR|Traceback")

    async def _run(self, place: Market, postgresql: Postgresql, trades: Client, books: Client) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            clients = asyncio.gather(trades.run(), books.run())
            try:
                with place.churning(10, "ACME"):
                    await until(
                        lambda: (
                            (trades.cuts == books.cuts == CUTS and trades.count >= TRADES) or clients.done()
                        )
                    )
                last_trade = stored_trades(postgresql)[-1]
                last, _ = await asyncio.to_thread(rest_book, trades.webs[0], "ACME", 1)
                await until(
                    lambda: (trades.sequence >= last_trade and books.sequence >= last) or clients.done()
                )
            finally:
                clients.cancel()
                with suppress(asyncio.CancelledError):
                    await clients


def stored_trades(postgresql: Postgresql) -> list[int]:
    connection = postgresql.connect()
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT sequence FROM trade_trade ORDER BY sequence")
            return [sequence for (sequence,) in cursor.fetchall()]
    finally:
        connection.close()


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.02)
