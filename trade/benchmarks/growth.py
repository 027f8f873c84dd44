"""What an order costs in a market that grows: with resting orders, with users; and how long a big book takes to build.

matcher     a flow near the touch, in memory, on top of a book whose other orders are far away
engine      batches of resting orders, from the call to the answer after the second commit
rebuild     the book of a process that has just started, from the rows

Sizes take turns, round by round, and the best round of each counts; the smallest is what the others are held against.
"""

import gc
import time
from random import Random

from django.db import transaction

from stocks.benchmarks.figures import Bench, Figure
from stocks.services.ticks import lock_stock
from trade.benchmarks.growth_load import (
    INCREMENT,
    LEVELS,
    QUANTITY,
    TOP_PRICE,
    fill_book,
    make_users,
    settle_down,
)
from trade.benchmarks.matcher_flows import FLOWS, MIDDLE, Operation, operations
from trade.benchmarks.rivals import Ours
from trade.engine import get_engine, reset_engine
from trade.engine.books import Books
from trade.matching import BUY, SELL, Market, Order
from trade.matching.orders import LIMIT
from trade.services.order_rules import NewOrder
from users.exceptions import Refusal

MOST_GROWTH = 1.5
REBUILD_GOAL_S = 15.0
BATCH = 500
# No price of the flow is further from the middle.
FAR = 1_000 * 100
# Orders in the books of the users' part.
FEW_ORDERS = 1_000


def run(bench: Bench, *, most_orders: int = 1_000_000, most_users: int = 100_000, rounds: int = 5) -> None:
    """Depths of 10 to `most_orders` orders, 10 to `most_users` users."""
    depths = [depth for depth in (10, 1_000, 100_000) if depth < most_orders] + [most_orders]
    crowds = [crowd for crowd in (10, 1_000) if crowd < most_users] + [most_users]
    reset_engine()
    try:
        _matcher(bench, depths, rounds)
        user_ids = _load(bench, depths, crowds)
        _rebuild(bench, most_orders)
        books = {f"DEPTH-{depth}": user_ids[:1_000] for depth in depths}
        spent = _place(bench, "resting orders", books, rounds)
        for depth in depths:
            name = f"engine, {depth:,} resting orders"
            bench.add(_figure(name, spent[f"DEPTH-{depth}"], spent[f"DEPTH-{depths[0]}"], depths[0]))
        books = {f"USERS-{crowd}": user_ids[:crowd] for crowd in crowds}
        spent = _place(bench, "users", books, rounds)
        for crowd in crowds:
            name = f"engine, {crowd:,} users"
            bench.add(_figure(name, spent[f"USERS-{crowd}"], spent[f"USERS-{crowds[0]}"], crowds[0]))
    finally:
        reset_engine()


def _figure(name: str, seconds: float, least: float, size: int) -> Figure:
    is_first = seconds is least
    return Figure(
        name=name,
        value=seconds * 1e6,
        unit="us/order",
        beside="" if is_first else f"with {size:,}",
        limit=None if is_first else least * 1e6,
        most=None if is_first else MOST_GROWTH,
    )


def _matcher(bench: Bench, depths: list[int], rounds: int) -> None:
    flow = operations(FLOWS["near the touch"], 5_000)
    spent: dict[int, list[float]] = {depth: [] for depth in depths}
    with bench.part("matcher", len(depths) * rounds) as advance:
        markets = {depth: _deep_market(depth) for depth in depths}
        gc.freeze()
        for _ in range(rounds):
            for depth, market in markets.items():
                spent[depth].append(_played(market, flow) / len(flow))
                advance(1)
        gc.unfreeze()
    best = {depth: min(seconds) for depth, seconds in spent.items()}
    for depth in depths:
        bench.add(_figure(f"matcher, {depth:,} resting orders", best[depth], best[depths[0]], depths[0]))


def _deep_market(depth: int) -> Market:
    """A market whose orders are further away than the flow comes, half on each side."""
    market = Market()
    for number in range(depth):
        side = BUY if number % 2 else SELL
        price = MIDDLE - side * (FAR + 100 * (number % LEVELS))
        market.enter(Order(f"far-{number}", side, side, LIMIT, price, QUANTITY))
    return market


def _played(market: Market, flow: list[Operation]) -> float:
    """Seconds of processor time for the flow; what it leaves is cancelled."""
    ours = Ours()
    ours.market = market
    started = time.thread_time()
    ours.play(flow)
    spent = time.thread_time() - started
    for operation in flow:
        market.cancel(operation.order_id)
    return spent


def _load(bench: Bench, depths: list[int], crowds: list[int]) -> list[int]:
    """The users' ids. Every size has a stock of its own."""
    with bench.part("storing orders", sum(depths) + FEW_ORDERS * len(crowds)) as advance:
        user_ids = make_users(max(crowds))
        for depth in depths:
            fill_book(f"DEPTH-{depth}", depth, user_ids[:1_000], advance)
        for crowd in crowds:
            fill_book(f"USERS-{crowd}", FEW_ORDERS, user_ids[:crowd], advance)
        settle_down()
    return user_ids


def _rebuild(bench: Bench, depth: int) -> None:
    with bench.part("rebuilding", depth) as advance, transaction.atomic():
        stock = lock_stock(f"DEPTH-{depth}")
        started = time.perf_counter()
        market = Books().current(stock)
        seconds = time.perf_counter() - started
        assert len(market.orders) == depth, f"{len(market.orders)} orders in a book of {depth}"
        advance(depth)
    bench.add(
        Figure(
            name=f"book of {depth:,} resting orders, rebuilt",
            value=seconds,
            unit="s",
            beside="the goal",
            limit=REBUILD_GOAL_S,
            most=1.0,
        )
    )


def _place(bench: Bench, title: str, books: dict[str, list[int]], rounds: int) -> dict[str, float]:
    """Seconds for an order of a batch, best of the rounds, by stock."""
    rng = Random(1)
    spent: dict[str, list[float]] = {stock_id: [] for stock_id in books}
    with bench.part(title, (rounds + 1) * len(books)) as advance:
        for number in range(rounds + 1):
            for stock_id, user_ids in books.items():
                seconds = _placed(_batch(stock_id, user_ids, rng))
                # The first also reads the book.
                if number:
                    spent[stock_id].append(seconds)
                advance(1)
    return {stock_id: min(seconds) for stock_id, seconds in spent.items()}


def _batch(stock_id: str, user_ids: list[int], rng: Random) -> list[NewOrder]:
    """Bids at prices that are in the book."""
    return [
        NewOrder(
            rng.choice(user_ids),
            stock_id,
            "buy",
            "limit",
            QUANTITY,
            price=TOP_PRICE - INCREMENT * rng.randrange(20),
        )
        for _ in range(BATCH)
    ]


def _placed(batch: list[NewOrder]) -> float:
    started = time.perf_counter()
    placed = get_engine().place_orders(batch, 120.0)
    seconds = time.perf_counter() - started
    assert not any(isinstance(order, Refusal) for order in placed), "an order was refused"
    return seconds / len(batch)
