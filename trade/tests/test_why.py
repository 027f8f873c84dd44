"""Why an order did, or did not, trade: in words, and true."""

from datetime import timedelta
from decimal import Decimal
from typing import Any
from unittest import mock

from stocks.models import Stock
from trade.engine import reset_engine
from trade.models import Order, OrderEvent, Trade
from trade.selectors.why import Explanation, explain_order
from trade.selectors.why.words import Fact
from trade.tests.base import NOON, MarketTestCase, make_trader, units


class WhyTestCase(MarketTestCase):
    def setUp(self) -> None:
        super().setUp()
        self.ann = make_trader("ann", 100_000, ACME=1_000)
        self.bob = make_trader("bob", 100_000, ACME=1_000)

    def explain(self, order: Order, **words: Any) -> Explanation:
        explanation = explain_order(order.pk, user_id=order.user_id, **words)
        assert explanation is not None
        return explanation

    def facts(self, order: Order) -> list[Fact]:
        return self.explain(order).facts

    def told(self, order: Order) -> list[str]:
        return [fact.detail for fact in self.facts(order)]

    def replace(self, order: Order, price: str | None = None, quantity: int | None = None) -> None:
        self.engine.replace_order(
            order.pk, order.user_id, price=None if price is None else units(price), quantity=quantity
        )


class WorkedExample(WhyTestCase):
    def test_it_reads_well(self) -> None:
        order = self.place_bounded(self.ann, "buy", 100, "10", "20")
        self.tick("20", 50)
        self.tick("21", 500)
        self.assertEqual(
            self.explain(order).summary,
            "It bought 50 of 100 at 20 on average so far; 50 left, waiting for ticks from 10 to 20.",
        )
        self.tick("19.50", 80)
        explanation = self.explain(order)
        self.assertEqual(
            [fact.detail for fact in explanation.facts],
            [
                "Held 2000 in cash: 100 at no more than 20.",
                "Entered the market with 100 shares; it waits for ticks from 10 to 20.",
                "A tick of 50 at 20 filled 50, and no more was available.",
                "Bought 50 at 20 with the feed, as maker; 50 left.",
                "A tick of 500 at 21: 21 is above the upper bound 20.",
                "A tick of 80 at 19.50 filled 50.",
                "Bought 50 at 19.50 with the feed, as maker; 0 left.",
            ],
        )
        self.assertEqual(explanation.summary, "Bought all 100 at 19.75 on average.")
        self.assertEqual([fact.sequence for fact in explanation.facts], [0, 1, 2, 3, 4, 5, 6])
        first_trade = Trade.objects.get(sequence=3)
        self.assertEqual(explanation.facts[2].numbers["trade_id"], first_trade.pk)


class Ticks(WhyTestCase):
    def test_it_folds_ticks_that_do_not_matter(self) -> None:
        order = self.place(self.ann, "buy", 10, "20")
        for cents in range(5, 131, 5):
            self.tick(f"{20 + Decimal(cents) / 100}", 10)
        self.assertEqual(self.told(order)[2:], ["26 ticks between 20.05 and 21.30: all above the limit 20."])
        self.assertEqual(self.facts(order)[2].numbers["count"], 26)

    def test_it_tells_a_price_below_a_sell(self) -> None:
        order = self.place_bounded(self.ann, "sell", 10, "20", "30")
        self.tick("19.90", 5)
        self.tick("31", 5)
        self.assertEqual(
            self.told(order)[2:],
            [
                "A tick of 5 at 19.90: 19.90 is below the lower bound 20.",
                "A tick of 5 at 31: 31 is above the upper bound 30.",
            ],
        )

    def test_it_tells_what_orders_ahead_took(self) -> None:
        self.place(self.bob, "buy", 30, "20")
        order = self.place(self.ann, "buy", 10, "20")
        self.tick("20", 30)
        self.tick("20", 0)
        self.place(self.bob, "buy", 3, "21")
        self.tick("19", 5)
        self.assertEqual(
            self.told(order)[1:],
            [
                "Entered the market with 10 shares; it rested at 20 with 30 shares in 1 order ahead of it.",
                "A tick of 30 at 20: all of it was taken by orders ahead of this one (30).",
                "A tick of 0 at 20: nothing was available.",
                "A tick of 5 at 19 filled 2; others took 3, and no more was available.",
                "Bought 2 at 19 with the feed, as maker; 8 left.",
            ],
        )
        spent = self.facts(order)[2].numbers
        self.assertEqual((spent["verdict"], spent["taken_by_others"]), ("spent_by_orders_ahead", 30))

    def test_it_tells_what_a_tick_took_of_an_iceberg(self) -> None:
        order = self.place(self.ann, "sell", 20, "20", display_quantity=4)
        self.tick("20", 10)
        filled, *trades = self.facts(order)[2:]
        self.assertEqual(filled.detail, "A tick of 10 at 20 filled 10, and no more was available.")
        self.assertEqual([fact.numbers["quantity"] for fact in trades], [4, 4, 2])

    def test_it_tells_a_late_tick(self) -> None:
        order = self.place(self.ann, "buy", 10, "20")
        self.tick("21", 5)
        self.tick("20", 5, at=NOON - timedelta(hours=1))
        self.assertEqual(
            self.told(order)[3],
            "A tick of 5 at 20: older than the newest tick before, so kept as history only.",
        )

    def test_it_tells_a_halt(self) -> None:
        order = self.place(self.ann, "buy", 10, "20")
        self.engine.halt("ACME")
        self.tick("20", 5)
        self.tick("19", 5)
        self.assertIn("10 left, while trading in ACME is halted", self.explain(order).summary)
        self.engine.resume("ACME")
        self.assertEqual(
            self.told(order)[2:],
            [
                "Trading in ACME was halted.",
                "2 ticks between 19 and 20: trading was halted.",
                "Trading in ACME went on.",
            ],
        )


class Lives(WhyTestCase):
    def test_it_tells_a_stop(self) -> None:
        self.tick("10", 0)
        order = self.place(self.ann, "buy", 5, "12", type="stop_limit", stop_price="11")
        self.tick("10.50", 7)
        self.tick("11", 3)
        self.assertEqual(
            self.told(order),
            [
                "Held 60 in cash: 5 at no more than 12.",
                "Entered the market with 5 shares; it waits until the price reaches its stop 11.",
                "2 ticks between 10.50 and 11: the order was waiting for its stop 11.",
                "The price reached its stop 11; it rested in the book, first at 12.",
                "Bought 3 at 11 with the feed, as taker; 2 left.",
            ],
        )

    def test_it_knows_a_stop_that_never_waited(self) -> None:
        self.tick("10", 0)
        order = self.place(self.ann, "buy", 5, "12", type="stop_limit", stop_price="9")
        self.tick("12", 2)
        self.assertEqual(self.facts(order)[2].numbers["verdict"], "filled")
        self.assertIn("first at 12", self.told(order)[1])

    def test_it_tells_a_change(self) -> None:
        order = self.place(self.ann, "buy", 10, "20")
        self.place(self.bob, "buy", 4, "21")
        self.tick("22", 1)
        self.replace(order, quantity=8)
        self.replace(order, price="21")
        self.tick("21", 5)
        told = self.facts(order)
        self.assertEqual(
            [fact.detail for fact in told][2:],
            [
                "A tick of 1 at 22: 22 is above the limit 20.",
                "Changed to 8 in all at 20; it kept its place.",
                "Changed to 8 in all at 21; it rested at 21 with 4 shares in 1 order ahead of it.",
                "A tick of 5 at 21 filled 1; others took 4, and no more was available.",
                "Bought 1 at 21 with the feed, as maker; 7 left.",
            ],
        )
        self.assertEqual(told[3].numbers["replaces"], told[1].sequence)
        self.assertEqual(told[4].numbers["replaces"], told[3].sequence)
        self.assertEqual(told[0].numbers["reserved"], Decimal(200))

    def test_it_tells_a_change_that_traded_at_once(self) -> None:
        order = self.place(self.ann, "buy", 10, "20")
        self.place(self.bob, "sell", 10, "21")
        self.replace(order, price="21")
        self.assertEqual(
            self.told(order)[2:],
            [
                "Changed to 10 in all at 21; it did not rest in the book.",
                "Bought 10 at 21 in the book, as taker; 0 left.",
            ],
        )
        self.assertNotIn("ahead_quantity", self.facts(order)[2].numbers)

    def test_it_tells_a_prevented_trade(self) -> None:
        resting = self.place(self.ann, "sell", 10, "20")
        order = self.place(self.ann, "buy", 4, "20", self_trade_prevention="decrement")
        self.assertEqual(
            self.told(order)[2:],
            [
                "Met an order of its own user: 4 shares were kept from trading.",
                "Cancelled with 4 shares open: it met an order of its own user.",
            ],
        )
        self.assertEqual(self.told(resting)[2], "Gave up 4 shares: it met an order of its own user.")
        self.assertEqual(self.facts(resting)[2].numbers["left"], 6)

    def test_it_tells_trades_in_the_book_with_their_fees(self) -> None:
        Stock.objects.update(maker_fee_bps=100, taker_fee_bps=200)
        reset_engine()
        maker = self.place(self.ann, "sell", 10, "20")
        taker = self.place(self.bob, "buy", 4, "20")
        self.assertEqual(self.told(maker)[0], "Held 10 shares.")
        self.assertEqual(self.told(maker)[2], "Sold 4 at 20 in the book, as maker, fee 0.80; 6 left.")
        self.assertEqual(
            self.told(taker),
            [
                "Held 81.60 in cash: 4 at no more than 20, 1.60 of it for fees.",
                "Entered the market with 4 shares; it did not rest in the book.",
                "Bought 4 at 20 in the book, as taker, fee 1.60; 0 left.",
            ],
        )

    def test_it_tells_how_it_ended(self) -> None:
        self.place(self.bob, "sell", 5, "20")
        ioc = self.place(self.ann, "buy", 7, "20", time_in_force="ioc")
        post_only = self.place(self.ann, "buy", 7, "19", post_only=True)
        self.engine.cancel_order(post_only.pk, self.ann.pk)
        day = self.place(self.ann, "buy", 7, "19", time_in_force="day")
        self.engine.expire_day_orders("ACME")
        self.tick("20", 5)
        rejected = self.place(self.ann, "buy", 7, "20", post_only=True)
        self.assertEqual(
            [self.explain(order).summary for order in (ioc, post_only, day, rejected)],
            [
                "Cancelled after it bought 5 of 7 at 20 on average: it was immediate-or-cancel, and the rest "
                "could not trade at once.",
                "Cancelled after it bought nothing: on request.",
                "Expired after it bought nothing: its trading day was over.",
                "Rejected after it bought nothing: it was post-only and would have traded at once.",
            ],
        )
        self.assertEqual(self.told(day)[2], "Expired with 7 shares open: its trading day was over.")
        self.assertEqual(len(self.facts(rejected)), 2)

    def test_it_tells_of_an_order_that_is_still_to_come(self) -> None:
        order = self.place(self.ann, "buy", 7, "19")
        OrderEvent.objects.filter(order=order).delete()
        Order.objects.update(status="PENDING", sequence=0)
        self.assertEqual(
            self.told(order),
            ["Held 133 in cash: 7 at no more than 19. It has not reached the market yet."],
        )


class Pages(WhyTestCase):
    def test_it_goes_on_where_it_stopped(self) -> None:
        order = self.place(self.ann, "buy", 40, "20")
        for number in range(30):
            self.tick(["19", "21", "20", "22"][number % 4], number % 3)
            if number % 7 == 0:
                self.place(self.bob, "sell", 1, "20")
            if number == 15:
                self.replace(order, price="21")
        whole = self.explain(order, limit=500)
        self.assertIsNone(whole.next_since)
        for limit in (1, 2, 7):
            with self.subTest(limit=limit):
                facts, since = [], None
                while True:
                    page = self.explain(order, since_sequence=since, limit=limit)
                    self.assertLessEqual(len(page.facts), limit)
                    facts += page.facts
                    since = page.next_since
                    if since is None:
                        break
                self.assertEqual(
                    [fact for fact in facts if fact.numbers.get("count") is None],
                    [fact for fact in whole.facts if fact.numbers.get("count") is None],
                )
                self.assertEqual(counted(facts), counted(whole.facts))

    def test_it_reads_only_so_many_ticks_at_once(self) -> None:
        order = self.place(self.ann, "buy", 40, "20")
        for _ in range(12):
            self.tick("21", 1)
        with mock.patch("trade.selectors.why.life.MAX_TICKS", 4):
            page = self.explain(order)
            self.assertLess(counted(page.facts), 12)
            rest = self.explain(order, since_sequence=page.next_since)
        self.assertIsNotNone(page.next_since)
        self.assertGreater(counted(rest.facts), 0)

    def test_it_takes_few_queries(self) -> None:
        order = self.place(self.ann, "buy", 400, "20", type="stop_limit", stop_price="19")
        for number in range(20):
            self.tick(["19", "21"][number % 2], 1)
        with self.assertNumQueries(14):
            self.explain(order, since_sequence=10, limit=3)

    def test_it_shows_nobody_elses(self) -> None:
        order = self.place(self.ann, "buy", 4, "20")
        self.assertIsNone(explain_order(order.pk, user_id=self.bob.pk))
        self.assertIsNotNone(explain_order(order.pk, user_id=None))


def counted(facts: list[Fact]) -> int:
    """Ticks that the facts stand for, those it could trade with excepted."""
    return sum(int(fact.numbers.get("count") or 0) for fact in facts)
