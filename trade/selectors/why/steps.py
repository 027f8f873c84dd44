"""An order's life in steps: its own events and trades, halts, and ticks, those of one verdict in a row as one."""

from collections.abc import Iterator
from copy import copy
from dataclasses import dataclass, replace
from itertools import pairwise

from trade.models import Order, OrderEvent, Trade
from trade.selectors.why.life import Item, Kind, Life, State, TickRow
from users.fields import to_units

# Verdicts on a tick. `MET` is one that the order could trade with: what came of it is in its outcome.
LATE = "late"
HALTED = "halted"
WAITING = "waiting_for_stop"
ABOVE = "price_too_high"
BELOW = "price_too_low"
EMPTY = "nothing_available"
MET = "met"
FILLED = "filled"
SPENT = "spent_by_orders_ahead"
VERDICTS = (LATE, HALTED, WAITING, ABOVE, BELOW, EMPTY, FILLED, SPENT)


@dataclass(slots=True)
class Step:
    """One thing that happened, the state before it and after it. `is_last_move`: what came at once ended it."""

    item: Item
    before: State
    after: State
    is_last_move: bool

    @property
    def sequence(self) -> int:
        return self.item.sequence


@dataclass(slots=True)
class Ticks:
    """Ticks in a row with one verdict; prices in units. `until`: the last sequence before the next tick."""

    verdict: str
    state: State
    last: TickRow
    until: int
    count: int = 1
    lowest: int = 0
    highest: int = 0

    @property
    def sequence(self) -> int:
        return self.last.sequence

    def add(self, tick: TickRow) -> None:
        self.last, self.count = tick, self.count + 1
        self.lowest, self.highest = min(self.lowest, tick.price), max(self.highest, tick.price)


def steps_of(life: Life) -> Iterator[Step | Ticks]:
    """The steps of a stretch of life, in the order of their sequences."""
    state, run = replace(life.state), None
    ends = _ends_of_ticks(life)
    for index, item in enumerate(life.items):
        if isinstance(item, TickRow):
            verdict = verdict_on(item, life.order, state)
            if run is not None and run.verdict == verdict != MET:
                run.add(item)
                continue
            if run is not None:
                yield run
            run = Ticks(
                verdict, copy(state), item, ends[item.sequence], lowest=item.price, highest=item.price
            )
            continue
        if run is not None:
            yield run
            run = None
        before = copy(state)
        _advance(state, item)
        yield Step(item, before, copy(state), _ends_at_once(life, index))
    if run is not None:
        yield run


def verdict_on(tick: TickRow, order: Order, state: State) -> str:
    """Why an order in this state does not trade with the tick, or that it could."""
    if tick.is_late:
        return LATE
    if state.is_halted:
        return HALTED
    if state.is_waiting:
        return WAITING
    low, high = bounds_of(order, state)
    if high is not None and tick.price > high:
        return ABOVE
    if low is not None and tick.price < low:
        return BELOW
    return MET if tick.availability else EMPTY


def bounds_of(order: Order, state: State) -> tuple[int | None, int | None]:
    """The lowest and the highest price, in units, at which the order trades; None where there is no end."""
    if order.lower_bound is not None and order.upper_bound is not None:
        return to_units(order.lower_bound), to_units(order.upper_bound)
    return (None, state.limit) if order.side == Order.Side.BUY else (state.limit, None)


def _advance(state: State, item: OrderEvent | Trade) -> None:
    if isinstance(item, Trade):
        state.open_quantity -= item.quantity
    elif item.kind == Kind.HALTED:
        state.is_halted = True
    elif item.kind == Kind.RESUMED:
        state.is_halted = False
    elif item.kind == Kind.TRIGGERED:
        state.is_waiting = False
    elif item.kind == Kind.REPLACED and item.quantity is not None and item.price is not None:
        state.open_quantity += item.quantity - state.total
        state.total, state.limit = item.quantity, to_units(item.price)
    elif item.kind in (Kind.REDUCED, Kind.CANCELLED, Kind.EXPIRED, Kind.REJECTED):
        state.open_quantity -= item.quantity or 0


def _ends_at_once(life: Life, index: int) -> bool:
    """Whether the order, on the move at this item, was over before it came to rest."""
    item, order = life.items[index], life.order
    if not isinstance(item, OrderEvent) or item.kind != Kind.REPLACED or order.remaining_quantity:
        return False
    met_own = False
    for following in life.items[index + 1 :]:
        if isinstance(following, Trade):
            if following.taker_side != order.side:
                return False
        elif isinstance(following, TickRow) or following.order_id != order.pk:
            return False
        elif following.kind == Kind.CANCELLED:
            return met_own
        else:
            met_own = met_own or following.kind == Kind.PREVENTED
    return not life.is_cut


def _ends_of_ticks(life: Life) -> dict[int, int]:
    """By tick: the last sequence before the next one. At most two trades a share are made in serving it."""
    ticks = [item for item in life.items if isinstance(item, TickRow)]
    ends = {tick.sequence: tick.sequence + 2 * tick.availability for tick in ticks}
    for tick, following in pairwise(ticks):
        ends[tick.sequence] = min(ends[tick.sequence], following.sequence - 1)
    return ends
