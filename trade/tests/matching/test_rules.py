"""The rules between users, each by a small example (read four ways, see `examples`)."""

from trade.tests.matching.commands import BUY, SELL, Cancel, Enter, Expire, Halt, Resume, TurnAway
from trade.tests.matching.examples import ANNA, BEN, CARLA, DAVID, OUTSIDE, MarketExample, other_readings


class LimitOrderRulesTest(MarketExample):
    def test_an_order_that_crosses_nothing_rests_at_its_price(self) -> None:
        self.assertEqual(self.buy("anna", 10, at=99, by=ANNA), [])
        self.assertEqual(self.sell("ben", 5, at=101, by=BEN), [])
        self.assertEqual((self.bids(), self.asks()), ([(99, 10, 1)], [(101, 5, 1)]))

    def test_the_best_price_goes_first(self) -> None:
        self.sell("anna", 10, at=102, by=ANNA)
        self.sell("ben", 10, at=101, by=BEN)
        self.assertEqual(self.buy("carla", 5, at=102, by=CARLA), [(101, 5, "carla", "ben")])

    def test_at_one_price_the_earliest_goes_first(self) -> None:
        for name, user in (("anna", ANNA), ("ben", BEN), ("david", DAVID)):
            self.sell(name, 10, at=101, by=user)
        fills = self.buy("carla", 25, at=101, by=CARLA)
        self.assertEqual(
            fills, [(101, 10, "carla", "anna"), (101, 10, "carla", "ben"), (101, 5, "carla", "david")]
        )

    def test_a_partly_filled_order_keeps_its_place(self) -> None:
        self.sell("anna", 10, at=101, by=ANNA)
        self.sell("ben", 10, at=101, by=BEN)
        self.buy("carla-1", 4, at=101, by=CARLA)
        self.assertEqual(self.buy("carla-2", 1, at=101, by=CARLA), [(101, 1, "carla-2", "anna")])

    def test_the_trade_is_at_the_makers_price(self) -> None:
        self.sell("anna", 10, at=95, by=ANNA)
        self.assertEqual(self.buy("ben", 10, at=105, by=BEN), [(95, 10, "ben", "anna")])

    def test_a_sweep_pays_each_maker_his_own_price(self) -> None:
        self.sell("anna", 10, at=100, by=ANNA)
        self.sell("ben", 10, at=101, by=BEN)
        fills = self.buy("carla", 15, at=103, by=CARLA)
        self.assertEqual(fills, [(100, 10, "carla", "anna"), (101, 5, "carla", "ben")])
        self.assertEqual(self.market.quantities("carla")[2], sum(self.flip(p) * q for p, q, _, _ in fills))

    def test_what_is_not_filled_rests_and_is_first_for_the_other_side(self) -> None:
        self.sell("anna", 4, at=100, by=ANNA)
        self.assertEqual(self.buy("ben", 10, at=101, by=BEN), [(100, 4, "ben", "anna")])
        self.assertEqual((self.bids(), self.asks()), ([(101, 6, 1)], []))
        self.assertEqual(self.sell("carla", 6, at=99, by=CARLA), [(101, 6, "ben", "carla")])

    def test_an_order_trades_no_worse_than_its_limit(self) -> None:
        self.sell("anna", 10, at=102, by=ANNA)
        self.assertEqual(self.buy("ben", 10, at=101, by=BEN), [])

    def test_a_level_shows_the_open_quantity_and_number_of_its_orders(self) -> None:
        self.sell("anna", 10, at=101, by=ANNA)
        self.sell("ben", 7, at=101, by=BEN)
        self.buy("carla", 3, at=101, by=CARLA)
        self.assertEqual(self.asks(), [(101, 14, 2)])

    def test_everything_that_happens_has_the_next_sequence(self) -> None:
        self.sell("anna", 5, at=100, by=ANNA)
        self.buy("ben", 8, at=100, by=BEN, time_in_force="ioc")
        self.assertEqual(self.words(), ["entered", "trade", "cancelled"])
        self.assertEqual([fact[1] for fact in self.facts], [2, 3, 4])

    def test_the_arriving_order_is_the_taker(self) -> None:
        self.sell("anna", 5, at=100, by=ANNA)
        self.buy("ben", 5, at=100, by=BEN)
        self.assertEqual(self.facts[-1][6], SELL if self.mirrored else BUY)


class TimeInForceRulesTest(MarketExample):
    def test_ioc_takes_what_is_there_and_the_rest_is_cancelled(self) -> None:
        self.sell("anna", 4, at=100, by=ANNA)
        fills = self.buy("ben", 10, at=100, by=BEN, time_in_force="ioc")
        self.assertEqual(fills, [(100, 4, "ben", "anna")])
        self.assert_ended("ben", as_="cancelled", quantity=6, reason="ioc")
        self.assertEqual(self.bids(), [])

    def test_fok_trades_all_of_it_over_several_levels(self) -> None:
        self.sell("anna", 4, at=100, by=ANNA)
        self.sell("ben", 6, at=101, by=BEN)
        fills = self.buy("carla", 10, at=101, by=CARLA, time_in_force="fok")
        self.assertEqual(fills, [(100, 4, "carla", "anna"), (101, 6, "carla", "ben")])
        self.assertEqual(self.words(), ["entered", "trade", "trade"])

    def test_fok_trades_nothing_when_one_share_is_missing(self) -> None:
        self.sell("anna", 4, at=100, by=ANNA)
        self.sell("ben", 5, at=101, by=BEN)
        self.sell("david", 5, at=102, by=DAVID)
        self.assertEqual(self.buy("carla", 10, at=101, by=CARLA, time_in_force="fok"), [])
        self.assert_ended("carla", as_="cancelled", quantity=10, reason="fok")
        self.assertEqual(self.asks(), [(100, 4, 1), (101, 5, 1), (102, 5, 1)])

    def test_fok_counts_the_outside(self) -> None:
        self.tick(101, 6)
        self.sell("anna", 4, at=102, by=ANNA)
        self.assertEqual(self.buy("ben-1", 11, at=102, by=BEN, time_in_force="fok"), [])
        fills = self.buy("ben-2", 10, at=102, by=BEN, time_in_force="fok")
        self.assertEqual(fills, [(101, 6, "ben-2", OUTSIDE), (102, 4, "ben-2", "anna")])

    def test_fok_counts_the_outside_when_no_user_is_there(self) -> None:
        self.tick(101, 6)
        self.assertEqual(self.buy("ben-1", 7, at=101, by=BEN, time_in_force="fok"), [])
        fills = self.buy("ben-2", 6, at=101, by=BEN, time_in_force="fok")
        self.assertEqual(fills, [(101, 6, "ben-2", OUTSIDE)])

    def test_fok_does_not_reach_past_an_order_of_its_own_user(self) -> None:
        self.sell("anna", 4, at=100, by=ANNA)
        self.sell("ben-1", 1, at=101, by=BEN)
        self.sell("carla", 20, at=101, by=CARLA)
        self.assertEqual(self.buy("ben-2", 10, at=101, by=BEN, time_in_force="fok"), [])
        self.assert_ended("ben-2", as_="cancelled", quantity=10, reason="fok")
        self.assertEqual(
            self.buy("ben-3", 4, at=101, by=BEN, time_in_force="fok"), [(100, 4, "ben-3", "anna")]
        )

    def test_fok_does_not_reach_the_outside_behind_an_own_order(self) -> None:
        self.tick(101, 10)
        self.sell("ben-1", 15, at=101, by=BEN)
        self.assertEqual(self.asks(), [(101, 5, 1)])
        self.assertEqual(self.buy("ben-2", 10, at=101, by=BEN, time_in_force="fok"), [])
        self.assert_ended("ben-2", as_="cancelled", quantity=10, reason="fok")
        self.assertEqual(self.outside_left(), (0, 10))

    def test_a_market_order_stops_at_its_collar_and_the_rest_is_cancelled(self) -> None:
        self.sell("anna", 4, at=100, by=ANNA)
        self.sell("ben", 4, at=105, by=BEN)
        self.sell("david", 4, at=106, by=DAVID)
        fills = self.buy("carla", 10, at=105, by=CARLA, kind="market")
        self.assertEqual(fills, [(100, 4, "carla", "anna"), (105, 4, "carla", "ben")])
        self.assert_ended("carla", as_="cancelled", quantity=2, reason="no_liquidity")

    def test_a_market_order_in_an_empty_market_is_cancelled_whole(self) -> None:
        self.assertEqual(self.buy("carla", 10, at=105, by=CARLA, kind="market"), [])
        self.assert_ended("carla", as_="cancelled", quantity=10, reason="no_liquidity")
        self.assertEqual(self.words(), ["entered", "cancelled"])

    def test_a_day_order_waits_until_it_expires(self) -> None:
        self.buy("anna", 10, at=100, by=ANNA, time_in_force="day")
        self.sell("ben", 4, at=100, by=BEN)
        self.run_command(Expire("anna"))
        self.assert_ended("anna", as_="expired", quantity=6, reason="day")
        self.assertEqual(self.bids(), [])


class CancelRulesTest(MarketExample):
    def test_a_cancelled_order_trades_no_more(self) -> None:
        self.sell("anna", 10, at=100, by=ANNA)
        self.sell("ben", 10, at=100, by=BEN)
        self.run_command(Cancel("anna"))
        self.assert_ended("anna", as_="cancelled", quantity=10, reason="user")
        self.assertEqual(self.buy("carla", 5, at=100, by=CARLA), [(100, 5, "carla", "ben")])

    def test_cancelling_a_partly_filled_order_frees_the_open_part_only(self) -> None:
        self.sell("anna", 10, at=100, by=ANNA)
        self.buy("ben", 4, at=100, by=BEN)
        self.run_command(Cancel("anna", reason="staff"))
        self.assert_ended("anna", as_="cancelled", quantity=6, reason="staff")
        self.assert_quantities("anna", open_=0, traded=4)

    def test_cancelling_what_is_not_open_does_nothing(self) -> None:
        self.sell("anna", 10, at=100, by=ANNA)
        self.buy("ben", 10, at=100, by=BEN)
        sequence = self.market.sequence
        for order_id in ("anna", "ben", "nobody"):
            self.run_command(Cancel(order_id))
            self.assertEqual(self.facts, [])
            self.run_command(Expire(order_id))
            self.assertEqual(self.facts, [])
        self.assertEqual(self.market.sequence, sequence)

    def test_a_bounded_order_can_be_cancelled(self) -> None:
        self.bounded_buy("anna", 10, lower=90, upper=110, by=ANNA)
        self.run_command(Cancel("anna"))
        self.assert_ended("anna", as_="cancelled", quantity=10, reason="user")
        self.assertEqual(self.tick(100, 50), [])

    def test_an_order_that_has_not_entered_can_be_turned_away(self) -> None:
        self.run_command(TurnAway(Enter("anna", ANNA, BUY, 100, 10)))
        self.assertEqual(self.facts, [("cancelled", 1, "anna", 10, "user")])
        self.assertEqual(self.market.open_orders(), {})


class SelfTradeRulesTest(MarketExample):
    def test_the_taker_loses_his_remainder_at_his_own_order(self) -> None:
        self.sell("ben", 4, at=100, by=BEN)
        self.sell("anna-1", 5, at=101, by=ANNA)
        self.sell("carla", 9, at=101, by=CARLA)
        self.assertEqual(self.buy("anna-2", 10, at=102, by=ANNA), [(100, 4, "anna-2", "ben")])
        self.assert_ended("anna-2", as_="cancelled", quantity=6, reason="self_trade")
        self.assertEqual((self.bids(), self.asks()), ([], [(101, 14, 2)]))

    def test_an_own_order_behind_the_last_maker_does_not_matter(self) -> None:
        self.sell("ben", 4, at=100, by=BEN)
        self.sell("anna-1", 5, at=100, by=ANNA)
        self.assertEqual(self.buy("anna-2", 4, at=100, by=ANNA), [(100, 4, "anna-2", "ben")])
        self.assertEqual(self.words(), ["entered", "trade"])

    def test_the_outside_before_his_own_order_is_his_to_take(self) -> None:
        self.tick(100, 50)
        self.sell("ben-1", 10, at=101, by=BEN)
        self.assertEqual(self.buy("ben-2", 60, at=101, by=BEN), [(100, 50, "ben-2", OUTSIDE)])
        self.assert_ended("ben-2", as_="cancelled", quantity=10, reason="self_trade")

    def test_a_market_order_ends_at_his_own_order_as_well(self) -> None:
        self.sell("anna-1", 5, at=101, by=ANNA)
        self.buy("anna-2", 10, at=105, by=ANNA, kind="market")
        self.assert_ended("anna-2", as_="cancelled", quantity=10, reason="self_trade")

    def test_two_orders_of_one_user_may_both_trade_with_the_outside(self) -> None:
        self.bounded_buy("anna-1", 5, lower=90, upper=110, by=ANNA)
        self.bounded_sell("anna-2", 5, lower=90, upper=110, by=ANNA)
        fills = self.tick(100, 50)
        self.assertCountEqual(fills, [(100, 5, "anna-1", OUTSIDE), (100, 5, OUTSIDE, "anna-2")])


class HaltRulesTest(MarketExample):
    def test_an_order_is_rejected_while_halted(self) -> None:
        self.run_command(Halt())
        self.assertEqual(self.buy("anna", 10, at=100, by=ANNA), [])
        self.assert_ended("anna", as_="rejected", quantity=10, reason="market_halted")
        self.bounded_sell("ben", 10, lower=90, upper=100, by=BEN)
        self.assert_ended("ben", as_="rejected", quantity=10, reason="market_halted")

    def test_cancelling_works_while_halted(self) -> None:
        self.buy("anna", 10, at=100, by=ANNA)
        self.run_command(Halt())
        self.run_command(Cancel("anna"))
        self.assert_ended("anna", as_="cancelled", quantity=10, reason="user")

    def test_a_tick_while_halted_moves_the_price_and_trades_nothing(self) -> None:
        self.buy("anna", 10, at=100, by=ANNA)
        self.bounded_buy("ben", 10, lower=90, upper=100, by=BEN)
        self.run_command(Halt())
        self.assertEqual(self.tick(95, 50), [])
        self.assertEqual(self.market.quote_left(), (self.flip(95), 50, 0, 0, 4))
        self.assertEqual(self.market.last_price, self.flip(95))

    def test_a_halt_ends_what_the_outside_offered_until_the_next_tick(self) -> None:
        self.tick(100, 50)
        self.run_command(Halt())
        self.run_command(Resume())
        self.assertEqual(self.buy("anna", 10, at=100, by=ANNA), [])
        self.assertEqual(self.tick(100, 50), [(100, 10, "anna", OUTSIDE)])

    def test_waiting_orders_keep_their_place_over_a_halt(self) -> None:
        self.sell("anna", 10, at=100, by=ANNA)
        self.run_command(Halt())
        self.run_command(Resume())
        self.sell("ben", 10, at=100, by=BEN)
        self.assertEqual(self.buy("carla", 5, at=100, by=CARLA), [(100, 5, "carla", "anna")])

    def test_halting_or_resuming_twice_is_one_event(self) -> None:
        self.run_command(Resume())
        self.assertEqual(self.facts, [])
        self.run_command(Halt())
        self.assertEqual(self.facts, [("halted", 1)])
        self.run_command(Halt())
        self.assertEqual(self.facts, [])
        self.run_command(Resume())
        self.assertEqual(self.facts, [("resumed", 2)])


globals().update(
    other_readings(
        LimitOrderRulesTest, TimeInForceRulesTest, CancelRulesTest, SelfTradeRulesTest, HaltRulesTest
    )
)
