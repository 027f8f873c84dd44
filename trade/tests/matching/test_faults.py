"""Faults planted in the core: the comparison with the twin must find every one, or it proves nothing.

The control is `test_twin`: the same sessions, without a fault, show no difference.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from contextlib import AbstractContextManager
from unittest.mock import patch

from django.test import SimpleTestCase

from trade.matching import Market, Order, trading
from trade.matching import market as matching_market
from trade.matching.book import BookSide, Level
from trade.matching.bounded import BoundedSide
from trade.matching.events import Event, Replaced, Trade
from trade.matching.orders import EXPIRE_MAKER
from trade.matching.stops import Stops
from trade.tests.matching import comparison
from trade.tests.matching.commands import Command
from trade.tests.matching.generators import SHAPES, session

SESSIONS_TO_FIND_IT = 10 * len(SHAPES)
add_to_book = BookSide.add


class TakersPrice(Market):
    """Trades at the price of the order that came, not of the one that waited."""

    def _trade_with_users(
        self, taker: Order, makers: BookSide, worst_price: int, events: list[Event]
    ) -> bool:
        before = len(events)
        goes_on = super()._trade_with_users(taker, makers, worst_price, events)
        for number, event in enumerate(events[before:], start=before):
            if isinstance(event, Trade):
                events[number] = event._replace(price=taker.limit_price)
        return goes_on


class WrongSidesFee(Market):
    """Calls the order that waited the taker, so that it would pay the taker's fee."""

    def _trade_with_users(
        self, taker: Order, makers: BookSide, worst_price: int, events: list[Event]
    ) -> bool:
        before = len(events)
        goes_on = super()._trade_with_users(taker, makers, worst_price, events)
        for number, event in enumerate(events[before:], start=before):
            if isinstance(event, Trade):
                events[number] = event._replace(taker_side=-event.taker_side)
        return goes_on


class LostRemainder(Market):
    """Forgets what is left of an order that was partly filled on arrival."""

    def _arrive(self, order: Order, events: list[Event]) -> None:
        super()._arrive(order, events)
        if order.traded_quantity and order.order_id in self.orders:
            self._remove(order)


class AvailabilityForEveryone(Market):
    """Hands a tick's whole availability to every order, as the original did."""

    def _trade_with_outside(self, order: Order, taker_side: int, events: list[Event]) -> int:
        quote = self.quote
        quantity = super()._trade_with_outside(order, taker_side, events)
        self._set_quote(quote)
        return quantity


class OutsideFirst(Market):
    """Lets the outside trade before users who ask the same price."""

    def _trade_with_users(
        self, taker: Order, makers: BookSide, worst_price: int, events: list[Event]
    ) -> bool:
        first = worst_price != taker.limit_price or self._outside[taker.side] > 0
        return super()._trade_with_users(taker, makers, worst_price - taker.side * first, events)


class TradesWithHimself(Market):
    """Does not notice that it comes to its own user's order."""

    def _trade_with_users(
        self, taker: Order, makers: BookSide, worst_price: int, events: list[Event]
    ) -> bool:
        user_id, taker.user_id = taker.user_id, 0
        try:
            return super()._trade_with_users(taker, makers, worst_price, events)
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


class TakesThoughPostOnly(Market):
    """Lets post-only orders in that would trade."""

    def would_trade(self, order: Order, limit_price: int) -> bool:
        return False


class KeepsPlaceWithMore(Market):
    """An order that asks for more stays where it is."""

    def _replace_at_the_end(self, order: Order, limit_price: int, quantity: int) -> list[Event]:
        if limit_price != order.limit_price:
            return super()._replace_at_the_end(order, limit_price, quantity)
        (event,) = self._replace_in_place(order, quantity)
        assert isinstance(event, Replaced)
        return [event._replace(kept_place=False)]


class LosesPlaceWithLess(Market):
    """An order that asks for less goes to the end."""

    def _replace_in_place(self, order: Order, quantity: int) -> list[Event]:
        return self._replace_at_the_end(order, order.limit_price, quantity)


class StopsGoWhileHalted(Market):
    """Lets stops go though nothing may trade."""

    def _trigger(self, events: list[Event]) -> None:
        halted, self.halted = self.halted, False
        super()._trigger(events)
        self.halted = halted


class StopsOnWrongSide(Market):
    """On arrival, takes a stop below the market for one above it."""

    def _is_reached(self, order: Order) -> bool:
        return self.last_price is not None and order.side * self.last_price <= order.side * order.stop_price


class DecrementsMakerOnly(Market):
    """The taker keeps what it should lose, while more of it is open."""

    def _lose(self, order: Order, quantity: int, events: list[Event]) -> None:
        if quantity == order.open_quantity:
            super()._lose(order, quantity, events)


class DecrementsTakerOnly(Market):
    """The maker keeps what it should lose, while more of it is open."""

    def _lose_resting(self, maker: Order, quantity: int, events: list[Event]) -> None:
        if quantity == maker.open_quantity:
            super()._lose_resting(maker, quantity, events)


class MakersMode(Market):
    """Asks the order that waited what is to become of the two."""

    def _prevent(self, taker: Order, maker: Order, events: list[Event]) -> bool:
        mode, taker.self_trade = taker.self_trade, maker.self_trade
        try:
            return super()._prevent(taker, maker, events)
        finally:
            taker.self_trade = mode


class PushyQueue(deque[Order]):
    """Lets those that come later go first."""

    def extend(self, orders: Iterable[Order]) -> None:
        self.extendleft(reversed(list(orders)))


def next_slice_in_front(level: Level, priority: int) -> None:
    order = level.queue[0]
    order.show()
    order.priority = priority
    level.quantity += order.shown_quantity


def next_slice_by_first_time(level: Level, priority: int) -> None:
    order = level.queue[0]
    level.queue.rotate(-1)
    order.show()
    level.quantity += order.shown_quantity


def stops_from_the_wrong_side(stops: Stops, last_price: int) -> list[Order]:
    reached = [order for order in stops if order.side * last_price <= order.side * order.stop_price]
    for order in reached:
        stops.remove(order)
    return sorted(reached, key=lambda order: order.priority)


def stops_latest_first(stops: Stops, last_price: int) -> list[Order]:
    reached = [order for order in stops if order.is_reached_by(last_price)]
    for order in reached:
        stops.remove(order)
    return sorted(reached, key=lambda order: -order.priority)


def count_what_is_shown(level: Level, taker: Order, wanted: int) -> tuple[int, bool]:
    others = [maker for maker in level.queue if maker.open_quantity and maker.user_id != taker.user_id]
    return sum(maker.visible_quantity for maker in others), False


def count_what_is_hidden_behind(level: Level, taker: Order, wanted: int) -> tuple[int, bool]:
    count = 0
    for maker in level.queue:
        if maker.open_quantity and maker.user_id == taker.user_id and taker.self_trade != EXPIRE_MAKER:
            return count, True
        count += maker.open_quantity if maker.user_id != taker.user_id else 0
    return count, False


def last_in_first_out(side: BookSide, order: Order) -> None:
    add_to_book(side, order)
    side.levels_by_key[side.side * order.limit_price].queue.rotate(1)


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
            WrongSidesFee,
            LostRemainder,
            AvailabilityForEveryone,
            OutsideFirst,
            TradesWithHimself,
            FillAndDoNotKill,
            QuoteOutlivesHalt,
            SkippedSequence,
            HaltedMarketTrades,
            TakesThoughPostOnly,
            KeepsPlaceWithMore,
            LosesPlaceWithLess,
            StopsGoWhileHalted,
            StopsOnWrongSide,
            DecrementsMakerOnly,
            DecrementsTakerOnly,
            MakersMode,
        ):
            with self.subTest(fault=faulty.__name__):
                self.assert_found(faulty)

    def test_every_fault_in_the_queues_is_found(self) -> None:
        for name, plant in (
            ("last in, first out", planted(BookSide, "add", last_in_first_out)),
            ("sweeping mixes the queue up", planted(Level, "sweep", sweep_one_too_many)),
            ("quiet where an order waits", planted(BoundedSide, "_remember_quiet", quiet_over_the_edge)),
            ("no rank by price", lambda: patch("trade.matching.bounded.rank", by_time_alone)),
            ("the other bound does not count", planted(Order, "accepts", accepts_its_own_bound_only)),
        ):
            with self.subTest(fault=name), plant():
                self.assert_found(Market)

    def test_every_fault_with_icebergs_and_stops_is_found(self) -> None:
        for name, plant in (
            ("the next slice in front", planted(Level, "requeue_first", next_slice_in_front)),
            ("the next slice by its first time", planted(Level, "requeue_first", next_slice_by_first_time)),
            ("fok counts what is shown", planted(trading, "_reachable_quantity", count_what_is_shown)),
            ("fok is not killed", planted(trading, "_reachable_quantity", count_what_is_hidden_behind)),
            ("stops go on the wrong side", planted(Stops, "take_reached", stops_from_the_wrong_side)),
            ("stops go latest first", planted(Stops, "take_reached", stops_latest_first)),
            ("stops jump the queue", planted(matching_market, "deque", PushyQueue)),
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
