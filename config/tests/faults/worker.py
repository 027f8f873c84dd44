"""The processes under test: `python -m config.tests.faults.worker '<Task as JSON>'`.

Everything is imported once; then each process is a fork, with an engine, threads and connections of its
own. What they have to say they write to standard output, one JSON object per line:
    {"pid"}            a process has begun
    {"order"}          the market has confirmed an order to its caller (if asked for)
    {"report"}         what a process did
    {"books"}          every stock's book as a process has it in memory, once all are done
"""

import json
import multiprocessing
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future
from contextlib import contextmanager
from dataclasses import asdict, dataclass, replace
from multiprocessing.synchronize import Barrier
from typing import Any
from unittest import mock

BARRIER_TIMEOUT_S = 60
LOCKED_BY = {
    "accounts": "users.services.cash.lock_clause",
    "holdings": "stocks.services.holdings.lock_clause",
    "stocks": "stocks.services.ticks.lock_clause",
}


@dataclass(frozen=True)
class Task:
    """What the processes do.

    There is another round when all processes of one have ended or were killed; the last is a short one.
    """

    user_ids: list[int]
    stock_ids: list[str]
    seed: int
    seconds: float
    processes: int = 1
    threads: int = 2
    rounds: int = 1
    last_seconds: float | None = None
    ways: str = "EVERYTHING"
    acknowledge: bool = False
    locks_off: tuple[str, ...] = ()


def say(**words: Any) -> None:
    # One write per line: threads and processes share the pipe.
    os.write(1, json.dumps(words).encode() + b"\n")


def main(text: str) -> None:
    import django

    django.setup()
    from trade.engine import get_engine  # noqa: F401  (so that no fork has to import it)

    task = Task(**json.loads(text))
    context = multiprocessing.get_context("fork")
    for number in range(task.rounds):
        if number == task.rounds - 1 and task.last_seconds is not None:
            task = replace(task, seconds=task.last_seconds)
        everybody = context.Barrier(task.processes)
        processes = [
            context.Process(target=run, args=(task, task.seed * 1000 + number * 100 + one, everybody))
            for one in range(task.processes)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join()


def run(task: Task, seed: int, everybody: Barrier) -> None:
    """One process: work, wait for the others, tell what the books look like from here."""
    from trade.engine import get_engine, reset_engine

    say(pid=os.getpid())
    with locks_off(task.locks_off):
        everybody.wait(BARRIER_TIMEOUT_S)
        report = hammer(task, seed)
        engine = get_engine()
        say(report=report.as_dict() | {"last_error": engine.status()["last_error"]})
        if not task.locks_off:
            everybody.wait(BARRIER_TIMEOUT_S)
            wait_for_orphans()
            everybody.wait(BARRIER_TIMEOUT_S)
            say(books={stock_id: look(stock_id) for stock_id in task.stock_ids})
        reset_engine()


def hammer(task: Task, seed: int) -> Any:
    """Several threads, each at its own dice."""
    from django.db import connection

    from trade.engine import get_engine
    from trade.tests import hammer as tools

    total = tools.Report()

    def swing(number: int) -> None:
        one = tools.Hammer(
            get_engine(),
            user_ids=task.user_ids,
            stock_ids=task.stock_ids,
            seed=seed * 10 + number,
            ways=getattr(tools, task.ways),
            acknowledge=(lambda order_id: say(order=order_id)) if task.acknowledge else lambda order_id: None,
        )
        try:
            total.add(one.run(task.seconds))
        finally:
            connection.close()

    threads = [threading.Thread(target=swing, args=[number]) for number in range(task.threads)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    return total


def wait_for_orphans() -> None:
    """Let the engine find what others left PENDING."""
    from django.db import connection

    from trade.engine import get_engine
    from trade.models import Order

    get_engine()
    until = time.monotonic() + 15
    while Order.objects.filter(status="PENDING").exists() and time.monotonic() < until:
        time.sleep(0.05)
    connection.close()


def look(stock_id: str) -> dict[str, Any]:
    """The book in this process's memory, once it has caught up with the others."""
    from trade.engine import get_engine
    from trade.engine.batch import Batch, Command
    from trade.matching.invariants import check

    class Look(Command):
        def apply(self, batch: Batch) -> Callable[[], dict[str, Any]]:
            market = batch.market
            check(market)
            orders = {
                order.order_id: [order.open_quantity, order.traded_quantity, order.priority, order.sequence]
                for order in market.orders.values()
            }
            bids, asks = market.snapshot(500)
            return lambda: {"sequence": market.sequence, "orders": orders, "bids": bids, "asks": asks}

    return get_engine().submit(stock_id, Look(Future())).result(30)


@contextmanager
def locks_off(names: tuple[str, ...]) -> Iterator[None]:
    """The control: rows are read as always, but nothing keeps others from them."""
    patches = [mock.patch(LOCKED_BY[name], return_value="") for name in names]
    for patch in patches:
        patch.start()
    yield
    for patch in patches:
        patch.stop()


def as_text(task: Task) -> str:
    return json.dumps(asdict(task))


if __name__ == "__main__":
    main(sys.argv[1])
