"""The rules of stop and stop-limit orders, each by a small example (read four ways, see `examples`)."""

from trade.tests.matching.commands import Cancel, Expire, Halt, LateTick, Resume
from trade.tests.matching.examples import ANNA, BEN, CARLA, DAVID, OUTSIDE, MarketExample, other_readings


class StopRulesTest(MarketExample):
    def print_price(self, price: int) -> None:
        """A trade of one share between two strangers."""
        self.sell(f"maker at {price}", 1, at=price, by=90)
        self.buy(f"taker at {price}", 1, at=price, by=91)

    def test_before_the_first_price_it_waits_in_no_book(self) -> None:
        self.buy("anna", 10, at=105, by=ANNA, stop=102)
        self.assertEqual((self.words(), self.bids()), (["entered"], []))
        self.assertIn("anna", self.market.open_orders())
        self.assertEqual(self.sell("ben", 5, at=100, by=BEN), [])

    def test_a_buy_goes_when_the_price_comes_up_to_its_stop(self) -> None:
        self.print_price(100)
        self.buy("anna", 10, at=105, by=ANNA, stop=102)
        self.print_price(101)
        self.assertNotIn("triggered", self.words())
        self.print_price(102)
        self.assertEqual(self.words(), ["entered", "trade", "triggered"])
        self.assertEqual(self.bids(), [(105, 10, 1)])

    def test_a_buy_does_not_go_when_the_price_falls(self) -> None:
        self.print_price(100)
        self.buy("anna", 10, at=105, by=ANNA, stop=102)
        self.print_price(90)
        self.assertNotIn("triggered", self.words())

    def test_a_sell_goes_when_the_price_falls_to_its_stop(self) -> None:
        self.print_price(100)
        self.sell("anna", 10, at=95, by=ANNA, stop=98)
        self.print_price(99)
        self.assertNotIn("triggered", self.words())
        self.print_price(98)
        self.assertEqual(self.story()[-1], ("triggered", "anna"))

    def test_one_whose_stop_is_reached_already_goes_on_at_once(self) -> None:
        self.print_price(100)
        self.sell("ben", 4, at=101, by=BEN)
        fills = self.buy("anna", 10, at=101, by=ANNA, stop=100)
        self.assertEqual(fills, [(101, 4, "anna", "ben")])
        self.assertEqual((self.words(), self.bids()), (["entered", "trade"], [(101, 6, 1)]))

    def test_a_stop_without_a_limit_is_a_market_order_when_it_goes(self) -> None:
        self.print_price(100)
        self.buy("anna", 10, at=110, by=ANNA, kind="market", time_in_force="ioc", stop=102)
        self.sell("ben", 4, at=103, by=BEN)
        self.assertEqual(self.tick(102, 0), [(103, 4, "anna", "ben")])
        self.assertEqual(self.words(), ["ticked", "triggered", "trade", "cancelled"])
        self.assert_ended("anna", as_="cancelled", quantity=6, reason="no_liquidity")

    def test_it_meets_what_the_tick_that_reached_it_has_left(self) -> None:
        self.buy("ben", 6, at=102, by=BEN)
        self.buy("anna", 10, at=105, by=ANNA, stop=102)
        fills = self.tick(102, 8)
        self.assertEqual(fills, [(102, 6, "ben", OUTSIDE), (102, 2, "anna", OUTSIDE)])
        self.assertEqual(self.words(), ["ticked", "trade", "triggered", "trade"])

    def test_its_place_is_that_of_its_trigger(self) -> None:
        self.print_price(100)
        self.buy("anna", 10, at=103, by=ANNA, stop=102)
        self.buy("ben", 10, at=103, by=BEN)
        self.tick(104, 0)
        self.assertEqual(self.facts[-1][:2], ("triggered", 7))
        self.assertEqual(self.sell("carla", 5, at=103, by=CARLA), [(103, 5, "ben", "carla")])

    def test_of_those_reached_together_the_earliest_goes_first(self) -> None:
        self.print_price(100)
        self.buy("anna", 1, at=110, by=ANNA, stop=104)
        self.sell("ben", 1, at=90, by=BEN, stop=97)
        self.buy("carla", 1, at=110, by=CARLA, stop=102)
        self.tick(105, 0)
        self.assertEqual(self.story()[1:], [("triggered", "anna"), ("triggered", "carla")])

    def test_fok_is_judged_when_it_goes(self) -> None:
        self.print_price(100)
        self.buy("anna", 10, at=103, by=ANNA, time_in_force="fok", stop=102)
        self.buy("ben", 10, at=103, by=BEN, time_in_force="fok", stop=102)
        self.sell("carla", 10, at=103, by=CARLA)
        self.assertEqual(self.tick(102, 0), [(103, 10, "anna", "carla")])
        self.assert_ended("ben", as_="cancelled", quantity=10, reason="fok")

    def test_those_it_reaches_queue_behind_those_already_reached(self) -> None:
        self.print_price(100)
        self.buy("later", 1, at=110, by=CARLA, stop=105)
        self.buy("first", 5, at=110, by=ANNA, stop=102)
        self.buy("second", 5, at=110, by=BEN, stop=102)
        self.sell("david", 20, at=106, by=DAVID)
        fills = self.tick(102, 0)
        self.assertEqual([fill[2] for fill in fills], ["first", "second", "later"])

    def test_a_reached_one_goes_though_the_price_moves_back_meanwhile(self) -> None:
        self.tick(100, 0)
        self.sell("carla", 1, at=101, by=CARLA)
        self.buy("anna", 1, at=110, by=ANNA, stop=103)
        self.buy("ben", 1, at=110, by=BEN, stop=103)
        self.assertEqual(self.tick(104, 0), [(101, 1, "anna", "carla")])
        self.assertEqual(self.story()[1:], [("triggered", "anna"), ("triggered", "ben")])
        self.assertEqual(self.market.last_price, self.flip(101))

    def test_the_whole_command_is_done_before_any_stop_goes(self) -> None:
        self.print_price(100)
        self.buy("stop", 5, at=110, by=ANNA, stop=101)
        self.sell("ben", 5, at=101, by=BEN)
        self.sell("carla", 5, at=102, by=CARLA)
        fills = self.buy("david", 10, at=102, by=DAVID)
        self.assertEqual([fill[2:] for fill in fills], [("david", "ben"), ("david", "carla")])
        self.assertEqual(self.words(), ["entered", "trade", "trade", "triggered"])

    def test_only_the_last_of_a_commands_prices_counts(self) -> None:
        self.print_price(100)
        self.sell("stop", 5, at=90, by=ANNA, stop=99)
        self.sell("ben", 1, at=99, by=BEN)
        self.sell("carla", 1, at=101, by=CARLA)
        fills = self.buy("david", 2, at=101, by=DAVID)
        self.assertEqual([fill[0] for fill in fills], [99, 101])
        self.assertNotIn("triggered", self.words())

    def test_while_halted_none_goes_and_on_resuming_those_reached_go(self) -> None:
        self.tick(100, 0)
        self.buy("anna", 5, at=105, by=ANNA, stop=102)
        self.sell("ben", 5, at=95, by=BEN, stop=98)
        self.run_command(Halt())
        self.tick(97, 50)
        self.assertEqual(self.words(), ["ticked"])
        self.tick(103, 50)
        self.run_command(Resume())
        self.assertEqual(self.story(), [("resumed",), ("triggered", "anna")])

    def test_a_late_tick_reaches_none(self) -> None:
        self.tick(100, 0)
        self.buy("anna", 5, at=105, by=ANNA, stop=102)
        self.run_command(LateTick(self.flip(102), 50))
        self.assertEqual(self.words(), ["ticked"])

    def test_a_waiting_one_can_be_cancelled_and_expires(self) -> None:
        self.buy("anna", 5, at=105, by=ANNA, stop=102)
        self.buy("ben", 5, at=105, by=BEN, time_in_force="gtd", stop=102)
        self.run_command(Cancel("anna"))
        self.assert_ended("anna", as_="cancelled", quantity=5, reason="user")
        self.run_command(Expire("ben", "gtd"))
        self.assert_ended("ben", as_="expired", quantity=5, reason="gtd")
        self.tick(102, 0)
        self.assertEqual(self.words(), ["ticked"])

    def test_an_iceberg_may_wait_for_a_stop(self) -> None:
        self.buy("anna", 20, at=105, by=ANNA, display_quantity=5, stop=102)
        self.tick(102, 8)
        self.assertEqual(self.bids(), [(105, 5, 1)])
        self.assert_quantities("anna", open_=12, traded=8)


globals().update(other_readings(StopRulesTest))
