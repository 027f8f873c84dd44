"""Stops that were cancelled must not pile up, nor keep the living from going in their order."""

from django.test import SimpleTestCase

from trade.matching import BUY, SELL, Market, Order
from trade.matching.stops import SWEEP_SLACK


def stop_order(order_id: str, side: int, stop_price: int) -> Order:
    return Order(order_id, 1, side, "limit", stop_price, 10, stop_price=stop_price)


class CancelledStopsTest(SimpleTestCase):
    def setUp(self) -> None:
        self.market = Market()
        self.market.tick(500, 0)

    def test_they_do_not_pile_up(self) -> None:
        self.market.enter(stop_order("stays", BUY, 900))
        for number in range(1_000):
            self.market.enter(stop_order(str(number), BUY, 800))
            self.market.cancel(str(number))
        self.assertEqual((len(self.market.stops), [*self.market.stops]), (1, [self.market.orders["stays"]]))
        self.assertLessEqual(len(self.market.stops._heaps[BUY]), SWEEP_SLACK + 3)

    def test_the_living_go_in_their_order_after_a_sweep(self) -> None:
        for number in range(200):
            self.market.enter(stop_order(str(number), SELL, 400 - number % 7))
        for number in range(200):
            if number % 10:
                self.market.cancel(str(number))
        events = self.market.tick(396, 0)
        triggered = [event.order.order_id for event in events[1:]]
        self.assertEqual(triggered, [str(n) for n in range(0, 200, 10) if 400 - n % 7 >= 396])
