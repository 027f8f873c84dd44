"""The rules of replacing an order and of post-only, each by a small example (read four ways, see `examples`)."""

from trade.tests.matching.commands import Cancel, Halt, Resume
from trade.tests.matching.examples import ANNA, BEN, CARLA, DAVID, OUTSIDE, MarketExample, other_readings


class ReplaceRulesTest(MarketExample):
    def setUp(self) -> None:
        super().setUp()
        self.sell("anna", 10, at=100, by=ANNA)
        self.sell("ben", 10, at=100, by=BEN)

    def first_at_100(self) -> str | None:
        return self.buy("probe", 1, at=100, by=DAVID)[0][3]

    def assert_replaced(self, order_id: str, *, old: tuple[int, int, int], kept_place: bool) -> None:
        """`old` is the price, the total and what was open of it."""
        word, _, replaced_id, *_, old_price, old_quantity, old_open_quantity, kept = self.facts[0]
        self.assertEqual((word, replaced_id, kept), ("replaced", order_id, kept_place))
        self.assertEqual((self.flip(old_price), old_quantity, old_open_quantity), old)

    def test_less_at_the_same_price_keeps_the_place(self) -> None:
        self.replace("anna", 4, at=100)
        self.assert_replaced("anna", old=(100, 10, 10), kept_place=True)
        self.assertEqual(self.asks(), [(100, 14, 2)])
        self.assertEqual(self.first_at_100(), "anna")

    def test_the_same_at_the_same_price_keeps_the_place(self) -> None:
        self.replace("anna", 10, at=100)
        self.assert_replaced("anna", old=(100, 10, 10), kept_place=True)
        self.assertEqual(self.first_at_100(), "anna")

    def test_more_at_the_same_price_goes_to_the_end(self) -> None:
        self.replace("anna", 11, at=100)
        self.assert_replaced("anna", old=(100, 10, 10), kept_place=False)
        self.assertEqual(self.asks(), [(100, 21, 2)])
        self.assertEqual(self.first_at_100(), "ben")
        self.assertEqual(self.market.ahead_of("anna"), (10, 1))

    def test_another_price_goes_to_the_end_of_its_queue(self) -> None:
        self.sell("david", 1, at=101, by=DAVID)
        self.replace("anna", 10, at=101)
        self.assertEqual(self.asks(), [(100, 10, 1), (101, 11, 2)])
        self.assertEqual(
            self.buy("carla", 13, at=101, by=CARLA)[1:],
            [(101, 1, "carla", "david"), (101, 2, "carla", "anna")],
        )

    def test_there_and_back_again_has_lost_its_place(self) -> None:
        self.replace("anna", 10, at=101)
        self.replace("anna", 10, at=100)
        self.assertEqual(self.first_at_100(), "ben")

    def test_its_new_place_is_that_of_the_change(self) -> None:
        self.replace("anna", 10, at=101)
        self.assertEqual(self.facts[0][:3], ("replaced", 3, "anna"))
        self.assertEqual(self.market.places()["anna"][2], 3)

    def test_a_new_price_may_trade(self) -> None:
        self.buy("carla", 4, at=98, by=CARLA)
        self.assertEqual(self.replace("anna", 10, at=97), [(98, 4, "carla", "anna")])
        self.assertEqual(self.words(), ["replaced", "trade"])
        self.assertEqual(self.asks(), [(97, 6, 1), (100, 10, 1)])

    def test_a_new_price_may_trade_with_the_outside(self) -> None:
        self.tick(98, 7)
        self.assertEqual(self.replace("anna", 10, at=98), [(98, 7, OUTSIDE, "anna")])

    def test_a_new_price_may_meet_an_own_order(self) -> None:
        self.buy("anna-2", 4, at=98, by=ANNA)
        self.replace("anna", 10, at=97)
        self.assertEqual(self.words(), ["replaced", "prevented", "cancelled"])
        self.assert_ended("anna", as_="cancelled", quantity=10, reason="self_trade")

    def test_what_was_traded_is_part_of_the_new_total(self) -> None:
        self.buy("carla", 4, at=100, by=CARLA)
        self.replace("anna", 7, at=100)
        self.assert_replaced("anna", old=(100, 10, 6), kept_place=True)
        self.assert_quantities("anna", open_=3, traded=4)

    def test_what_was_traded_stays_when_the_price_changes(self) -> None:
        self.buy("carla", 4, at=100, by=CARLA)
        self.replace("anna", 12, at=101)
        self.assert_quantities("anna", open_=8, traded=4)
        self.assertEqual(self.asks(), [(100, 10, 1), (101, 8, 1)])

    def test_a_total_of_what_was_traded_ends_it(self) -> None:
        for price in (100, 103):
            with self.subTest(price=price):
                self.setUp()
                self.buy("carla", 4, at=100, by=CARLA)
                self.replace("anna", 4, at=price)
                self.assertEqual(self.words(), ["replaced"])
                self.assert_replaced("anna", old=(100, 10, 6), kept_place=True)
                self.assert_quantities("anna", open_=0, traded=4)
                self.assertEqual(self.asks(), [(100, 10, 1)])

    def test_a_total_below_what_was_traded_changes_nothing(self) -> None:
        self.buy("carla", 4, at=100, by=CARLA)
        self.replace("anna", 3, at=101)
        self.assertEqual(self.facts, [])
        self.assertEqual(self.asks(), [(100, 16, 2)])

    def test_replacing_what_is_not_open_changes_nothing(self) -> None:
        self.run_command(Cancel("anna"))
        for order_id in ("anna", "nobody"):
            self.replace(order_id, 20, at=101)
            self.assertEqual(self.facts, [])

    def test_while_halted_nothing_can_be_replaced(self) -> None:
        self.run_command(Halt())
        self.replace("anna", 4, at=100)
        self.assertEqual(self.facts, [])
        self.run_command(Resume())
        self.assertEqual(self.asks(), [(100, 20, 2)])

    def test_shares_lost_to_prevention_stay_lost(self) -> None:
        self.buy("anna-2", 4, at=100, by=ANNA, self_trade="decrement")
        self.assert_quantities("anna", open_=6, traded=0)
        self.replace("anna", 9, at=100)
        self.assert_quantities("anna", open_=5, traded=0)
        self.replace("anna", 4, at=100)
        self.assert_quantities("anna", open_=0, traded=0)
        self.assertEqual(self.asks(), [(100, 10, 1)])

    def test_an_iceberg_keeps_its_slice_when_it_keeps_its_place(self) -> None:
        self.sell("carla", 20, at=99, by=CARLA, display_quantity=5)
        self.buy("david", 2, at=99, by=DAVID)
        self.replace("carla", 10, at=99)
        self.assertEqual(self.asks()[0], (99, 3, 1))
        self.replace("carla", 4, at=99)
        self.assertEqual(self.asks()[0], (99, 2, 1))

    def test_an_iceberg_shows_a_whole_slice_at_its_new_place(self) -> None:
        self.sell("carla", 20, at=99, by=CARLA, display_quantity=5)
        self.buy("david", 2, at=99, by=DAVID)
        self.replace("carla", 20, at=98)
        self.assertEqual(self.asks()[0], (98, 5, 1))

    def test_a_bounded_order_with_more_goes_to_the_end(self) -> None:
        self.bounded_buy("carla", 10, lower=90, upper=98, by=CARLA)
        self.bounded_buy("david", 10, lower=90, upper=98, by=DAVID)
        self.replace("carla", 12, at=98)
        self.assertEqual(self.tick(97, 5), [(97, 5, "david", OUTSIDE)])

    def test_a_bounded_order_with_less_keeps_its_place(self) -> None:
        self.bounded_buy("carla", 10, lower=90, upper=98, by=CARLA)
        self.bounded_buy("david", 10, lower=90, upper=98, by=DAVID)
        self.replace("carla", 3, at=98)
        self.assertEqual(self.tick(97, 5), [(97, 3, "carla", OUTSIDE), (97, 2, "david", OUTSIDE)])

    def test_a_waiting_stop_stays_waiting(self) -> None:
        self.buy("carla", 10, at=105, by=CARLA, stop=102)
        self.replace("carla", 12, at=104)
        self.assertEqual((self.words(), self.bids()), (["replaced"], []))
        self.tick(102, 0)
        self.assertEqual(self.story()[1:], [("triggered", "carla")])
        self.assert_quantities("anna", open_=0, traded=10)
        self.assert_quantities("carla", open_=0, traded=12)

    def test_a_waiting_stop_with_more_goes_behind_the_others(self) -> None:
        self.buy("carla", 10, at=105, by=CARLA, stop=102)
        self.buy("david", 10, at=105, by=DAVID, stop=102)
        self.replace("carla", 12, at=105)
        self.tick(102, 0)
        self.assertEqual([fact[2] for fact in self.facts if fact[0] == "triggered"], ["david", "carla"])

    def test_a_waiting_stop_with_less_keeps_its_place(self) -> None:
        self.buy("carla", 10, at=105, by=CARLA, stop=102)
        self.buy("david", 10, at=105, by=DAVID, stop=102)
        self.replace("carla", 5, at=105)
        self.tick(102, 0)
        self.assertEqual([fact[2] for fact in self.facts if fact[0] == "triggered"], ["carla", "david"])

    def test_a_trade_of_a_replaced_order_lets_stops_go(self) -> None:
        self.buy("carla", 4, at=98, by=CARLA)
        self.sell("david", 4, at=95, by=DAVID, stop=98)
        self.replace("anna", 10, at=98)
        self.assertEqual(self.words(), ["replaced", "trade", "triggered"])


class PostOnlyRulesTest(MarketExample):
    def test_it_rests_when_it_would_trade_with_nothing(self) -> None:
        self.sell("ben", 5, at=101, by=BEN)
        self.buy("anna", 10, at=100, by=ANNA, post_only=True)
        self.assertEqual((self.words(), self.bids()), (["entered"], [(100, 10, 1)]))

    def test_it_is_rejected_when_it_would_trade_with_a_user(self) -> None:
        self.sell("ben", 5, at=101, by=BEN)
        self.assertEqual(self.buy("anna", 10, at=101, by=ANNA, post_only=True), [])
        self.assertEqual(self.words(), ["rejected"])
        self.assert_ended("anna", as_="rejected", quantity=10, reason="post_only")

    def test_it_is_rejected_when_it_would_meet_an_own_order(self) -> None:
        self.sell("anna-1", 5, at=101, by=ANNA)
        self.buy("anna-2", 10, at=101, by=ANNA, post_only=True)
        self.assert_ended("anna-2", as_="rejected", quantity=10, reason="post_only")

    def test_it_is_rejected_when_it_would_trade_with_the_outside(self) -> None:
        self.tick(100, 5)
        self.buy("anna", 10, at=100, by=ANNA, post_only=True)
        self.assert_ended("anna", as_="rejected", quantity=10, reason="post_only")

    def test_it_rests_when_the_outside_has_nothing_left(self) -> None:
        self.tick(100, 5)
        self.buy("ben", 5, at=100, by=BEN)
        self.buy("anna", 10, at=100, by=ANNA, post_only=True)
        self.assertEqual(self.bids(), [(100, 10, 1)])

    def test_a_new_price_at_which_it_would_trade_changes_nothing(self) -> None:
        self.sell("ben", 5, at=101, by=BEN)
        self.buy("anna", 10, at=100, by=ANNA, post_only=True)
        for quantity in (4, 10, 20):
            self.replace("anna", quantity, at=101)
            self.assertEqual(self.facts, [])
        self.assertEqual(self.bids(), [(100, 10, 1)])
        self.replace("anna", 20, at=99)
        self.assertEqual(self.bids(), [(99, 20, 1)])

    def test_once_it_rests_it_trades_as_any_other(self) -> None:
        self.buy("anna", 10, at=100, by=ANNA, post_only=True)
        self.assertEqual(self.sell("ben", 4, at=100, by=BEN), [(100, 4, "anna", "ben")])


globals().update(other_readings(ReplaceRulesTest, PostOnlyRulesTest))
