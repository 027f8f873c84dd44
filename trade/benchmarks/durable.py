"""Orders a second through the engine, each answered after its second commit, on the settings' database.

Held against the same rows written by bare SQL: all that a batch comes to in one transaction, by one writer
(the limit), and every order alone in a transaction to reserve and one to match (the plain way). The three take
turns in short rounds; what is reported is the median round.
"""

import statistics
import threading
import time
from collections.abc import Callable, Iterable, Sequence
from concurrent.futures import Future
from contextlib import suppress
from dataclasses import dataclass, field
from functools import partial
from itertools import count
from typing import Any

from django.db import connection
from django.utils import timezone

from stocks.benchmarks.figures import Bench, Figure
from trade.benchmarks.bare import Clerk, Page
from trade.benchmarks.flow import Cancelling, Flow, Operation, World, make_world
from trade.engine import MarketEngine
from trade.engine.commands import Cancel
from trade.engine.gateway import options_from_settings
from trade.models import Order
from trade.selectors.audit import run_audit
from trade.services.refusals import OrderNotOpen

CALLERS = (1, 8, 64)
STOCKS = (1, 16)
# What is asked of PostgreSQL with that many callers.
GOAL_CALLERS, LEAST_OF_BARE, LEAST_OF_PLAIN = 64, 0.6, 3.0
MOST_OF_TWO_COMMITS = 3.0
# Of the highest rate, for the time from place to answer.
LATENCY_LOAD = 0.1
LATENCY_CALLERS = 16
PAUSE_S = 0.003

_names = count()


def run(
    bench: Bench,
    *,
    operations: int = 6_000,
    rounds: int = 3,
    callers: Sequence[int] = CALLERS,
    stocks: Sequence[int] = STOCKS,
    lone_orders: int = 200,
    users: int = 1_000,
) -> None:
    """Measure all; AssertionError when the books are not right afterwards."""
    top = 0.0
    for stock_count in stocks:
        contest = Contest.among(stock_count, users)
        for caller_count in callers:
            top = max(top, _throughput(bench, contest, caller_count, operations, rounds))
    _lone(bench, lone_orders, users)
    _latency(bench, top * LATENCY_LOAD, lone_orders * 5, users)
    broken = [str(finding) for finding in run_audit() if not finding.holds]
    assert not broken, f"the books are wrong: {broken}"


# --- Throughput -------------------------------------------------------------------------------------


@dataclass(slots=True)
class Contest:
    """The three ways, each with a world and a flow of its own."""

    engine: World
    bare: Clerk
    plain: Clerk
    stock_count: int

    @classmethod
    def among(cls, stock_count: int, users: int) -> "Contest":
        worlds = [_world(f"{way}{stock_count}", users, stock_count) for way in ("engine", "bare", "plain")]
        return cls(worlds[0], Clerk(worlds[1]), Clerk(worlds[2]), stock_count)


def _throughput(bench: Bench, contest: Contest, callers: int, operations: int, rounds: int) -> float:
    operations = min(operations, 1_000 * callers)
    alone = max(1, operations // 8)
    rates: dict[str, list[float]] = {"engine": [], "bare": [], "plain": []}
    title = f"{contest.stock_count} stock(s), {callers} caller(s)"
    with bench.part(title, rounds * (2 * operations + alone)) as advance:
        for _ in range(rounds):
            round_ = through_engine(contest.engine, callers, operations)
            rates["engine"].append(operations / round_.seconds)
            advance(operations)
            pages = list(contest.bare.pages(operations, max(1, round(round_.batch))))
            rates["bare"].append(operations / _timed(Page.write_at_once, pages))
            advance(operations)
            pages = list(contest.plain.pages(alone, 1))
            rates["plain"].append(alone / _timed(Page.write_in_two, pages))
            advance(alone)
    medians = {way: statistics.median(found) for way, found in rates.items()}
    is_goal = connection.vendor == "postgresql" and callers == GOAL_CALLERS
    bench.add(
        Figure(
            f"durable, {title}",
            medians["engine"],
            "operations/s",
            "bare SQL group commit",
            medians["bare"],
            least=LEAST_OF_BARE if is_goal else None,
            note=f"batches of {round_.batch:.0f}",
        )
    )
    bench.add(
        Figure(
            f"durable, {title}",
            medians["engine"],
            "operations/s",
            "two transactions per order",
            medians["plain"],
            least=LEAST_OF_PLAIN if is_goal else None,
        )
    )
    return medians["engine"]


@dataclass(frozen=True, slots=True)
class Round:
    """`batch` is the mean number of operations that shared a commit, of reserve and of match alike."""

    seconds: float
    batch: float


def through_engine(world: World, callers: int, operations: int) -> Round:
    """Time a flow from that many callers, each waiting for its answer before it goes on."""
    engine = MarketEngine(options_from_settings())
    engine.start()
    try:
        flows = [Flow(world, next(_names)) for _ in range(callers)]
        senders = [Caller.with_flow(engine, flow, operations // callers) for flow in flows]
        started = time.perf_counter()
        _together([sender.go for sender in senders])
        seconds = time.perf_counter() - started
        batches = engine.status()["batches"]
    finally:
        engine.stop()
    # Each order is in one batch that reserves and in one that matches.
    return Round(seconds, 2 * operations / batches)


@dataclass(slots=True)
class Caller:
    """Somebody who sends a flow of orders to an engine, one after the other."""

    engine: MarketEngine
    flow: Flow
    operations: list[Operation]
    open_orders: list[Order] = field(default_factory=list)

    @classmethod
    def with_flow(cls, engine: MarketEngine, flow: Flow, count: int) -> "Caller":
        return cls(engine, flow, [flow.next() for _ in range(count)])

    def go(self) -> None:
        while self.operations:
            self.do_one()

    def do_one(self) -> None:
        operation = self.operations.pop()
        if isinstance(operation, Cancelling):
            self._cancel()
            return
        order = self.engine.place_order(operation)
        if order.remaining_quantity:
            self.open_orders.append(order)

    def _cancel(self) -> None:
        order = self.flow.pick(self.open_orders)
        if order is None:
            return
        # It may have been filled meanwhile.
        with suppress(OrderNotOpen):
            self.engine.submit(order.stock_id, Cancel(Future(), order.order_id.hex)).result()


# --- Time to the answer -----------------------------------------------------------------------------


def _lone(bench: Bench, orders: int, users: int) -> None:
    """One caller on an idle market, and the same rows in two commits, in turns."""
    caller_world, clerk = _world("lone", users, 1), Clerk(_world("two-commits", users, 1))
    engine = MarketEngine(options_from_settings())
    engine.start()
    answered: list[float] = []
    written: list[float] = []
    try:
        caller = Caller.with_flow(engine, Flow(caller_world), orders)
        with bench.part("a lone order", 2 * orders) as advance:
            for page in clerk.pages(orders, 1):
                time.sleep(PAUSE_S)
                answered.append(_timed(lambda _: caller.do_one(), [None]))
                time.sleep(PAUSE_S)
                written.append(_timed(Page.write_in_two, [page]))
                advance(2)
    finally:
        engine.stop()
    bench.add(
        Figure(
            "a lone order, place to answer",
            statistics.median(answered) * 1_000,
            "ms (median)",
            "bare two-commit transaction",
            statistics.median(written) * 1_000,
            most=MOST_OF_TWO_COMMITS,
        )
    )


def _latency(bench: Bench, rate: float, orders: int, users: int) -> None:
    """Place to answer, from when the order was due, at that many orders a second."""
    world = _world("latency", users, STOCKS[-1])
    engine = MarketEngine(options_from_settings())
    engine.start()
    taken: list[float] = []
    each = max(1, orders // LATENCY_CALLERS)
    interval = LATENCY_CALLERS / rate
    started = time.perf_counter() + 0.1

    def at_times(number: int, caller: Caller, advance: Callable[[int], object]) -> None:
        for turn in range(each):
            due = started + (turn + number / LATENCY_CALLERS) * interval
            time.sleep(max(0.0, due - time.perf_counter()))
            caller.do_one()
            taken.append(time.perf_counter() - due)
            advance(1)

    try:
        callers = [Caller.with_flow(engine, Flow(world, number), each) for number in range(LATENCY_CALLERS)]
        with bench.part("place to answer", each * LATENCY_CALLERS) as advance:
            _together([partial(at_times, number, caller, advance) for number, caller in enumerate(callers)])
    finally:
        engine.stop()
    percentiles = statistics.quantiles(taken, n=100)
    for percent in (50, 99):
        bench.add(
            Figure(
                f"place to answer at {rate:.0f} orders/s, p{percent}",
                percentiles[percent - 1] * 1_000,
                "ms",
            )
        )


# --- What both need ---------------------------------------------------------------------------------


def _world(name: str, users: int, stocks: int) -> World:
    return make_world(f"{name}-{next(_names)}", users=users, stocks=stocks, now=timezone.now())


def _timed(write: Callable[[Any], object], items: Iterable[Any]) -> float:
    """Seconds for all of them, one after the other."""
    started = time.perf_counter()
    for item in items:
        write(item)
    return time.perf_counter() - started


def _together(works: Sequence[Callable[[], object]]) -> None:
    """Run each in a thread; the first error, when there was one, once all are done."""
    errors: list[BaseException] = []

    def guarded(work: Callable[[], object]) -> None:
        try:
            work()
        except BaseException as error:
            errors.append(error)

    threads = [threading.Thread(target=guarded, args=[work]) for work in works]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    if errors:
        raise errors[0]
