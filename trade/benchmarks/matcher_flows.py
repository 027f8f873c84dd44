"""What the matcher and its rivals are given: three flows of limits and cancels, the same every time.

Who cancels cancels an order that is open, so that no rival is measured at saying no.
"""

from collections.abc import Iterator
from random import Random
from typing import NamedTuple

from trade.benchmarks.matcher_bare import BareBook
from trade.matching import BUY, SELL

# The middle of the market at the start, in units, and the price increment.
MIDDLE = 1_000_000
INCREMENT = 100
MAX_QUANTITY = 100
# How often the middle moves by an increment.
MOVES = 0.01


class Operation(NamedTuple):
    """A limit order; a cancel when `quantity` is 0."""

    order_id: str
    side: int
    price: int
    quantity: int


class Mix(NamedTuple):
    """What a flow is made of: shares of cancels and of orders that cross, and how far prices reach.

    Distances are in price increments from the middle: of an order that rests, and past the middle of one that
    crosses, which wants up to `size` times as much as one that rests.
    """

    cancels: float
    crossing: float
    distance: int
    reach: int
    size: int


FLOWS = {
    # Most of an exchange's traffic: quotes come and go next to the best prices.
    "near the touch": Mix(cancels=0.40, crossing=0.08, distance=20, reach=2, size=1),
    # A hundred thousand orders at two thousand prices, and now and then a trade.
    "deep book": Mix(cancels=0.20, crossing=0.05, distance=2_000, reach=5, size=1),
    # Nearly every second order trades, most of them with several others.
    "crossing": Mix(cancels=0.05, crossing=0.45, distance=10, reach=10, size=3),
}


def operations(mix: Mix, count: int, seed: int = 1) -> list[Operation]:
    return list(_operations(mix, count, Random(seed)))


def _operations(mix: Mix, count: int, rng: Random) -> Iterator[Operation]:
    book, middle, resting = BareBook(), MIDDLE, list[str]()
    for number in range(count):
        if rng.random() < MOVES:
            middle += rng.choice((-INCREMENT, INCREMENT))
        if rng.random() < mix.cancels and (open_id := _pick_open(resting, book, rng)) is not None:
            book.cancel(open_id)
            yield Operation(open_id, 0, 0, 0)
            continue
        side = rng.choice((BUY, SELL))
        if rng.random() < mix.crossing / (1 - mix.cancels):
            price, quantity = middle + side * INCREMENT * mix.reach, rng.randint(1, mix.size * MAX_QUANTITY)
        else:
            away = 1 + int(mix.distance * rng.random() ** 2)
            price, quantity = middle - side * INCREMENT * away, rng.randint(1, MAX_QUANTITY)
        order_id = f"order-{number}"
        book.limit(order_id, side, price, quantity)
        if order_id in book.orders:
            resting.append(order_id)
        yield Operation(order_id, side, price, quantity)


def _pick_open(resting: list[str], book: BareBook, rng: Random) -> str | None:
    """Take any of the open orders out of those that came to rest, and the filled ones on the way."""
    while resting:
        place = rng.randrange(len(resting))
        resting[place], resting[-1] = resting[-1], resting[place]
        order_id = resting.pop()
        if order_id in book.orders:
            return order_id
    return None
