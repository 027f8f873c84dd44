"""The client in the documents that rebuilds a book from its changes: it has REST's book, at every sequence."""

import asyncio
import json
import os
import re
import urllib.request
from contextlib import aclosing
from pathlib import Path
from typing import Any

from django.conf import settings
from django.test import SimpleTestCase

from config.testing.servers import needs, redis_server
from config.tests.web_processes import Market, WebProcess, market

# How many (stock, sequence) are compared; BOURSE_BOOK_CHECKS=1000 for more.
CHECKS = int(os.environ.get("BOURSE_BOOK_CHECKS", "200"))
# More levels than news brings: the server reads the book as well.
DEPTHS = (5, 30)
STOCKS = [f"S{number:02}" for number in range(16)]
TIMEOUT_S = 60 + CHECKS / 5

Sides = tuple[dict[float, int], dict[float, int]]


def reference_client() -> dict[str, Any]:
    """What the Python in STREAMS.md defines."""
    text = (Path(settings.BASE_DIR) / "config" / "docs" / "STREAMS.md").read_text()
    (source,) = re.findall(r"^```python\n(.*?)^```", text, re.DOTALL | re.MULTILINE)
    namespace: dict[str, Any] = {}
    exec(source, namespace)
    return namespace


def rest_book(web: WebProcess, stock_id: str, depth: int) -> tuple[int, Sides]:
    url = f"{web.url}/api/orderbook/?stock_id={stock_id}&depth={depth}"
    with urllib.request.urlopen(url, timeout=10) as answer:
        book = json.load(answer)
    bids, asks = ({one["price"]: one["quantity"] for one in book[side]} for side in ("bids", "asks"))
    return book["sequence"], (bids, asks)


class Comparison:
    """The books of one client and those of REST, compared wherever both have the same sequence."""

    def __init__(self, web: WebProcess, depth: int) -> None:
        self.web = web
        self.depth = depth
        self.compared: set[tuple[str, int]] = set()
        self._seen: dict[tuple[str, int], Sides] = {}
        self._asked: dict[tuple[str, int], Sides] = {}
        self._asking: set[str] = set()

    async def run(self, follow: Any, count: int) -> None:
        async with asyncio.TaskGroup() as asking, aclosing(follow(self._url())) as books:
            async for stock_id, book in books:
                self._note(self._seen, stock_id, book.sequence, (dict(book.bids), dict(book.asks)))
                if len(self.compared) >= count:
                    return
                if stock_id not in self._asking:
                    self._asking.add(stock_id)
                    asking.create_task(self._ask(stock_id))

    async def _ask(self, stock_id: str) -> None:
        sequence, sides = await asyncio.to_thread(rest_book, self.web, stock_id, self.depth)
        self._asking.discard(stock_id)
        self._note(self._asked, stock_id, sequence, sides)

    def _note(self, books: dict[tuple[str, int], Sides], stock_id: str, sequence: int, sides: Sides) -> None:
        key = stock_id, sequence
        books[key] = sides
        if key in self._seen and key in self._asked:
            assert self._seen[key] == self._asked[key], f"{key}: {self._seen[key]} != {self._asked[key]}"
            self.compared.add(key)

    def _url(self) -> str:
        stocks = "&".join(f"stock_id={stock_id}" for stock_id in STOCKS)
        return self.web.stream(f"/ws/orderbook/?mode=delta&depth={self.depth}&{stocks}")


class ChecksumTests(SimpleTestCase):
    def test_the_messages_in_the_document_fit_on_each_other(self) -> None:
        text = (Path(settings.BASE_DIR) / "config" / "docs" / "STREAMS.md").read_text()
        (example,) = re.findall(r"```json\n([^`]*orderbook_changes[^`]*)```", text)
        snapshot, changes = (
            json.loads("{" + one) for one in re.split(r"^\{", example, flags=re.MULTILINE)[1:]
        )
        book = reference_client()["Book"]()
        self.assertTrue(book.apply(snapshot))
        self.assertTrue(book.apply(changes))
        self.assertFalse(book.apply(changes), "a gap went unnoticed")


@needs("redis")
class ReferenceClientTests(SimpleTestCase):
    def test_its_book_is_that_of_rest_at_every_sequence(self) -> None:
        with redis_server() as redis, market(REDIS_URL=redis.url) as place:
            place.list_stocks(*STOCKS)
            asyncio.run(self._compare(place, place.serve()))

    async def _compare(self, place: Market, web: WebProcess) -> None:
        follow = reference_client()["follow"]
        comparisons = [Comparison(web, depth) for depth in DEPTHS]
        with place.churning(3, *STOCKS):
            async with asyncio.timeout(TIMEOUT_S):
                await asyncio.gather(*(one.run(follow, CHECKS // len(DEPTHS)) for one in comparisons))
        for one in comparisons:
            self.assertGreaterEqual(len(one.compared), CHECKS // len(DEPTHS))
