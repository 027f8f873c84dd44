"""Random sessions from seeds: the same seed and shape give the same commands, for ever.

Prices are on increments and small, so that equal prices, equal times of day and own counterparties are common
rather than rare; few users, so that they meet themselves.
"""

from collections.abc import Iterator
from random import Random
from typing import Any, NamedTuple

from trade.tests.matching.commands import (
    BUY,
    SELL,
    Cancel,
    Command,
    Enter,
    Expire,
    Halt,
    LateTick,
    Replace,
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
    largest: int = 200
    drift: float = 0.4  # of the middle, by one increment
    tick: float = 0.0
    cancel: float = 0.15
    expire: float = 0.02
    turn_away: float = 0.0  # part of the entered orders
    halt: float = 0.0
    bounded: float = 0.0  # part of the entered orders
    market: float = 0.08
    immediate: float = 0.15  # ioc and fok, part of the limit orders
    replace: float = 0.0
    stop: float = 0.0  # part of the limit and market orders
    iceberg: float = 0.0  # part of the limit orders that may rest
    post_only: float = 0.0  # part of the limit orders that may rest
    modes: tuple[str, ...] = ("expire_taker",)  # of orders that come to their own user's


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
ALL_MODES = ("expire_taker", "expire_maker", "expire_both", "decrement")
REPLACING = Shape(
    name="replacing",
    length=250,
    width=2,
    overlap=1,
    largest=8,
    tick=0.15,
    cancel=0.03,
    expire=0.0,
    halt=0.01,
    bounded=0.2,
    replace=0.45,
    stop=0.1,
    iceberg=0.3,
    post_only=0.5,
)
ICEBERGS = Shape(
    "icebergs", length=150, width=2, overlap=2, users=5, tick=0.1, cancel=0.05, iceberg=0.6, modes=ALL_MODES
)
STOPS = Shape(
    name="stops",
    length=250,
    width=6,
    overlap=2,
    users=4,
    drift=0.8,
    tick=0.06,
    cancel=0.05,
    halt=0.02,
    stop=0.6,
    market=0.3,
    iceberg=0.15,
    modes=ALL_MODES,
)
OWN_ORDERS = Shape(
    "own orders",
    length=120,
    width=2,
    overlap=2,
    users=2,
    tick=0.05,
    iceberg=0.3,
    modes=ALL_MODES,
    immediate=0.3,
)
ALL_TYPES = Shape(
    name="all types",
    length=250,
    width=4,
    overlap=2,
    users=4,
    largest=40,
    tick=0.12,
    cancel=0.08,
    turn_away=0.02,
    halt=0.02,
    bounded=0.12,
    immediate=0.25,
    replace=0.25,
    stop=0.3,
    iceberg=0.3,
    post_only=0.1,
    modes=ALL_MODES,
)
SHAPES = (
    *(NEAR_TOUCH, DEEP, CROSSING, FEED, FLICKERING, EVERYTHING),
    *(REPLACING, ICEBERGS, STOPS, OWN_ORDERS, ALL_TYPES),
)

INCREMENT = 100
MIDDLE = 1_000


def session(seed: int) -> list[Command]:
    """The session of this seed; consecutive seeds walk through all shapes."""
    return list(commands_of(SHAPES[seed % len(SHAPES)], seed=seed))


def commands_of(shape: Shape, *, seed: int) -> Iterator[Command]:
    """Yield a session; it looks at no market, so cancels also hit orders that are filled or never were."""
    rng = Random(f"{shape.name}:{seed}")
    middle, halted = MIDDLE, False
    entered: list[Enter] = []
    for _ in range(shape.length):
        middle += rng.choice((-1, 1)) if rng.random() < shape.drift else 0
        if halted and rng.random() < 0.3:
            halted = False
            yield Resume()
            continue
        match _random_kind(rng, shape):
            case "halt":
                halted = True
                yield Halt()
            case "tick":
                yield _random_tick(rng, shape, middle)
            case "cancel":
                yield Cancel(_some_order(rng, len(entered)), rng.choice(("user", "staff")))
            case "expire":
                yield Expire(_some_order(rng, len(entered)), rng.choice(("day", "gtd")))
            case "replace":
                yield _random_replace(rng, entered)
            case _:
                order = _random_order(rng, shape, middle, order_id=f"o{len(entered) + 1}")
                entered.append(order)
                yield TurnAway(order) if rng.random() < shape.turn_away else order


def _random_kind(rng: Random, shape: Shape) -> str:
    draw = rng.random()
    for kind in ("halt", "tick", "cancel", "expire", "replace"):
        draw -= getattr(shape, kind)
        if draw < 0:
            return kind
    return "enter"


def _some_order(rng: Random, entered: int) -> str:
    newest_first = int(rng.expovariate(1 / 12))
    return f"o{max(entered - newest_first, 0)}"


def _random_tick(rng: Random, shape: Shape, middle: int) -> Command:
    price = (middle + rng.randint(-shape.overlap - 2, shape.overlap + 2)) * INCREMENT
    availability = rng.choice((0, 1, rng.randint(1, 20), rng.randint(1, 100), 1_000))
    kind = LateTick if rng.random() < 0.1 else Tick
    return kind(price, availability)


def _random_replace(rng: Random, entered: list[Enter]) -> Command:
    """Some order gets another total, another price unless it is bounded, or what it had when it came."""
    order_id = _some_order(rng, len(entered))
    if order_id == "o0":
        return Replace(order_id, MIDDLE * INCREMENT, 10)
    old = entered[int(order_id[1:]) - 1]
    less = rng.randint(1, 3), rng.randint(1, 5), max(old.quantity - rng.randint(1, 3), 1)
    quantity = rng.choice((old.quantity, *less, old.quantity + rng.randint(1, 10)))
    steps = 0 if old.kind == "bounded" else rng.choice((0, 0, rng.randint(-3, 3), rng.randint(-3, 3)))
    # From now on this is what it is compared with, so that later changes of it are small as well.
    new = entered[int(order_id[1:]) - 1] = old._replace(
        limit_price=old.limit_price + steps * INCREMENT, quantity=quantity
    )
    return Replace(order_id, new.limit_price, new.quantity)


def _random_order(rng: Random, shape: Shape, middle: int, *, order_id: str) -> Enter:
    side = rng.choice((BUY, SELL))
    user_id = rng.randint(1, shape.users)
    quantity = min(rng.choice((1, 10, rng.randint(1, 30), rng.randint(1, 200))), shape.largest)
    away = rng.randint(-shape.overlap, shape.width)
    price = (middle - side * away) * INCREMENT
    if rng.random() < shape.bounded:
        span = rng.choice((0, 1, 3, 10)) * INCREMENT
        return Enter(
            order_id, user_id, side, price, quantity, kind="bounded", other_bound=price - side * span
        )
    words: dict[str, Any] = {"self_trade": rng.choice(shape.modes)}
    if rng.random() < shape.stop:
        words["stop_price"] = (middle + side * rng.randint(-1, shape.width)) * INCREMENT
    if rng.random() < shape.market:
        collar = (middle + side * rng.randint(0, shape.width)) * INCREMENT
        return Enter(order_id, user_id, side, collar, quantity, kind="market", time_in_force="ioc", **words)
    if rng.random() < shape.immediate:
        tif = rng.choice(("ioc", "fok"))
        return Enter(order_id, user_id, side, price, quantity, time_in_force=tif, **words)
    if quantity > 1 and rng.random() < shape.iceberg:
        words["display_quantity"] = rng.randint(1, min(quantity - 1, rng.choice((3, 20))))
    if "stop_price" not in words:
        words["post_only"] = rng.random() < shape.post_only
    waiting = rng.choice(("gtc", "gtc", "day", "gtd"))
    return Enter(order_id, user_id, side, price, quantity, time_in_force=waiting, **words)
