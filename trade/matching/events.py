"""What the rules say happened. Each event carries its own number of the stock's one sequence."""

from typing import NamedTuple

from trade.matching.orders import Order

# `new_event(Entered, (sequence, order))` is `Entered(sequence, order)` in half the time: for the hot paths.
new_event = tuple.__new__


class Entered(NamedTuple):
    """The order reached the market; what it traded follows."""

    sequence: int
    order: Order


class Triggered(NamedTuple):
    """The last price reached the order's stop: it is a market or limit order from here on."""

    sequence: int
    order: Order


class Trade(NamedTuple):
    """`quantity` shares changed hands at `price`. A side that is None is the outside market."""

    sequence: int
    price: int
    quantity: int
    bid: Order | None
    ask: Order | None
    taker_side: int
    tick_sequence: int | None


class Prevented(NamedTuple):
    """The taker met its own user's order: `quantity` shares did not trade. What became of both follows."""

    sequence: int
    taker: Order
    maker: Order
    quantity: int


class Reduced(NamedTuple):
    """`quantity` shares of an order that stays open will not trade any more."""

    sequence: int
    order: Order
    quantity: int
    reason: str


class Replaced(NamedTuple):
    """The order has a new price or total quantity. `kept_place` says whether it kept its place in the queue.

    `order` is the order from here on; the reservation it had was for `old_open_quantity` shares at
    `old_limit_price`.
    """

    sequence: int
    order: Order
    old_limit_price: int
    old_quantity: int
    old_open_quantity: int
    kept_place: bool


class Cancelled(NamedTuple):
    """`quantity` shares of the order will not trade any more; it is over."""

    sequence: int
    order: Order
    quantity: int
    reason: str


class Expired(NamedTuple):
    """As `Cancelled`, because the order's time was over."""

    sequence: int
    order: Order
    quantity: int
    reason: str


class Rejected(NamedTuple):
    """The order never entered."""

    sequence: int
    order: Order
    quantity: int
    reason: str


class Ticked(NamedTuple):
    """The outside market's new price and quantity. A late one is history only."""

    sequence: int
    price: int
    availability: int
    late: bool


class Halted(NamedTuple):
    sequence: int


class Resumed(NamedTuple):
    sequence: int


Event = (
    Entered
    | Triggered
    | Trade
    | Prevented
    | Reduced
    | Replaced
    | Cancelled
    | Expired
    | Rejected
    | Ticked
    | Halted
    | Resumed
)
