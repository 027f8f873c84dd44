"""Ticks that match no bounded order must not look at all of them every time."""

from django.test import SimpleTestCase

from trade.matching import BUY, SELL, Market, Order
from trade.matching.bounded import BoundedSide


class CountingOrder(Order):
    """Counts how often it is asked whether it accepts a price."""

    asked = 0

    def accepts(self, price: int) -> bool:
        self.asked += 1
        return super().accepts(price)


def bounded_buy(order_id: str, lower: int, upper: int) -> CountingOrder:
    return CountingOrder(order_id, 1, BUY, "bounded", upper, 10, other_bound=lower)


class QuietIntervalTest(SimpleTestCase):
    def setUp(self) -> None:
        self.side = BoundedSide()
        self.below, self.above = bounded_buy("below", 80, 90), bounded_buy("above", 110, 120)
        self.side.add(self.below)
        self.side.add(self.above)

    def test_a_second_tick_in_the_gap_asks_no_order(self) -> None:
        self.assertEqual(list(self.side.accepting(100)), [])
        for price in (91, 100, 109):
            self.assertEqual(list(self.side.accepting(price)), [], price)
        self.assertEqual((self.below.asked, self.above.asked), (1, 1))

    def test_both_edges_of_the_gap_still_match(self) -> None:
        self.side.accepting(100)
        self.assertEqual(list(self.side.accepting(90)), [self.below])
        self.side.accepting(100)
        self.assertEqual(list(self.side.accepting(110)), [self.above])

    def test_a_new_order_in_the_gap_matches(self) -> None:
        self.side.accepting(100)
        inside = bounded_buy("inside", 95, 105)
        self.side.add(inside)
        self.assertEqual(list(self.side.accepting(100)), [inside])

    def test_the_gap_moves_with_the_price(self) -> None:
        self.side.accepting(100)
        for _ in range(3):
            self.assertEqual(list(self.side.accepting(130)), [])
        self.assertEqual(self.above.asked, 2)
        self.assertEqual(list(self.side.accepting(115)), [self.above])

    def test_many_quiet_ticks_over_a_thousand_orders_ask_each_of_them_once(self) -> None:
        market = Market()
        orders = [
            CountingOrder(str(n), 1, SELL, "bounded", 500 + n, 10, other_bound=600 + n) for n in range(1_000)
        ]
        for order in orders:
            market.enter(order)
        for step in range(200):
            self.assertEqual(len(market.tick(100 + step, 50)), 1)
        self.assertEqual(sum(order.asked for order in orders), 1_000)
