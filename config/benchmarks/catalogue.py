"""The benchmarks by name."""

from collections.abc import Mapping
from dataclasses import dataclass, field

POSTGRESQL = "PostgreSQL"
SQLITE = "SQLite"


@dataclass(frozen=True, slots=True)
class Benchmark:
    """One benchmark: `run(bench, **options)` at a dotted path.

    It runs once on each of `databases`, or once without any. `quick` are the options of a run that only shows
    that it works.
    """

    name: str
    run: str
    databases: tuple[str, ...] = ()
    broker: bool = False
    quick: Mapping[str, int] = field(default_factory=dict)


BENCHMARKS = (
    Benchmark(
        "matcher", "trade.benchmarks.matcher.run", quick={"count": 1_000, "rounds": 1, "rival_rounds": 1}
    ),
    Benchmark(
        "engine",
        "trade.benchmarks.durable.run",
        databases=(POSTGRESQL, SQLITE),
        quick={"operations": 64, "rounds": 1, "lone_orders": 4, "users": 10},
    ),
    Benchmark(
        "growth",
        "trade.benchmarks.growth.run",
        databases=(POSTGRESQL, SQLITE),
        quick={"most_orders": 2_000, "most_users": 200, "rounds": 1},
    ),
    Benchmark(
        "feed",
        "market_feed.benchmarks.feed.run",
        databases=(POSTGRESQL,),
        broker=True,
        quick={"ticks": 2_000, "filling_ticks": 500, "orders": 100, "rounds": 1},
    ),
    Benchmark(
        "streams",
        "market_feed.benchmarks.streams.run",
        databases=(POSTGRESQL, SQLITE),
        quick={"clients": 50, "idle_clients": 100, "seconds": 6, "rounds": 1},
    ),
    Benchmark(
        "rest",
        "config.benchmarks.rest.run",
        databases=(POSTGRESQL, SQLITE),
        quick={"rounds": 1, "tenths": 3},
    ),
    Benchmark(
        "history",
        "stocks.benchmarks.history.run",
        databases=(POSTGRESQL, SQLITE),
        quick={"ticks": 20_000, "rounds": 5},
    ),
)
BY_NAME = {benchmark.name: benchmark for benchmark in BENCHMARKS}
