"""The rules between users and the outside market, each by a small example (read four ways, see `examples`)."""

from trade.tests.matching.commands import BUY, SELL, LateTick
from trade.tests.matching.examples import ANNA, BEN, CARLA, DAVID, OUTSIDE, MarketExample, other_readings


class OutsideRulesTest(MarketExample):
    def test_a_waiting_order_trades_at_the_ticks_price(self) -> None:
        self.buy("anna", 10, at=105, by=ANNA)
        self.assertEqual(self.tick(100, 50), [(100, 10, "anna", OUTSIDE)])
        self.assertEqual(self.outside_left(), (50, 40))

    def test_an_order_that_does_not_accept_the_tick_waits(self) -> None:
        self.buy("anna", 10, at=99, by=ANNA)
        self.assertEqual(self.tick(100, 50), [])
        self.assertEqual(self.bids(), [(99, 10, 1)])

    def test_availability_is_shared_by_best_limit_then_time_and_is_finite(self) -> None:
        self.buy("anna", 30, at=100, by=ANNA)
        self.buy("ben", 30, at=101, by=BEN)
        self.buy("carla", 30, at=101, by=CARLA)
        fills = self.tick(100, 70)
        self.assertEqual(
            fills, [(100, 30, "ben", OUTSIDE), (100, 30, "carla", OUTSIDE), (100, 10, "anna", OUTSIDE)]
        )
        self.assertEqual(self.outside_left(), (70, 0))
        self.assertEqual(self.bids(), [(100, 20, 1)])

    def test_each_side_has_the_availability_for_itself(self) -> None:
        self.bounded_buy("anna", 30, lower=90, upper=110, by=ANNA)
        self.bounded_sell("ben", 20, lower=90, upper=110, by=BEN)
        fills = self.tick(100, 25)
        self.assertCountEqual(fills, [(100, 25, "anna", OUTSIDE), (100, 20, OUTSIDE, "ben")])
        self.assertEqual(self.outside_left(), (5, 0))

    def test_in_a_trade_on_a_tick_the_outside_is_the_taker(self) -> None:
        self.buy("anna", 10, at=100, by=ANNA)
        self.tick(100, 50)
        self.assertEqual(self.facts[-1][6:], (BUY if self.mirrored else SELL, self.facts[0][1]))

    def test_later_arrivals_take_what_is_left_of_the_tick(self) -> None:
        self.tick(100, 50)
        tick_sequence = self.facts[0][1]
        self.assertEqual(self.buy("anna", 30, at=103, by=ANNA), [(100, 30, "anna", OUTSIDE)])
        self.assertEqual(self.facts[-1][6:], (SELL if self.mirrored else BUY, tick_sequence))
        self.assertEqual(self.buy("ben", 30, at=100, by=BEN), [(100, 20, "ben", OUTSIDE)])
        self.assertEqual(self.bids(), [(100, 10, 1)])
        self.assertEqual(self.sell("carla", 60, at=97, by=CARLA)[-1], (100, 50, OUTSIDE, "carla"))

    def test_a_market_order_takes_what_is_left_of_the_tick(self) -> None:
        self.tick(100, 50)
        fills = self.buy("anna", 60, at=110, by=ANNA, kind="market")
        self.assertEqual(fills, [(100, 50, "anna", OUTSIDE)])
        self.assert_ended("anna", as_="cancelled", quantity=10, reason="no_liquidity")

    def test_the_outside_stands_behind_users_at_an_equal_or_better_price(self) -> None:
        self.tick(101, 10)
        self.sell("anna", 10, at=102, by=ANNA)
        self.sell("ben", 15, at=101, by=BEN)
        self.sell("carla", 5, at=100, by=CARLA)
        self.assertEqual(self.outside_left(), (0, 10))
        self.assertEqual(
            self.buy("david", 25, at=102, by=DAVID),
            [
                (100, 5, "david", "carla"),
                (101, 5, "david", "ben"),
                (101, 10, "david", OUTSIDE),
                (102, 5, "david", "anna"),
            ],
        )

    def test_an_own_order_at_the_outsides_price_stops_the_taker_before_the_outside(self) -> None:
        self.tick(101, 10)
        self.sell("ben-1", 15, at=101, by=BEN)
        self.assertEqual(self.buy("ben-2", 10, at=101, by=BEN), [])
        self.assert_ended("ben-2", as_="cancelled", quantity=10, reason="self_trade")
        self.assertEqual(self.outside_left(), (0, 10))

    def test_an_arriving_sell_meets_the_bid_before_the_outside_at_one_price(self) -> None:
        self.tick(100, 10)
        self.buy("anna", 15, at=100, by=ANNA)
        fills = self.sell("ben", 20, at=100, by=BEN)
        self.assertEqual(fills, [(100, 5, "anna", "ben"), (100, 10, OUTSIDE, "ben")])

    def test_the_next_tick_ends_what_was_left_of_the_last(self) -> None:
        self.tick(100, 50)
        self.tick(110, 5)
        self.assertEqual(self.buy("anna", 10, at=105, by=ANNA), [])
        self.assertEqual(self.outside_left(), (5, 5))

    def test_a_late_tick_trades_nothing_and_leaves_the_quote(self) -> None:
        self.buy("anna", 10, at=99, by=ANNA)
        self.tick(100, 50)
        self.assertEqual(self.run_command(LateTick(self.flip(95), 70)), [])
        self.assertEqual(self.facts, [("ticked", 3, self.flip(95), 70, True)])
        self.assertEqual(self.market.quote_left(), (self.flip(100), 50, 50, 50, 2))
        self.assertEqual(self.market.last_price, self.flip(100))

    def test_a_tick_without_availability_moves_the_price_and_trades_nothing(self) -> None:
        self.buy("anna", 10, at=105, by=ANNA)
        self.assertEqual(self.tick(100, 0), [])
        self.assertEqual(self.market.last_price, self.flip(100))


class BoundedOrderRulesTest(MarketExample):
    def test_the_worked_example(self) -> None:
        """A buy of 100 with upper bound 20; a tick of 50 at 20 fills 50; a later tick fills the rest."""
        self.bounded_buy("anna", 100, lower=10, upper=20, by=ANNA)
        self.assertEqual(self.tick(20, 50), [(20, 50, "anna", OUTSIDE)])
        self.assert_quantities("anna", open_=50, traded=50)
        self.assertEqual(self.tick(21, 500), [])
        self.assertEqual(self.tick(15, 80), [(15, 50, "anna", OUTSIDE)])
        self.assert_quantities("anna", open_=0, traded=100)
        self.assertEqual(self.outside_left(), (80, 30))
        self.assertEqual(self.tick(15, 80), [])

    def test_both_bounds_count_and_belong_to_the_range(self) -> None:
        self.bounded_buy("anna", 100, lower=95, upper=105, by=ANNA)
        self.bounded_sell("ben", 100, lower=95, upper=105, by=BEN)
        for price in (94, 106):
            self.assertEqual(self.tick(price, 10), [], price)
        for price in (95, 105):
            fills = self.tick(price, 10)
            self.assertCountEqual(fills, [(price, 10, "anna", OUTSIDE), (price, 10, OUTSIDE, "ben")])

    def test_it_does_not_take_what_is_left_of_the_last_tick(self) -> None:
        self.tick(100, 50)
        self.assertEqual(self.bounded_buy("anna", 10, lower=90, upper=110, by=ANNA), [])
        self.assertEqual(self.outside_left(), (50, 50))

    def test_it_never_trades_with_users_and_is_not_in_the_book(self) -> None:
        self.bounded_buy("anna", 10, lower=90, upper=110, by=ANNA)
        self.assertEqual(self.sell("ben", 10, at=100, by=BEN), [])
        self.assertEqual(self.bounded_sell("carla", 10, lower=90, upper=110, by=CARLA), [])
        self.assertEqual((self.bids(), self.asks()), ([], [(100, 10, 1)]))

    def test_it_ranks_among_limit_orders_by_its_own_bound_then_time(self) -> None:
        self.buy("limit-101", 10, at=101, by=ANNA)
        self.bounded_buy("bounded-101", 10, lower=90, upper=101, by=BEN)
        self.bounded_buy("bounded-102", 10, lower=90, upper=102, by=CARLA)
        self.buy("late-101", 10, at=101, by=DAVID)
        self.bounded_buy("elsewhere", 10, lower=101, upper=110, by=BEN)
        order_ids = [buyer for _, _, buyer, _ in self.tick(100, 35)]
        self.assertEqual(order_ids, ["bounded-102", "limit-101", "bounded-101", "late-101"])
        self.assert_quantities("late-101", open_=5, traded=5)


globals().update(other_readings(OutsideRulesTest, BoundedOrderRulesTest))
