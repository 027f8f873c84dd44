"""What the rules say happened. Each event carries its own number of the stock's one sequence."""

from typing import NamedTuple

from trade.matching.orders import Order


class Entered(NamedTuple):
    """The order reached the market; what it traded follows."""

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


class Cancelled(NamedTuple):
    """`quantity` shares of the order will not trade any more."""

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


Event = Entered | Trade | Cancelled | Expired | Rejected | Ticked | Halted | Resumed
