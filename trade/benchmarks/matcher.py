"""The matcher beside a bare book and the order books of others, on three flows.

Every contender plays the same operations, on books that start empty. A contender and the matcher take turns, round
by round, and the best round of each counts, in processor time of this thread: what else the machine does is not
the matcher's. Garbage collection is off meanwhile, for everybody.
"""

import gc
import time
from collections.abc import Callable, Sequence

from stocks.benchmarks.figures import Advance, Bench, Figure
from trade.benchmarks.matcher_flows import FLOWS, Operation, operations
from trade.benchmarks.rivals import ENTRANTS, Answers, Bare, Entrant, Ours, Rival

LEAST_OF_BARE = 1 / 3


def run(bench: Bench, *, count: int = 200_000, rounds: int = 5, rival_rounds: int = 3) -> None:
    """Each flow of `count` operations."""
    entrants = [entrant for entrant in ENTRANTS if entrant.is_installed]
    missing = [entrant.name for entrant in ENTRANTS if not entrant.is_installed]
    for name, mix in FLOWS.items():
        flow = operations(mix, count)
        with bench.part(name, 2 * rounds) as advance:
            pair = best_of(Bare, Ours, flow, rounds, advance)
            bench.add(_beside_bare(name, flow, *pair))
        for entrant in entrants:
            part = flow[: entrant.most]
            with bench.part(f"{name}: {entrant.name}", 2 * rival_rounds) as advance:
                pair = best_of(entrant.make, Ours, part, rival_rounds, advance)
                bench.add(_beside_rival(name, entrant, part, *pair))
    if missing:
        note = f"not installed: {', '.join(missing)}; `python3 manage.py bootstrap --bench` installs them"
        bench.add(Figure("rivals measured", len(entrants), f"of {len(ENTRANTS)}", note=note))


def best_of(
    make: Callable[[], Rival],
    make_ours: Callable[[], Rival],
    flow: Sequence[Operation],
    rounds: int,
    advance: Advance,
) -> tuple[float, float]:
    """Operations a second of the one and the other, taking turns."""
    spent: tuple[list[float], list[float]] = ([], [])
    for _ in range(rounds):
        for contender, seconds in zip((make, make_ours), spent, strict=True):
            seconds.append(timed(contender(), flow))
            advance(1)
    theirs, ours = (len(flow) / min(seconds) for seconds in spent)
    return theirs, ours


def timed(contender: Rival, flow: Sequence[Operation]) -> float:
    """Seconds of processor time."""
    gc.collect()
    gc.disable()
    try:
        started = time.thread_time()
        contender.play(flow)
        return time.thread_time() - started
    finally:
        gc.enable()


def difference(theirs: Answers, ours: Answers, *, prices: bool) -> str:
    """Where the trades of two books part; empty when they are equal in price, quantity and order."""
    for number, (their, our) in enumerate(zip(theirs, ours, strict=True)):
        if not prices:
            their, our = ([(0, sum(quantity for _, quantity in trades))] for trades in (their, our))
        if their != our:
            return f"order {number} trades {their}, with us {our}"
    return ""


def _beside_bare(name: str, flow: Sequence[Operation], bare: float, ours: float) -> Figure:
    answers = Ours().answers(flow)
    apart = difference(Bare().answers(flow), answers, prices=True)
    trades = sum(map(len, answers))
    return Figure(
        name=f"{name}, {len(flow):,} operations",
        value=ours,
        unit="operations/s",
        beside="bare heap-and-dict book",
        limit=bare,
        least=LEAST_OF_BARE,
        note=f"DIFFERS: {apart}" if apart else f"{trades:,} trades, equal",
    )


def _beside_rival(
    name: str, entrant: Entrant, part: Sequence[Operation], theirs: float, ours: float
) -> Figure:
    apart = difference(entrant.make().answers(part), Ours().answers(part), prices=entrant.tells_prices)
    equal = "trades equal" if entrant.tells_prices else "tells no trades; what each order traded is equal"
    return Figure(
        name=f"{name}, {len(part):,} operations",
        value=ours,
        unit="operations/s",
        beside=entrant.name,
        limit=theirs,
        least=entrant.least,
        note=f"DIFFERS: {apart}" if apart else equal,
    )
