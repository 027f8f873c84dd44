"""What can be asked of a market, as plain data: a session is a list of these.

Sessions are data so that both markets are given exactly the same one, and so that a session on which they
disagree can be cut down command by command.
"""

from typing import NamedTuple

BUY, SELL = 1, -1


class Enter(NamedTuple):
    """An order arrives. The prices and the words mean what they mean to the core's Order."""

    order_id: str
    user_id: int
    side: int
    limit_price: int
    quantity: int
    kind: str = "limit"
    time_in_force: str = "gtc"
    other_bound: int = 0
    stop_price: int = 0
    post_only: bool = False
    display_quantity: int = 0
    self_trade: str = "expire_taker"


class Replace(NamedTuple):
    """An order is given another price and another total, of which what it traded is part."""

    order_id: str
    limit_price: int
    quantity: int


class Cancel(NamedTuple):
    order_id: str
    reason: str = "user"


class TurnAway(NamedTuple):
    """An order is ended before it has entered."""

    order: Enter
    reason: str = "user"


class Expire(NamedTuple):
    order_id: str
    reason: str = "day"


class Tick(NamedTuple):
    price: int
    availability: int


class LateTick(NamedTuple):
    """A tick older than the stock's last one."""

    price: int
    availability: int


class Halt(NamedTuple):
    pass


class Resume(NamedTuple):
    pass


Command = Enter | Replace | Cancel | TurnAway | Expire | Tick | LateTick | Halt | Resume
