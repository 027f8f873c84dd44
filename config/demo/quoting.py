"""Where a market maker wants its orders, and what has to change for that: pure, in units and whole shares.

- Quotes stand on a fixed grid around the fair price, so that a small move of the price leaves most of them
  where they are and costs one cancel and one order a side.
- No quote stands at the fair price or beyond it: a maker waits, it does not take.
- Shares above the target shift the quotes down by up to one step, shares below it up: the market carries
  the maker back. What is far from the target goes to the outside market at its price (`rebalance`).
- Quantities follow a fixed worth per quote, so cash and shares last at any price.
"""

from collections.abc import Iterable
from dataclasses import dataclass
from typing import NamedTuple

BUY, SELL = "buy", "sell"
# A step of the grid, in ten-thousandths of the price.
STEP_RATIO = 15


@dataclass(frozen=True, slots=True)
class Style:
    """How one maker quotes. `worth` and `target_worth` are units of money."""

    levels: int = 9
    step_ratio: int = STEP_RATIO
    # Shifts the grid by a part of a step, so that two makers do not stand on the same prices.
    grid_shift: int = 0
    worth: int = 2_500 * 10_000
    target_worth: int = 100_000 * 10_000


class Resting(NamedTuple):
    """One of the maker's open orders."""

    order_id: str
    side: str
    price: int
    quantity: int


class Quote(NamedTuple):
    """An order to place."""

    side: str
    price: int
    quantity: int


@dataclass(frozen=True, slots=True)
class StockView:
    """What a bot knows about a stock. `outside_buys` and `outside_sells` are what is left at `fair`."""

    stock_id: str
    fair: int
    increment: int
    lot: int
    outside_buys: int
    outside_sells: int


class Plan(NamedTuple):
    """What to cancel and what to place."""

    cancel: list[str]
    place: list[Quote]


def plan_quotes(view: StockView, style: Style, shares: int, resting: Iterable[Resting]) -> Plan:
    """The fewest changes after which at least `style.levels` sound quotes stand on each side."""
    kept: set[tuple[str, int]] = set()
    cancel: list[str] = []
    wanted_quantity = lots(style.worth // view.fair, view.lot)
    for order in sorted(resting):
        place = order.side, order.price
        if place in kept or not _is_sound(order, view, style, shares, wanted_quantity):
            cancel.append(order.order_id)
        else:
            kept.add(place)
    wanted = [Quote(side, price, wanted_quantity) for side, price in _ladder(view, style, shares)]
    return Plan(cancel, [quote for quote in wanted if (quote.side, quote.price) not in kept])


def rebalance(view: StockView, style: Style, shares: int) -> Quote | None:
    """The order that brings shares back to the target at the outside's price; None while they are near it."""
    target = style.target_worth // view.fair
    excess = shares - target
    if abs(excess) * 4 < max(target, 4 * view.lot):
        return None
    side, left = (SELL, view.outside_buys) if excess > 0 else (BUY, view.outside_sells)
    quantity = min(abs(excess), left) // view.lot * view.lot
    return Quote(side, on_grid(view.fair, view.increment), quantity) if quantity else None


def grid_step(fair: int, increment: int, step_ratio: int) -> int:
    """The grid's step in units: the increment times a power of two, so that it seldom changes with the price."""
    wanted = fair * step_ratio // 10_000
    step = increment
    while step * 3 // 2 < wanted:
        step *= 2
    return step


def lots(quantity: int, lot: int) -> int:
    """`quantity` in whole lots; at least one."""
    return max(lot, quantity // lot * lot)


def on_grid(price: int, step: int) -> int:
    """The multiple of `step` that is nearest to `price`; at least one step."""
    return max(step, (price + step // 2) // step * step)


def _ladder(view: StockView, style: Style, shares: int) -> list[tuple[str, int]]:
    """The wanted places, best first, the sides in turn."""
    step, shift, centre = _grid(view, style, shares)
    clear = max(view.increment, step // 2)
    best_bid = (min(centre, view.fair) - clear - shift) // step * step + shift
    best_ask = -((shift - max(centre, view.fair) - clear) // step) * step + shift
    places = []
    for level in range(style.levels):
        places += [(BUY, best_bid - level * step), (SELL, best_ask + level * step)]
    return [(side, price) for side, price in places if price > 0]


def _is_sound(order: Resting, view: StockView, style: Style, shares: int, wanted_quantity: int) -> bool:
    """Whether a resting order may stay: on the grid, clear of the fair price, not too deep, not used up."""
    step, shift, centre = _grid(view, style, shares)
    sign = 1 if order.side == BUY else -1
    # A quarter of a step of slack at the front and two steps at the back: no flutter at a grid line.
    clear = sign * (view.fair - order.price) * 4 >= step
    shallow = sign * (centre - order.price) <= (style.levels + 2) * step
    return (
        clear and shallow and (order.price - shift) % step == 0 and order.quantity * 5 >= wanted_quantity * 2
    )


def _grid(view: StockView, style: Style, shares: int) -> tuple[int, int, int]:
    """Step, shift, and the price that the quotes stand around."""
    step = grid_step(view.fair, view.increment, style.step_ratio)
    shift = step * style.grid_shift // 4 // view.increment * view.increment
    target = max(1, style.target_worth // view.fair)
    skew = max(-step, min(step, (target - shares) * step // target))
    return step, shift, view.fair + skew
