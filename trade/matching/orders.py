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
GTD = "gtd"

# What becomes of an order that meets one of its own user's: see `self_trade`.
EXPIRE_TAKER = "expire_taker"
EXPIRE_MAKER = "expire_maker"
EXPIRE_BOTH = "expire_both"
DECREMENT = "decrement"

# What an order that is over ended as; FILLED needs no word, its quantities say so.
CANCELLED = "CANCELLED"
EXPIRED = "EXPIRED"
REJECTED = "REJECTED"


class Order:
    """One order and how much of it is still open.

    Prices are units (ten-thousandths), quantities whole shares. `limit_price` is the worst price it may
    trade at: the limit; for a bounded order the bound on its own side (upper for a buy, lower for a
    sell), `other_bound` being the opposite one; for a market order the edge of its collar.
    A `stop_price` (0: none) keeps it out of the market until the last price reaches it.
    A `display_quantity` (0: all) makes it an iceberg: the book shows `shown_quantity` of it, and when that
    is traded the next slice goes to the end of the queue.

    `priority` is the sequence at which it took its place in the queue, `sequence` that of the last event
    that changed it, `stored_sequence` that of the last change known to be committed.
    """

    # What most orders never change stays on the class: making an order is half of what resting it costs.
    priority = 0
    sequence = 0
    stored_sequence = 0
    shown_quantity = 0
    is_stopped = False
    outcome = ""
    reason = ""
    # Shares shown and orders that stood before it at its price when it came to rest; None: it did not.
    ahead_quantity: int | None = None
    ahead_orders: int | None = None
    # Carried for the caller, who keeps the books; the rules do not look at them.
    maker_fee_bps = 0
    taker_fee_bps = 0
    held = 0

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
        stop_price: int = 0,
        post_only: bool = False,
        display_quantity: int = 0,
        self_trade: str = EXPIRE_TAKER,
    ) -> None:
        self.order_id = order_id
        self.user_id = user_id
        self.side = side
        self.kind = kind
        self.limit_price = limit_price
        self.quantity = quantity
        self.open_quantity = quantity
        self.time_in_force = time_in_force
        self.other_bound = other_bound
        self.stop_price = stop_price
        self.post_only = post_only
        self.display_quantity = display_quantity
        self.self_trade = self_trade
        self.traded_quantity = 0
        self.traded_value = 0

    def __repr__(self) -> str:
        side = "buy" if self.side == BUY else "sell"
        return f"<{self.kind} {side} {self.open_quantity}/{self.quantity} at {self.limit_price}>"

    def accepts(self, price: int) -> bool:
        """Whether it may trade at `price`."""
        if self.side * price > self.side * self.limit_price:
            return False
        return self.kind != BOUNDED or self.side * price >= self.side * self.other_bound

    def is_reached_by(self, price: int) -> bool:
        """Whether a last price of `price` lets its stop go."""
        return self.side * price >= self.side * self.stop_price

    @property
    def visible_quantity(self) -> int:
        """What the book shows of it while it rests, and what trades before it queues again."""
        return self.shown_quantity if self.display_quantity else self.open_quantity

    def show(self) -> None:
        """Show the next slice of an iceberg."""
        self.shown_quantity = min(self.display_quantity, self.open_quantity)

    def fill(self, quantity: int, price: int, sequence: int) -> None:
        """Book one trade on the order itself."""
        self.open_quantity -= quantity
        self.traded_quantity += quantity
        self.traded_value += quantity * price
        self.sequence = sequence

    def reduce(self, quantity: int, sequence: int) -> None:
        """Give up `quantity` of what is open."""
        self.open_quantity -= quantity
        self.sequence = sequence
        if self.display_quantity:
            self.shown_quantity = min(self.shown_quantity, self.open_quantity)

    def close(self, outcome: str, reason: str, sequence: int) -> int:
        """End it before it is filled; returns the quantity that will never trade."""
        quantity, self.open_quantity = self.open_quantity, 0
        self.shown_quantity = 0
        self.outcome = outcome
        self.reason = reason
        self.sequence = sequence
        return quantity

    def replaced_by(self, limit_price: int, quantity: int, sequence: int) -> "Order":
        """The order with a new price and total, for the end of its queue. This one is over, unseen."""
        order = Order.__new__(Order)
        order.__dict__.update(self.__dict__)
        order.limit_price = limit_price
        order.open_quantity += quantity - self.quantity
        order.quantity = quantity
        order.priority = order.sequence = sequence
        order.ahead_quantity = order.ahead_orders = None
        order.shown_quantity = 0
        self.open_quantity = 0
        return order
