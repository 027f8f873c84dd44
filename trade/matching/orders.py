"""An order as the matcher sees it: integers and words, no database."""

BUY = 1
SELL = -1

LIMIT = "limit"
MARKET = "market"
BOUNDED = "bounded"

GTC = "gtc"
IOC = "ioc"
FOK = "fok"
DAY = "day"

# What an order that is over ended as; FILLED needs no word, its quantities say so.
CANCELLED = "CANCELLED"
EXPIRED = "EXPIRED"
REJECTED = "REJECTED"


class Order:
    """One order and how much of it is still open.

    Prices are units (ten-thousandths), quantities whole shares. `limit_price` is the worst price it may
    trade at: the limit; for a bounded order the bound on its own side (upper for a buy, lower for a
    sell), `other_bound` being the opposite one; for a market order the edge of its collar.
    `priority` is the sequence at which it took its place in the queue, `sequence` that of the last event
    that changed it, `stored_sequence` that of the last change known to be committed.
    """

    __slots__ = (
        "kind",
        "limit_price",
        "open_quantity",
        "order_id",
        "other_bound",
        "outcome",
        "priority",
        "quantity",
        "reason",
        "sequence",
        "side",
        "stored_sequence",
        "time_in_force",
        "traded_quantity",
        "traded_value",
        "user_id",
    )

    def __init__(
        self,
        order_id: str,
        user_id: int,
        side: int,
        kind: str,
        limit_price: int,
        quantity: int,
        time_in_force: str = GTC,
        other_bound: int = 0,
    ) -> None:
        self.order_id = order_id
        self.user_id = user_id
        self.side = side
        self.kind = kind
        self.limit_price = limit_price
        self.other_bound = other_bound
        self.quantity = quantity
        self.time_in_force = time_in_force
        self.open_quantity = quantity
        self.traded_quantity = 0
        self.traded_value = 0
        self.priority = 0
        self.sequence = 0
        self.stored_sequence = 0
        self.outcome = ""
        self.reason = ""

    def __repr__(self) -> str:
        side = "buy" if self.side == BUY else "sell"
        return f"<{self.kind} {side} {self.open_quantity}/{self.quantity} at {self.limit_price}>"

    def accepts(self, price: int) -> bool:
        """Whether it may trade at `price`."""
        if self.side * price > self.side * self.limit_price:
            return False
        return self.kind != BOUNDED or self.side * price >= self.side * self.other_bound

    def fill(self, quantity: int, price: int, sequence: int) -> None:
        """Book one trade on the order itself."""
        self.open_quantity -= quantity
        self.traded_quantity += quantity
        self.traded_value += quantity * price
        self.sequence = sequence

    def close(self, outcome: str, reason: str, sequence: int) -> int:
        """End it before it is filled; returns the quantity that will never trade."""
        quantity, self.open_quantity = self.open_quantity, 0
        self.outcome = outcome
        self.reason = reason
        self.sequence = sequence
        return quantity
