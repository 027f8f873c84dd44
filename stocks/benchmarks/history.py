"""How long a stock with a million ticks takes to look at: two in every minute of a year.

Loads the ticks straight into the database (with their candles and running figures, as the feed would have left
them), asks through the test client, URLs, views and JSON included, and gives medians.
"""

import statistics
import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from random import Random

from django.db import connection, transaction
from rest_framework.test import APIClient

from stocks.benchmarks.figures import Advance, Bench, Figure
from stocks.models import Stock
from stocks.services.ticks import StoredTick, lock_stock, store_prices, write_stock

STOCK_ID = "BENCH"
START = datetime(2024, 1, 1, tzinfo=UTC)
CHUNK = 50_000
# A million of them are a year, without an empty minute.
EVERY = timedelta(seconds=31.5)
GOAL_MS = 50.0
CANDLES_GOAL_MS = 100.0


def run(bench: Bench, *, ticks: int = 1_000_000, rounds: int = 50) -> None:
    """Ask each kind of question that a page asks; each is to take less than its goal."""
    with bench.part("storing ticks", ticks) as advance:
        last = load(ticks, every=EVERY, advance=advance)
    asked = [(name, url, GOAL_MS) for name, url in questions(last).items()]
    asked += [(name, url, CANDLES_GOAL_MS) for name, url in candle_questions(last).items()]
    with bench.part("asking", len(asked) * (rounds + 1)) as advance:
        for name, url, goal in asked:
            spent = timed(url, rounds, advance)
            bench.add(
                Figure(
                    name=f"GET, {ticks:,} ticks: {name}",
                    value=statistics.median(spent),
                    unit="ms",
                    beside="the goal",
                    limit=goal,
                    most=1.0,
                    note=f"slowest {max(spent):.1f} ms",
                )
            )


def load(count: int, *, every: timedelta, advance: Advance) -> datetime:
    """Store `count` ticks, `every` apart with some noise; the time of the last one."""
    Stock.objects.create(stock_id=STOCK_ID, name="A stock with a history")
    ticks = random_ticks(count, every)
    while chunk := [tick for _, tick in zip(range(CHUNK), ticks, strict=False)]:
        with transaction.atomic():
            stock = lock_stock(STOCK_ID)
            store_prices(STOCK_ID, chunk)
            for tick in chunk:
                stock.count_tick(tick.price, tick.timestamp)
            newest = chunk[-1]
            stock.sequence = stock.quote_sequence = stock.tick_sequence = newest.sequence
            stock.last_price = stock.quote_price = newest.price
            stock.quote_availability = newest.availability
            write_stock(stock)
        advance(len(chunk))
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            # What autovacuum does in a database that lives longer. On SQLite nobody does it.
            cursor.execute("VACUUM ANALYZE stocks_tick")
    return newest.timestamp


def random_ticks(count: int, every: timedelta) -> Iterator[StoredTick]:
    """A random walk, the same each time."""
    rng, price, moment = Random(1), 1_000_000, START
    for sequence in range(1, count + 1):
        price = max(100, price + rng.randrange(-500, 501, 100))
        moment += every * rng.uniform(0.5, 1.5)
        yield StoredTick(sequence, price, rng.randrange(1, 1000), moment, False)


def questions(last: datetime) -> dict[str, str]:
    """The URL of each kind of question, by what it asks for."""
    span = last - START
    ranges = {
        "all time": "",
        "newest minute": between(last - timedelta(minutes=1), last),
        "one day": between(last - timedelta(days=1), last),
        "half, cut anywhere": between(START + span * 0.2501, START + span * 0.7507),
        "all but the edges": between(START + timedelta(seconds=1), last - timedelta(seconds=1)),
        "from a day on": between(START + span / 3, None),
        "nothing": between(last + timedelta(days=1), None),
    }
    urls = {name: f"/api/stocks/{STOCK_ID}/{query}" for name, query in ranges.items()}
    urls["ticks, first page"] = f"/api/stocks/{STOCK_ID}/ticks/"
    urls["ticks, middle of history"] = f"/api/stocks/{STOCK_ID}/ticks/{between(None, START + span / 2)}"
    urls["list of stocks"] = "/api/stocks/"
    return urls


def candle_questions(last: datetime) -> dict[str, str]:
    """The same of candles, over the whole history."""
    path = f"/api/stocks/{STOCK_ID}/candles/"
    everything = between(START, last)
    return {
        "1m candles, first 500": f"{path}{everything}",
        "1m candles, first 5,000": f"{path}{everything}&page_size=5000",
        "1m candles, newest 500": path,
        "5m candles, first 500": f"{path}{everything}&interval=5m",
        "15m candles, first 500": f"{path}{everything}&interval=15m",
        "1s candles, newest 500": f"{path}?interval=1s",
    }


def between(start: datetime | None, end: datetime | None) -> str:
    ends = [("from_date", start), ("to_date", end)]
    return "?" + "&".join(f"{name}={moment:%Y-%m-%dT%H:%M:%S.%fZ}" for name, moment in ends if moment)


def timed(url: str, rounds: int, advance: Advance) -> list[float]:
    """The milliseconds of each call."""
    client = APIClient()
    spent = []
    for _ in range(rounds + 1):
        started = time.perf_counter()
        response = client.get(url)
        spent.append((time.perf_counter() - started) * 1000)
        assert response.status_code == 200, response.content
        advance(1)
    # The first call also imports and connects.
    return spent[1:]
