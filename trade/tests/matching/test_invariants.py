"""The invariant checker finds what it is there for: each thing it forbids is done to a sound market."""

from collections.abc import Callable

from django.test import SimpleTestCase

from trade.matching import BUY, SELL, Market, Order, Quote, invariants


def sound_market() -> Market:
    """Two bids at 99, an ask at 101, a bounded buy, and a quote of 100 of which 30 shares are gone."""
    market = Market()
    market.tick(100, 50)
    market.enter(Order("taker", 1, BUY, "limit", 100, 30))
    market.enter(Order("bid-1", 1, BUY, "limit", 99, 10))
    market.enter(Order("bid-2", 2, BUY, "limit", 99, 10))
    market.enter(Order("ask", 3, SELL, "limit", 101, 10))
    market.enter(Order("bounded", 4, BUY, "bounded", 90, 10, other_bound=80))
    return market


def forget_an_order(market: Market) -> None:
    del market.orders["bid-1"]


def empty_an_order_in_its_level(market: Market) -> None:
    market.orders["bid-1"].open_quantity = 0


def change_a_quantity(market: Market) -> None:
    market.orders["bid-1"].open_quantity -= 1


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
    (forget_an_order, "4 in their places"),
    (empty_an_order_in_its_level, "1 there"),
    (change_a_quantity, "do not add up"),
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

    def test_every_damage_is_found_and_named(self) -> None:
        for damage, complaint in DAMAGES:
            with self.subTest(damage=damage.__name__):
                market = sound_market()
                damage(market)
                with self.assertRaisesRegex(AssertionError, complaint):
                    invariants.check(market)
