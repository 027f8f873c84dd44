"""Two processes take turns on one market, each with its own book, and both drop theirs now and then.

The store stands in for the database: after every command it has what the command changed. The engine's own
books catch up from it. Whatever they took turns at, the market is the one that the twin kept all along.
"""

import copy
from collections.abc import Iterable
from random import Random
from unittest.mock import patch

from django.test import SimpleTestCase

from stocks.services.ticks import LockedStock
from trade.engine import books
from trade.engine.books import Books
from trade.matching import Market, Order
from trade.tests.matching import comparison
from trade.tests.matching.generators import session

STOCK_ID = "ACME"
SESSIONS = 66
RESTORE_FILLS = Market.restore_fills


class Store:
    """The stored orders and the stock row, as copies that no book can reach."""

    def __init__(self) -> None:
        self.orders: dict[str, Order] = {}

    def write(self, core: comparison.CoreMarket) -> LockedStock:
        for order_id, order in core.all_orders.items():
            if order_id not in self.orders or order.sequence > self.orders[order_id].sequence:
                self.orders[order_id] = copy.copy(order)
        return stock_row(core.market)

    def open_orders(self, stock_id: str) -> list[Order]:
        return self._by_priority(order for order in self.orders.values() if order.open_quantity)

    def orders_changed_since(self, stock_id: str, sequence: int) -> list[Order]:
        return self._by_priority(order for order in self.orders.values() if order.sequence > sequence)

    @staticmethod
    def _by_priority(orders: Iterable[Order]) -> list[Order]:
        return [copy.copy(order) for order in sorted(orders, key=lambda order: order.priority)]


def stock_row(market: Market) -> LockedStock:
    quote = market.quote
    return LockedStock(
        stock_id=STOCK_ID,
        sequence=market.sequence,
        trade_sequence=0,
        tick_sequence=0,
        status="halted" if market.halted else "open",
        last_price=market.last_price,
        last_tick_at=None,
        quote_price=None if quote is None else quote.price,
        quote_sequence=0 if quote is None else quote.tick_sequence,
        quote_availability=0 if quote is None else quote.availability,
        quote_ask_quantity=0 if quote is None else quote.ask_quantity,
        quote_bid_quantity=0 if quote is None else quote.bid_quantity,
        highest_price=None,
        lowest_price=None,
        tick_price_sum=0,
        tick_count=0,
    )


class TakingTurns:
    """Before each command another process may come to the market, or one may start anew."""

    def __init__(self, *, seed: int, chance_of_restart: float) -> None:
        self.rng = Random(seed)
        self.chance_of_restart = chance_of_restart
        self.store = Store()
        self.processes = (Books(), Books())

    def __call__(self, core: comparison.CoreMarket) -> None:
        row = self.store.write(core)
        process = self.rng.choice(self.processes)
        if self.rng.random() < self.chance_of_restart:
            process.drop(STOCK_ID)
        with (
            patch("trade.engine.books.open_orders", self.store.open_orders),
            patch("trade.engine.books.orders_changed_since", self.store.orders_changed_since),
        ):
            core.market = process.current(row)
        core.all_orders.update(core.market.orders)


def difference(seed: int, *, chance_of_restart: float) -> str | None:
    turns = TakingTurns(seed=seed, chance_of_restart=chance_of_restart)
    return comparison.first_difference(session(seed), before_each=turns)


class CatchUpTest(SimpleTestCase):
    def test_two_processes_taking_turns_keep_one_market(self) -> None:
        for seed in range(SESSIONS):
            with self.subTest(seed=seed):
                self.assertIsNone(difference(seed, chance_of_restart=0.05))

    def test_a_book_built_anew_before_every_command_is_the_same_market(self) -> None:
        for seed in range(SESSIONS // 3):
            with self.subTest(seed=seed):
                self.assertIsNone(difference(seed, chance_of_restart=1.0))

    def test_a_book_that_does_not_catch_up_is_found_out(self) -> None:
        for forgotten in ("restore", "restore_fills", "forget", "restore_quote"):
            with self.subTest(forgotten=forgotten), patch.object(Market, forgotten, lambda *_: None):
                self.assertTrue(any(parts(seed) for seed in range(SESSIONS // 3)))

    def test_a_slice_that_is_not_caught_up_with_is_found_out(self) -> None:
        for target, name, fault in (
            (Market, "restore_fills", restore_fills_and_show),
            (books, "_catch_up", restore_fills_only),
        ):
            with self.subTest(fault=fault.__name__), patch.object(target, name, fault):
                self.assertTrue(any(parts(seed) for seed in range(SESSIONS)))


def restore_fills_and_show(market: Market, order_id: str, stored: Order) -> None:
    """Shows a whole slice of an iceberg of which a part is traded."""
    stored = copy.copy(stored)
    stored.show()
    RESTORE_FILLS(market, order_id, stored)


def restore_fills_only(market: Market, changed: list[Order]) -> None:
    """Leaves orders where they are, whatever place they have been given."""
    for stored in changed:
        if not stored.open_quantity:
            market.forget(stored.order_id)
        elif stored.order_id in market.orders:
            market.restore_fills(stored.order_id, stored)
        else:
            market.restore([stored])


def parts(seed: int) -> bool:
    try:
        return difference(seed, chance_of_restart=0.0) is not None
    except (AssertionError, KeyError):
        return True
