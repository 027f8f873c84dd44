"""Random sessions from seeds: the same seed and shape give the same commands, for ever.

Prices are on increments and small, so that equal prices, equal times of day and own counterparties are common
rather than rare; few users, so that they meet themselves.
"""

from collections.abc import Iterator
from random import Random
from typing import NamedTuple

from trade.tests.matching.commands import (
    BUY,
    SELL,
    Cancel,
    Command,
    Enter,
    Expire,
    Halt,
    LateTick,
    Resume,
    Tick,
    TurnAway,
)


class Shape(NamedTuple):
    """What kind of a day it is. Chances are parts of one; what is left over enters orders."""

    name: str
    length: int
    width: int  # how far from the middle, in increments, orders are placed
    overlap: int  # how far over the middle they reach: 0 and less never cross
    users: int = 6
    drift: float = 0.4  # of the middle, by one increment
    tick: float = 0.0
    cancel: float = 0.15
    expire: float = 0.02
    turn_away: float = 0.0  # part of the entered orders
    halt: float = 0.0
    bounded: float = 0.0  # part of the entered orders
    market: float = 0.08
    immediate: float = 0.15  # ioc and fok, part of the limit orders


NEAR_TOUCH = Shape("near touch", length=120, width=4, overlap=1, tick=0.05)
DEEP = Shape("deep", length=200, width=60, overlap=4, users=30, cancel=0.05, tick=0.02)
CROSSING = Shape("crossing-heavy", length=120, width=5, overlap=5, users=3, cancel=0.05, immediate=0.4)
FEED = Shape("feed", length=150, width=6, overlap=2, tick=0.3, bounded=0.5)
# Long queues at few prices, of which most orders leave again: the dead outnumber the living.
FLICKERING = Shape(
    "flickering", length=400, width=1, overlap=-1, drift=0, cancel=0.7, market=0.02, immediate=0
)
EVERYTHING = Shape(
    name="everything",
    length=150,
    width=5,
    overlap=3,
    users=4,
    tick=0.15,
    turn_away=0.03,
    halt=0.03,
    bounded=0.25,
    immediate=0.3,
)
SHAPES = (NEAR_TOUCH, DEEP, CROSSING, FEED, FLICKERING, EVERYTHING)

INCREMENT = 100
MIDDLE = 1_000


def session(seed: int) -> list[Command]:
    """The session of this seed; consecutive seeds walk through all shapes."""
    return list(commands_of(SHAPES[seed % len(SHAPES)], seed=seed))


def commands_of(shape: Shape, *, seed: int) -> Iterator[Command]:
    """Yield a session; it looks at no market, so cancels also hit orders that are filled or never were."""
    rng = Random(f"{shape.name}:{seed}")
    middle, halted, entered = MIDDLE, False, 0
    for _ in range(shape.length):
        middle += rng.choice((-1, 1)) if rng.random() < shape.drift else 0
        draw = rng.random()
        if halted and rng.random() < 0.3:
            halted = False
            yield Resume()
        elif draw < shape.halt:
            halted = True
            yield Halt()
        elif draw < shape.halt + shape.tick:
            yield _random_tick(rng, shape, middle)
        elif draw < shape.halt + shape.tick + shape.cancel:
            yield Cancel(_some_order(rng, entered), rng.choice(("user", "staff")))
        elif draw < shape.halt + shape.tick + shape.cancel + shape.expire:
            yield Expire(_some_order(rng, entered))
        else:
            entered += 1
            order = _random_order(rng, shape, middle, order_id=f"o{entered}")
            yield TurnAway(order) if rng.random() < shape.turn_away else order


def _some_order(rng: Random, entered: int) -> str:
    newest_first = int(rng.expovariate(1 / 12))
    return f"o{max(entered - newest_first, 0)}"


def _random_tick(rng: Random, shape: Shape, middle: int) -> Command:
    price = (middle + rng.randint(-shape.overlap - 2, shape.overlap + 2)) * INCREMENT
    availability = rng.choice((0, 1, rng.randint(1, 20), rng.randint(1, 100), 1_000))
    kind = LateTick if rng.random() < 0.1 else Tick
    return kind(price, availability)


def _random_order(rng: Random, shape: Shape, middle: int, *, order_id: str) -> Enter:
    side = rng.choice((BUY, SELL))
    user_id = rng.randint(1, shape.users)
    quantity = rng.choice((1, 10, rng.randint(1, 30), rng.randint(1, 200)))
    away = rng.randint(-shape.overlap, shape.width)
    price = (middle - side * away) * INCREMENT
    if rng.random() < shape.bounded:
        span = rng.choice((0, 1, 3, 10)) * INCREMENT
        return Enter(
            order_id, user_id, side, price, quantity, kind="bounded", other_bound=price - side * span
        )
    if rng.random() < shape.market:
        collar = (middle + side * rng.randint(0, shape.width)) * INCREMENT
        return Enter(order_id, user_id, side, collar, quantity, kind="market", time_in_force="ioc")
    waiting = rng.choice(("gtc", "gtc", "day"))
    tif = rng.choice(("ioc", "fok")) if rng.random() < shape.immediate else waiting
    return Enter(order_id, user_id, side, price, quantity, time_in_force=tif)
