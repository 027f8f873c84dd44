"""The streams of several processes on one market: news arrives in any order, or not at all."""

import asyncio
import json
import time
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any

from django.test import SimpleTestCase, tag
from websockets.asyncio.client import connect
from websockets.exceptions import ConnectionClosed

from config.testing.servers import needs, postgresql_cluster, redis_server
from config.tests.web_processes import WebProcess, market


@tag("postgresql")
@needs("postgresql", "redis")
class TwoProcessesTests(SimpleTestCase):
    """Two web processes, and two that only trade, on one stock: news of it arrives in any order."""

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.postgresql = cls.enterClassContext(postgresql_cluster())
        cls.redis = cls.enterClassContext(redis_server())
        cls.market = cls.enterClassContext(market(DATABASE_URL=cls.postgresql.url))

    def setUp(self) -> None:
        self.position = self.last_sequence()

    def last_sequence(self) -> int:
        return max(self.stored_sequences(0), default=0)

    def stored_sequences(self, since: int) -> list[int]:
        connection = self.postgresql.connect()
        try:
            with connection.cursor() as cursor:
                cursor.execute(
                    "SELECT sequence FROM trade_trade WHERE sequence > %s ORDER BY sequence", [since]
                )
                return [sequence for (sequence,) in cursor.fetchall()]
        finally:
            connection.close()

    @contextmanager
    def two_web_processes(self, redis_url: str) -> Iterator[list[WebProcess]]:
        self.market.environment["REDIS_URL"] = redis_url
        with ExitStack() as stack:
            self.market.stack = stack
            yield [self.market.serve(), self.market.serve()]

    async def trade(self, count: int) -> None:
        await asyncio.gather(*(asyncio.to_thread(self.market.trade, count) for _ in range(2)))

    async def assert_all_see_the_same(self, webs: list[WebProcess], meanwhile: Any = None) -> None:
        clients = [asyncio.create_task(collect(web, 600, 60)) for web in webs for _ in range(2)]
        await asyncio.sleep(0.5)
        trading = asyncio.create_task(self.trade(300))
        if meanwhile is not None:
            await asyncio.sleep(1.5)
            await asyncio.to_thread(meanwhile)
        await trading
        traded_at = time.monotonic()
        seen = await asyncio.gather(*clients)
        self.assertLess(time.monotonic() - traded_at, 5)
        stored = self.stored_sequences(self.position)
        self.assertEqual(len(stored), 600)
        for sequences in seen:
            self.assertEqual(sequences, stored)

    def test_every_client_sees_every_trade_once_in_order(self) -> None:
        with self.two_web_processes(self.redis.url) as webs:
            asyncio.run(self.assert_all_see_the_same(webs))
            for web in webs:
                self.assertNotRegex(web.output, "ERROR|WARNING")

    def test_it_heals_what_redis_never_brings(self) -> None:
        with self.two_web_processes("") as webs:
            asyncio.run(self.assert_all_see_the_same(webs))

    def test_it_heals_the_loss_of_redis_under_load(self) -> None:
        with redis_server() as redis, self.two_web_processes(redis.url) as webs:
            asyncio.run(self.assert_all_see_the_same(webs, meanwhile=redis.kill))

    def test_it_goes_on_after_the_database_was_restarted(self) -> None:
        with self.two_web_processes(self.redis.url) as webs:
            asyncio.run(self._restart_database(webs[0]))

    async def _restart_database(self, web: WebProcess) -> None:
        client = asyncio.create_task(collect(web, 20, 60))
        await asyncio.sleep(0.5)
        await asyncio.to_thread(self.market.trade, 10)
        await asyncio.to_thread(self.postgresql.restart)
        await asyncio.to_thread(self.market.trade, 10)
        self.assertEqual(await client, self.stored_sequences(self.position))

    def test_a_client_goes_on_at_the_other_process_when_its_own_is_killed(self) -> None:
        with self.two_web_processes(self.redis.url) as webs:
            asyncio.run(self._change_process(*webs))

    async def _change_process(self, first: WebProcess, second: WebProcess) -> None:
        other = asyncio.create_task(collect(second, 600, 60))
        seen: list[int] = []
        until_killed = asyncio.create_task(collect(first, 600, 60, into=seen))
        await asyncio.sleep(0.5)
        trading = asyncio.create_task(self.trade(300))
        async with asyncio.timeout(60):
            while not seen:
                await asyncio.sleep(0.1)
        await asyncio.sleep(1)
        first.process.kill()
        await until_killed
        self.assertLess(len(seen), 600, "killed too late to prove anything")
        seen += await collect(second, 600 - len(seen), 60, since=seen[-1])
        await trading
        stored = self.stored_sequences(self.position)
        self.assertEqual(sorted(seen), stored)
        self.assertEqual(await other, stored)


async def collect(
    web: WebProcess,
    count: int,
    timeout_s: float,
    since: int | None = None,
    into: list[int] | None = None,
) -> list[int]:
    """Sequences of the first `count` trades a client sees; fewer when the server ends before."""
    seen: list[int] = [] if into is None else into
    async with connect(web.stream("/ws/trades/?stock_id=ACME"), max_queue=None) as client:
        if since is not None:
            await client.send(json.dumps({"type": "resume", "stock_id": "ACME", "since_sequence": since}))
        async with asyncio.timeout(timeout_s):
            with suppress(ConnectionClosed):
                while len(seen) < count:
                    seen += [trade["sequence"] for trade in json.loads(await client.recv())["trades"]]
    return seen
