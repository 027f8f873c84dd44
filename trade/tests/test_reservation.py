"""What reserving comes to: the collar of a market order, the ids of orders, the commit."""

from datetime import timedelta
from decimal import Decimal as D
from unittest import TestCase
from uuid import UUID

from django.test import tag

from trade.services.order_rules import NewOrder, StockRules, market_limit_price
from trade.services.refusals import NoReferencePrice
from trade.services.reservation import new_order_id, reserve_orders
from trade.tests.base import NOON, MarketTestCase, make_trader, units
from users import rows
from users.fields import MAX_PRICE_UNITS


def rules(last_price: int | None, increment: int = 1) -> StockRules:
    return StockRules(price_increment=increment, lot_size=1, is_halted=False, last_price=last_price)


def collar_edge(side: str, rules: StockRules, collar: D) -> int:
    return market_limit_price(side, rules.last_price, rules, collar)


class Collar(TestCase):
    def test_it_ends_on_an_increment_inside_the_collar(self) -> None:
        # A tenth of 99.95 is 9.995: from 89.955 to 109.945.
        for side, increment, expected in [
            ("buy", 1, 1_099_450),
            ("buy", 100, 1_099_400),
            ("sell", 1, 899_550),
            ("sell", 100, 899_600),
        ]:
            with self.subTest(side=side, increment=increment):
                self.assertEqual(collar_edge(side, rules(999_500, increment), D("0.1")), expected)

    def test_it_never_rounds_out_of_the_collar(self) -> None:
        for last_price in range(9_990, 10_011):
            for side, sign in (("buy", 1), ("sell", -1)):
                edge = collar_edge(side, rules(last_price), D("0.1"))
                self.assertLessEqual(sign * edge, sign * last_price * (1 + sign * D("0.1")))

    def test_it_leaves_a_price_to_trade_at_however_small_or_large_the_last_one(self) -> None:
        self.assertEqual(collar_edge("sell", rules(1, 100), D("0.5")), 100)
        self.assertEqual(collar_edge("buy", rules(1, 100), D("0.5")), 100)
        self.assertEqual(collar_edge("buy", rules(MAX_PRICE_UNITS), D("0.5")), MAX_PRICE_UNITS)

    def test_it_needs_a_last_price(self) -> None:
        with self.assertRaises(NoReferencePrice):
            collar_edge("buy", rules(None), D("0.1"))


class OrderIds(TestCase):
    def test_they_are_uuids_of_version_7_that_sort_by_time(self) -> None:
        ids = [new_order_id(NOON + timedelta(milliseconds=number)) for number in range(50)]
        self.assertEqual(ids, sorted(ids))
        self.assertEqual(
            {(UUID(one).version, UUID(one).variant) for one in ids}, {(7, "specified in RFC 4122")}
        )

    def test_they_differ_within_one_moment(self) -> None:
        self.assertEqual(len({new_order_id(NOON) for _ in range(1000)}), 1000)


@tag("postgresql")
class Durability(MarketTestCase):
    def reserve(self, order_id: str) -> str:
        """Reserve an order whose id the client chose; whether the commit that follows waits for the disk."""
        new_order = NewOrder(self.ann.pk, "ACME", "buy", "limit", 1, price=units(4), client_order_id="mine")
        rows.fetch_rows("SET LOCAL synchronous_commit = on; SELECT 1")
        reserve_orders(orders=[(order_id, new_order)], collar=D("0.1"), now=NOON)
        ((waits,),) = rows.fetch_rows("SHOW synchronous_commit")
        return waits

    def test_it_waits_for_the_disk_only_when_it_answers_with_a_stored_order(self) -> None:
        self.ann = make_trader("ann", 1000)
        self.assertEqual(self.reserve(new_order_id(NOON)), "off")
        self.assertEqual(self.reserve(new_order_id(NOON)), "on")
