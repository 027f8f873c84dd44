"""What the naive twin keeps of an order, of the outside, and of what an arriving order meets."""

from dataclasses import dataclass
from typing import Any

from trade.tests.matching.commands import BUY, Enter

Fact = tuple[Any, ...]
Level = tuple[int, int, int]
Quantities = tuple[int, int, int]


@dataclass(eq=False)
class ReferenceOrder:
    """`terms` are those it came with; price and total are those it has, for they can be replaced."""

    terms: Enter
    limit_price: int
    quantity: int
    open_quantity: int
    traded_quantity: int = 0
    traded_value: int = 0
    priority: int = 0
    slice_left: int = 0
    ahead: tuple[int, int] | None = None

    @property
    def shown_quantity(self) -> int:
        """What can be seen of it while it waits in the book."""
        return self.slice_left if self.terms.display_quantity else self.open_quantity

    def fill(self, price: int, quantity: int) -> None:
        self.open_quantity -= quantity
        self.traded_quantity += quantity
        self.traded_value += price * quantity

    def use_slice(self, quantity: int, sequence: int) -> None:
        """`quantity` of what it shows is gone. When that was all, what it shows next is in the last place."""
        if self.terms.display_quantity == 0:
            return
        self.slice_left -= quantity
        if self.slice_left == 0 and self.open_quantity > 0:
            self.show_a_slice()
            self.priority = sequence

    def show_a_slice(self) -> None:
        self.slice_left = min(self.terms.display_quantity, self.open_quantity)


@dataclass
class ReferenceQuote:
    price: int
    availability: int
    outside_buys: int
    outside_sells: int
    tick_sequence: int


@dataclass
class Offer:
    """Something an arriving order may trade with: a user's waiting order, or the outside when it is None."""

    price: int
    quantity: int
    order: ReferenceOrder | None

    @property
    def hidden_quantity(self) -> int:
        return 0 if self.order is None else self.order.open_quantity - self.quantity

    def is_of(self, user_id: int) -> bool:
        return self.order is not None and self.order.terms.user_id == user_id


def new_reference_order(terms: Enter) -> ReferenceOrder:
    return ReferenceOrder(terms, terms.limit_price, terms.quantity, open_quantity=terms.quantity)


def offer_of(maker: ReferenceOrder) -> Offer:
    return Offer(maker.limit_price, maker.shown_quantity, maker)


def level_of(price: int, orders: list[ReferenceOrder]) -> Level:
    here = [order for order in orders if order.limit_price == price]
    return price, sum(order.shown_quantity for order in here), len(here)


def accepts(order: ReferenceOrder, price: int) -> bool:
    limit, other = order.limit_price, order.terms.other_bound
    if order.terms.kind == "bounded":
        return other <= price <= limit if order.terms.side == BUY else limit <= price <= other
    return price <= limit if order.terms.side == BUY else price >= limit


def is_reached(order: ReferenceOrder, last_price: int | None) -> bool:
    """Whether a last price lets the order's stop go."""
    if last_price is None:
        return False
    if order.terms.side == BUY:
        return last_price >= order.terms.stop_price
    return last_price <= order.terms.stop_price
