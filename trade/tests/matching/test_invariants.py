"""The invariant checker finds what it is there for: each thing it forbids is done to a sound market."""

from collections.abc import Callable

from django.test import SimpleTestCase

from trade.matching import BUY, SELL, Market, Order, Quote, invariants


def sound_market() -> Market:
    """Two bids at 99, an ask and an iceberg at 101, a bounded buy, a stop and a cancelled one, and a quote of
    100 of which 30 shares are gone."""
    market = Market()
    market.tick(100, 50)
    market.enter(Order("taker", 1, BUY, "limit", 100, 30))
    market.enter(Order("bid-1", 1, BUY, "limit", 99, 10))
    market.enter(Order("bid-2", 2, BUY, "limit", 99, 10))
    market.enter(Order("ask", 3, SELL, "limit", 101, 10))
    market.enter(Order("bounded", 4, BUY, "bounded", 90, 10, other_bound=80))
    market.enter(Order("iceberg", 5, SELL, "limit", 101, 20, display_quantity=5))
    market.enter(Order("stop", 6, BUY, "limit", 120, 10, stop_price=110))
    market.enter(Order("gone", 6, BUY, "limit", 120, 10, stop_price=110))
    market.cancel("gone")
    return market


def forget_an_order(market: Market) -> None:
    del market.orders["bid-1"]


def empty_an_order_in_its_level(market: Market) -> None:
    market.orders["bid-1"].open_quantity = 0


def lose_a_share(market: Market) -> None:
    market.orders["bid-1"].open_quantity -= 1


def trade_more_than_it_has(market: Market) -> None:
    market.orders["bid-1"].traded_quantity += 1


def show_more_than_a_slice(market: Market) -> None:
    market.orders["iceberg"].shown_quantity = 6


def show_nothing(market: Market) -> None:
    market.orders["iceberg"].shown_quantity = 0


def show_what_is_hidden(market: Market) -> None:
    level = market.side(SELL).best()
    assert level is not None
    level.quantity += 15


def use_a_share_of_a_slice_unseen(market: Market) -> None:
    market.orders["iceberg"].shown_quantity = 4


def miss_a_stop(market: Market) -> None:
    market.last_price = 110


def forget_a_stop(market: Market) -> None:
    del market.orders["stop"]


def count_a_stop_twice(market: Market) -> None:
    market.stops.waiting += 1


def wait_for_no_stop(market: Market) -> None:
    market.orders["stop"].stop_price = 0


def wait_for_a_stop_in_the_book(market: Market) -> None:
    market.orders["ask"].is_stopped = True


def wait_for_a_stop_and_for_ticks(market: Market) -> None:
    market.orders["bounded"].is_stopped = True


def enter_a_stop_in_the_future(market: Market) -> None:
    market.orders["stop"].sequence = market.sequence + 1


def count_an_order_twice(market: Market) -> None:
    level = market.side(BUY).best()
    assert level is not None
    level.count += 1


def add_to_a_level(market: Market) -> None:
    level = market.side(SELL).best()
    assert level is not None
    level.quantity += 1


def turn_a_queue_round(market: Market) -> None:
    level = market.side(BUY).best()
    assert level is not None
    level.queue.reverse()


def cross_the_book(market: Market) -> None:
    market.restore_quote(None)
    market.restore([stored("crossing", BUY, 101)])


def let_a_bid_miss_the_outside(market: Market) -> None:
    market.restore([stored("missed", BUY, 100)])


def let_an_ask_miss_the_outside(market: Market) -> None:
    market.restore([stored("missed", SELL, 100)])


def let_the_outside_sell_more_than_it_has(market: Market) -> None:
    market.restore_quote(Quote(100, 50, 50, 51, 1))


def let_the_outside_sell_below_nothing(market: Market) -> None:
    market.restore_quote(Quote(100, 50, 50, -1, 1))


def let_the_outside_buy_more_than_it_has(market: Market) -> None:
    market.restore_quote(Quote(100, 50, 51, 50, 1))


def enter_in_the_future(market: Market) -> None:
    market.orders["bid-2"].priority = market.orders["bid-2"].sequence = market.sequence + 1


def overfill_a_bounded_order(market: Market) -> None:
    market.orders["bounded"].open_quantity = -1
    market.orders["bounded"].traded_quantity = 11


def make_a_bounded_order_a_limit_order(market: Market) -> None:
    market.orders["bounded"].kind = "limit"


def turn_a_side(market: Market) -> None:
    market.orders["ask"].side = BUY


def stored(order_id: str, side: int, limit_price: int) -> Order:
    order = Order(order_id, 9, side, "limit", limit_price, 10)
    order.priority = order.sequence = 6
    return order


DAMAGES: tuple[tuple[Callable[[Market], None], str], ...] = (
    (forget_an_order, "6 in their places"),
    (empty_an_order_in_its_level, "1 there"),
    (lose_a_share, "wrong total"),
    (trade_more_than_it_has, "do not add up"),
    (show_more_than_a_slice, "shows 6, at most 5"),
    (show_nothing, "shows 0, at most 5"),
    (show_what_is_hidden, "wrong total"),
    (use_a_share_of_a_slice_unseen, "wrong total"),
    (miss_a_stop, "is reached, and it waits"),
    (forget_a_stop, "5 orders known, 6 in their places"),
    (count_a_stop_twice, "2 stops counted, 1 there"),
    (wait_for_no_stop, "has no stop to wait for"),
    (wait_for_a_stop_in_the_book, "waits in two places"),
    (wait_for_a_stop_and_for_ticks, "waits in two places"),
    (enter_a_stop_in_the_future, "from the future"),
    (count_an_order_twice, "3 orders counted"),
    (add_to_a_level, "wrong total"),
    (turn_a_queue_round, "not by time"),
    (cross_the_book, "crossed"),
    (let_a_bid_miss_the_outside, "a bid missed the outside"),
    (let_an_ask_miss_the_outside, "an ask missed the outside"),
    (let_the_outside_sell_more_than_it_has, "sells more than it has"),
    (let_the_outside_sell_below_nothing, "sells more than it has"),
    (let_the_outside_buy_more_than_it_has, "buys more than it has"),
    (enter_in_the_future, "from the future"),
    (overfill_a_bounded_order, "nothing open"),
    (make_a_bounded_order_a_limit_order, "in the wrong place"),
    (turn_a_side, "in the wrong place"),
)


class InvariantsTest(SimpleTestCase):
    def test_a_sound_market_passes(self) -> None:
        invariants.check(sound_market())

    def test_while_halted_a_stop_that_is_reached_may_wait(self) -> None:
        market = sound_market()
        market.halt()
        market.tick(110, 50)
        invariants.check(market)

    def test_every_damage_is_found_and_named(self) -> None:
        for damage, complaint in DAMAGES:
            with self.subTest(damage=damage.__name__):
                market = sound_market()
                damage(market)
                with self.assertRaisesRegex(AssertionError, complaint):
                    invariants.check(market)
