"""What becomes of an order and of its own user's, by the taker's mode (read four ways, see `examples`).

The default, `expire_taker`, is in `test_rules` as well.
"""

from trade.tests.matching.examples import ANNA, BEN, CARLA, OUTSIDE, MarketExample, other_readings

MODES = ("expire_taker", "expire_maker", "expire_both", "decrement")


class PreventionRulesTest(MarketExample):
    def test_expire_taker_ends_the_one_that_came(self) -> None:
        self.sell("own", 4, at=100, by=ANNA)
        self.assertEqual(self.buy("anna", 10, at=101, by=ANNA, self_trade="expire_taker"), [])
        self.assertEqual(
            self.story(),
            [
                ("entered", "anna"),
                ("prevented", "anna", "own", 4),
                ("cancelled", "anna", 10, "self_trade"),
            ],
        )
        self.assertEqual(self.asks(), [(100, 4, 1)])

    def test_expire_maker_ends_the_one_that_waited_and_goes_on(self) -> None:
        self.sell("own", 4, at=100, by=ANNA)
        self.sell("ben", 4, at=100, by=BEN)
        fills = self.buy("anna", 10, at=101, by=ANNA, self_trade="expire_maker")
        self.assertEqual(fills, [(100, 4, "anna", "ben")])
        self.assertEqual(
            self.story(),
            [("entered", "anna"), ("prevented", "anna", "own", 4), ("cancelled", "own", 4, "self_trade")],
        )
        self.assertEqual((self.bids(), self.asks()), ([(101, 6, 1)], []))

    def test_expire_maker_goes_on_to_the_outside(self) -> None:
        self.sell("own", 5, at=100, by=ANNA)
        self.tick(100, 3)
        fills = self.buy("anna", 5, at=101, by=ANNA, self_trade="expire_maker")
        self.assertEqual(fills, [(100, 3, "anna", OUTSIDE)])
        self.assertEqual(self.words(), ["entered", "prevented", "cancelled", "trade"])
        self.assertEqual((self.bids(), self.asks()), ([(101, 2, 1)], []))

    def test_expire_both_ends_both_the_one_that_waited_first(self) -> None:
        self.sell("own", 4, at=100, by=ANNA)
        self.buy("anna", 10, at=101, by=ANNA, self_trade="expire_both")
        self.assertEqual(
            self.story()[1:],
            [
                ("prevented", "anna", "own", 4),
                ("cancelled", "own", 4, "self_trade"),
                ("cancelled", "anna", 10, "self_trade"),
            ],
        )
        self.assertEqual((self.bids(), self.asks()), ([], []))

    def test_decrement_by_more_than_waits_ends_the_maker_and_goes_on(self) -> None:
        self.sell("own", 4, at=100, by=ANNA)
        self.sell("ben", 4, at=100, by=BEN)
        fills = self.buy("anna", 10, at=101, by=ANNA, self_trade="decrement")
        self.assertEqual(fills, [(100, 4, "anna", "ben")])
        self.assertEqual(
            self.story()[1:],
            [
                ("prevented", "anna", "own", 4),
                ("cancelled", "own", 4, "self_trade"),
                ("reduced", "anna", 4, "self_trade"),
            ],
        )
        self.assertEqual((self.bids(), self.asks()), ([(101, 2, 1)], []))

    def test_decrement_by_less_than_waits_ends_the_taker(self) -> None:
        self.sell("own", 10, at=100, by=ANNA)
        self.buy("anna", 4, at=101, by=ANNA, self_trade="decrement")
        self.assertEqual(
            self.story()[1:],
            [
                ("prevented", "anna", "own", 4),
                ("reduced", "own", 4, "self_trade"),
                ("cancelled", "anna", 4, "self_trade"),
            ],
        )
        self.assertEqual(self.asks(), [(100, 6, 1)])
        self.assert_quantities("own", open_=6, traded=0)

    def test_decrement_of_equals_ends_both(self) -> None:
        self.sell("own", 4, at=100, by=ANNA)
        self.buy("anna", 4, at=101, by=ANNA, self_trade="decrement")
        self.assertEqual(self.words(), ["entered", "prevented", "cancelled", "cancelled"])
        self.assertEqual((self.bids(), self.asks()), ([], []))

    def test_a_decremented_maker_keeps_its_place(self) -> None:
        self.sell("own", 10, at=100, by=ANNA)
        self.sell("ben", 10, at=100, by=BEN)
        self.buy("anna", 4, at=100, by=ANNA, self_trade="decrement")
        self.assertEqual(self.buy("carla", 1, at=100, by=CARLA), [(100, 1, "carla", "own")])

    def test_decrement_takes_an_iceberg_slice_by_slice(self) -> None:
        self.sell("own", 12, at=100, by=ANNA, display_quantity=5)
        self.sell("ben", 3, at=100, by=BEN)
        fills = self.buy("anna", 10, at=100, by=ANNA, self_trade="decrement")
        self.assertEqual(fills, [(100, 3, "anna", "ben")])
        self.assertEqual(
            self.story()[1:],
            [
                ("prevented", "anna", "own", 5),
                ("reduced", "own", 5, "self_trade"),
                ("reduced", "anna", 5, "self_trade"),
                ("prevented", "anna", "own", 2),
                ("reduced", "own", 2, "self_trade"),
                ("cancelled", "anna", 2, "self_trade"),
            ],
        )
        self.assertEqual(self.asks(), [(100, 3, 1)])

    def test_a_slice_used_up_by_decrement_has_the_place_of_the_reduction(self) -> None:
        self.sell("own", 12, at=100, by=ANNA, display_quantity=5)
        self.buy("anna", 5, at=100, by=ANNA, self_trade="decrement")
        reduced = next(fact for fact in self.facts if fact[0] == "reduced")
        self.assertEqual(self.market.places()["own"][2:], (reduced[1], 5))

    def test_expire_maker_ends_an_iceberg_with_all_that_is_hidden(self) -> None:
        self.sell("own", 12, at=100, by=ANNA, display_quantity=5)
        self.buy("anna", 3, at=100, by=ANNA, self_trade="expire_maker")
        self.assertEqual(
            self.story()[1:], [("prevented", "anna", "own", 3), ("cancelled", "own", 12, "self_trade")]
        )

    def test_the_takers_mode_counts_not_the_makers(self) -> None:
        self.sell("own", 4, at=100, by=ANNA, self_trade="expire_maker")
        self.buy("anna", 10, at=100, by=ANNA, self_trade="expire_taker")
        self.assert_ended("anna", as_="cancelled", quantity=10, reason="self_trade")
        self.assertEqual(self.asks(), [(100, 4, 1)])

    def test_what_came_before_the_own_order_is_traded_in_every_mode(self) -> None:
        for mode in MODES:
            with self.subTest(mode=mode):
                self.setUp()
                self.sell("ben", 4, at=100, by=BEN)
                self.sell("own", 4, at=101, by=ANNA)
                fills = self.buy("anna", 10, at=101, by=ANNA, self_trade=mode)
                self.assertEqual(fills, [(100, 4, "anna", "ben")])

    def test_an_ioc_with_expire_maker_ends_as_an_ioc(self) -> None:
        self.sell("own", 4, at=100, by=ANNA)
        self.buy("anna", 10, at=100, by=ANNA, time_in_force="ioc", self_trade="expire_maker")
        self.assert_ended("anna", as_="cancelled", quantity=10, reason="ioc")

    def test_fok_with_expire_maker_counts_past_its_own_order(self) -> None:
        self.sell("own", 4, at=100, by=ANNA)
        self.sell("ben", 10, at=101, by=BEN)
        terms = {"time_in_force": "fok", "self_trade": "expire_maker"}
        self.buy("anna-1", 11, at=101, by=ANNA, **terms)
        self.assert_ended("anna-1", as_="cancelled", quantity=11, reason="fok")
        self.assertEqual(self.asks(), [(100, 4, 1), (101, 10, 1)])
        self.assertEqual(self.buy("anna-2", 10, at=101, by=ANNA, **terms), [(101, 10, "anna-2", "ben")])
        self.assertEqual(self.asks(), [])

    def test_fok_in_any_other_mode_counts_up_to_its_own_order(self) -> None:
        for mode in ("expire_taker", "expire_both", "decrement"):
            with self.subTest(mode=mode):
                self.setUp()
                self.sell("own", 4, at=100, by=ANNA)
                self.sell("ben", 10, at=101, by=BEN)
                self.buy("anna", 10, at=101, by=ANNA, time_in_force="fok", self_trade=mode)
                self.assert_ended("anna", as_="cancelled", quantity=10, reason="fok")
                self.assertEqual(self.asks(), [(100, 4, 1), (101, 10, 1)])

    def test_a_stop_that_goes_is_prevented_as_well(self) -> None:
        self.sell("own", 4, at=100, by=ANNA)
        self.buy("anna", 4, at=100, by=ANNA, stop=99)
        self.tick(99, 0)
        self.assertEqual(self.words(), ["ticked", "triggered", "prevented", "cancelled"])


globals().update(other_readings(PreventionRulesTest))
