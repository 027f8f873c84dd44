"""The rules of icebergs, each by a small example (read four ways, see `examples`)."""

from trade.tests.matching.commands import Cancel
from trade.tests.matching.examples import ANNA, BEN, CARLA, DAVID, OUTSIDE, MarketExample, other_readings


class IcebergRulesTest(MarketExample):
    def test_the_book_shows_one_slice_of_it(self) -> None:
        self.sell("anna", 20, at=100, by=ANNA, display_quantity=5)
        self.sell("ben", 3, at=100, by=BEN)
        self.assertEqual(self.asks(), [(100, 8, 2)])

    def test_the_next_slice_goes_to_the_end_of_the_queue(self) -> None:
        self.sell("anna", 20, at=100, by=ANNA, display_quantity=5)
        self.sell("ben", 10, at=100, by=BEN)
        self.assertEqual(self.buy("carla-1", 5, at=100, by=CARLA), [(100, 5, "carla-1", "anna")])
        self.assertEqual(self.asks(), [(100, 15, 2)])
        fills = self.buy("carla-2", 12, at=100, by=CARLA)
        self.assertEqual(fills, [(100, 10, "carla-2", "ben"), (100, 2, "carla-2", "anna")])

    def test_a_slice_that_is_used_in_part_keeps_its_place(self) -> None:
        self.sell("anna", 20, at=100, by=ANNA, display_quantity=5)
        self.sell("ben", 10, at=100, by=BEN)
        self.buy("carla-1", 4, at=100, by=CARLA)
        self.assertEqual(self.asks(), [(100, 11, 2)])
        fills = self.buy("carla-2", 2, at=100, by=CARLA)
        self.assertEqual(fills, [(100, 1, "carla-2", "anna"), (100, 1, "carla-2", "ben")])

    def test_its_new_place_is_that_of_the_trade_which_used_the_slice_up(self) -> None:
        self.sell("anna", 20, at=100, by=ANNA, display_quantity=5)
        self.buy("ben", 5, at=100, by=BEN)
        self.assertEqual(self.facts[-1][:2], ("trade", 3))
        self.assertEqual(self.market.places()["anna"][2:], (3, 5))

    def test_one_taker_goes_through_its_slices_one_trade_each(self) -> None:
        self.sell("anna", 12, at=100, by=ANNA, display_quantity=5)
        fills = self.buy("ben", 12, at=100, by=BEN)
        self.assertEqual([quantity for _, quantity, *_ in fills], [5, 5, 2])
        self.assertEqual(self.asks(), [])

    def test_the_last_slice_is_what_is_left(self) -> None:
        self.sell("anna", 12, at=100, by=ANNA, display_quantity=5)
        self.buy("ben", 10, at=100, by=BEN)
        self.assertEqual(self.asks(), [(100, 2, 1)])

    def test_as_a_taker_it_trades_with_all_of_it(self) -> None:
        self.sell("anna", 12, at=100, by=ANNA)
        fills = self.buy("ben", 30, at=100, by=BEN, display_quantity=5)
        self.assertEqual(fills, [(100, 12, "ben", "anna")])
        self.assertEqual(self.bids(), [(100, 5, 1)])
        self.assert_quantities("ben", open_=18, traded=12)

    def test_on_a_tick_the_slices_of_two_icebergs_take_turns(self) -> None:
        self.buy("anna", 8, at=100, by=ANNA, display_quantity=3)
        self.buy("ben", 10, at=100, by=BEN, display_quantity=4)
        fills = self.tick(100, 16)
        turns = [("anna", 3), ("ben", 4), ("anna", 3), ("ben", 4), ("anna", 2)]
        self.assertEqual(fills, [(100, quantity, name, OUTSIDE) for name, quantity in turns])
        self.assertEqual(self.bids(), [(100, 2, 1)])

    def test_on_a_tick_a_bounded_order_at_its_limit_goes_before_the_second_slice(self) -> None:
        self.buy("anna", 8, at=100, by=ANNA, display_quantity=3)
        self.bounded_buy("ben", 4, lower=90, upper=100, by=BEN)
        fills = self.tick(100, 10)
        self.assertEqual(
            [(bid, quantity) for _, quantity, bid, _ in fills], [("anna", 3), ("ben", 4), ("anna", 3)]
        )

    def test_on_a_tick_a_better_limit_goes_slice_by_slice_before_a_worse_one(self) -> None:
        self.buy("anna", 6, at=101, by=ANNA, display_quantity=3)
        self.buy("ben", 4, at=100, by=BEN)
        fills = self.tick(99, 8)
        self.assertEqual(
            [(bid, quantity) for _, quantity, bid, _ in fills], [("anna", 3), ("anna", 3), ("ben", 2)]
        )

    def test_fok_counts_what_is_hidden(self) -> None:
        self.sell("anna", 20, at=100, by=ANNA, display_quantity=5)
        self.buy("ben-1", 21, at=100, by=BEN, time_in_force="fok")
        self.assert_ended("ben-1", as_="cancelled", quantity=21, reason="fok")
        self.buy("ben-2", 20, at=100, by=BEN, time_in_force="fok")
        self.assert_quantities("ben-2", open_=0, traded=20)

    def test_fok_does_not_count_what_is_hidden_behind_an_own_order(self) -> None:
        self.sell("anna", 20, at=100, by=ANNA, display_quantity=5)
        self.sell("ben-1", 1, at=100, by=BEN)
        self.assertEqual(self.buy("ben-2", 6, at=100, by=BEN, time_in_force="fok"), [])
        self.assert_ended("ben-2", as_="cancelled", quantity=6, reason="fok")
        self.buy("ben-3", 5, at=100, by=BEN, time_in_force="fok")
        self.assert_quantities("ben-3", open_=0, traded=5)

    def test_fok_counts_what_is_hidden_at_a_better_price_than_the_own_order(self) -> None:
        self.sell("anna", 20, at=99, by=ANNA, display_quantity=5)
        self.sell("ben-1", 1, at=100, by=BEN)
        self.buy("ben-2", 20, at=100, by=BEN, time_in_force="fok")
        self.assert_quantities("ben-2", open_=0, traded=20)

    def test_fok_does_not_count_an_iceberg_that_has_moved_away(self) -> None:
        self.sell("ben", 1, at=100, by=BEN)
        self.sell("anna", 20, at=100, by=ANNA, display_quantity=5)
        self.replace("anna", 20, at=105)
        self.assertEqual(self.buy("carla", 5, at=100, by=CARLA, time_in_force="fok"), [])
        self.assert_ended("carla", as_="cancelled", quantity=5, reason="fok")

    def test_cancelling_it_ends_what_is_hidden_too(self) -> None:
        self.sell("anna", 20, at=100, by=ANNA, display_quantity=5)
        self.buy("ben", 7, at=100, by=BEN)
        self.run_command(Cancel("anna"))
        self.assert_ended("anna", as_="cancelled", quantity=13, reason="user")
        self.assertEqual(self.asks(), [])

    def test_those_who_come_count_what_is_shown_before_them(self) -> None:
        self.sell("anna", 20, at=100, by=ANNA, display_quantity=5)
        self.sell("ben", 3, at=100, by=BEN)
        self.sell("david", 3, at=100, by=DAVID)
        ahead = [self.market.ahead_of(name) for name in ("anna", "ben", "david")]
        self.assertEqual(ahead, [(0, 0), (5, 1), (8, 2)])


globals().update(other_readings(IcebergRulesTest))
