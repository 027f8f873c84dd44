"""Faults planted in the core: the comparison with the twin must find every one, or it proves nothing.

The control is `test_twin`: the same sessions, without a fault, show no difference.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from unittest.mock import patch

from django.test import SimpleTestCase

from trade.matching import Market, Order
from trade.matching.book import BookSide, Level
from trade.matching.bounded import BoundedSide
from trade.matching.events import Event
from trade.tests.matching import comparison
from trade.tests.matching.commands import Command
from trade.tests.matching.generators import SHAPES, session

SESSIONS_TO_FIND_IT = 10 * len(SHAPES)


class TakersPrice(Market):
    """Trades at the price of the order that came, not of the one that waited."""

    def _trade(self, taker: Order, maker: Order, level: Level, makers: BookSide, events: list[Event]) -> None:
        super()._trade(taker, maker, level, makers, events)
        events[-1] = events[-1]._replace(price=taker.limit_price)  # type: ignore[call-arg]


class LostRemainder(Market):
    """Forgets what is left of an order that was partly filled on arrival."""

    def _place_remainder(self, order: Order, events: list[Event]) -> None:
        if not order.traded_quantity:
            super()._place_remainder(order, events)


class AvailabilityForEveryone(Market):
    """Hands a tick's whole availability to every order, as the original did."""

    def _spend_outside(self, side: int, quantity: int) -> None:
        pass


class OutsideFirst(Market):
    """Lets the outside trade before users who ask the same price."""

    def _trade_with_users(self, taker: Order, worst_price: int, events: list[Event]) -> bool:
        first = worst_price != taker.limit_price or self._outside_price(taker) is not None
        return super()._trade_with_users(taker, worst_price - taker.side if first else worst_price, events)


class TradesWithHimself(Market):
    """Does not notice that it comes to its own user's order."""

    def _trade_with_users(self, taker: Order, worst_price: int, events: list[Event]) -> bool:
        user_id, taker.user_id = taker.user_id, 0
        try:
            return super()._trade_with_users(taker, worst_price, events)
        finally:
            taker.user_id = user_id


class FillAndDoNotKill(Market):
    """Lets fill-or-kill orders in that it cannot fill."""

    def _can_fill(self, taker: Order) -> bool:
        return True


class QuoteOutlivesHalt(Market):
    """Goes on with the old quote after a halt."""

    def halt(self) -> list[Event]:
        quote = self.quote
        events = super().halt()
        self._set_quote(quote)
        return events


class SkippedSequence(Market):
    """Uses up a number when there was nothing to cancel."""

    def cancel(self, order_id: str, reason: str = "user") -> list[Event]:
        events = super().cancel(order_id, reason)
        self.sequence += not events
        return events


class HaltedMarketTrades(Market):
    """Takes orders while it is halted."""

    def enter(self, order: Order) -> list[Event]:
        halted, self.halted = self.halted, False
        try:
            return super().enter(order)
        finally:
            self.halted = halted


def last_in_first_out(level: Level) -> Order:
    return next(order for order in reversed(level.queue) if order.open_quantity)


def sweep_one_too_many(level: Level) -> None:
    if len(level.queue) > 2 * level.count + 32:
        living = [order for order in level.queue if order.open_quantity]
        level.queue.clear()
        level.queue.extend(reversed(living))


def quiet_over_the_edge(side: BoundedSide, price: int) -> None:
    side._quiet_above, side._quiet_below = price - 500, price + 500


def by_time_alone(order: Order) -> tuple[int, int]:
    return (0, order.priority)


def accepts_its_own_bound_only(order: Order, price: int) -> bool:
    return order.side * price <= order.side * order.limit_price


def planted(target: object, name: str, fault: object) -> Callable[[], AbstractContextManager[object]]:
    return lambda: patch.object(target, name, fault)


class PlantedFaultsTest(SimpleTestCase):
    def test_every_fault_in_the_market_is_found(self) -> None:
        for faulty in (
            TakersPrice,
            LostRemainder,
            AvailabilityForEveryone,
            OutsideFirst,
            TradesWithHimself,
            FillAndDoNotKill,
            QuoteOutlivesHalt,
            SkippedSequence,
            HaltedMarketTrades,
        ):
            with self.subTest(fault=faulty.__name__):
                self.assert_found(faulty)

    def test_every_fault_in_the_queues_is_found(self) -> None:
        for name, plant in (
            ("last in, first out", planted(Level, "first", last_in_first_out)),
            ("sweeping mixes the queue up", planted(Level, "sweep", sweep_one_too_many)),
            ("quiet where an order waits", planted(BoundedSide, "_remember_quiet", quiet_over_the_edge)),
            ("no rank by price", lambda: patch("trade.matching.bounded.rank", by_time_alone)),
            ("the other bound does not count", planted(Order, "accepts", accepts_its_own_bound_only)),
        ):
            with self.subTest(fault=name), plant():
                self.assert_found(Market)

    def test_without_a_fault_nothing_is_found(self) -> None:
        self.assertIsNone(next(differences(Market), None))

    def test_the_smallest_session_that_shows_a_fault_is_small(self) -> None:
        seed = next(seed for seed in range(99) if comparison.difference_or_error(session(seed), TakersPrice))

        def fails(part: list[Command]) -> bool:
            return comparison.difference_or_error(part, TakersPrice) is not None

        small = comparison.smallest(session(seed), fails)
        self.assertTrue(fails(small))
        self.assertEqual(len(small), 2, small)

    def assert_found(self, market: type[Market]) -> None:
        difference = next(differences(market), None)
        self.assertIsNotNone(difference, f"no difference in {SESSIONS_TO_FIND_IT} sessions")


def differences(market: type[Market]) -> Iterator[str]:
    """What the twin says against this core. The invariant checker is off: here the twin is on trial."""
    for seed in range(SESSIONS_TO_FIND_IT):
        difference = comparison.first_difference(session(seed), market, check_invariants=False)
        if difference is not None:
            yield difference
