"""The order flow of a real exchange, three hours of it, makes the trades that the exchange printed.

The sample is not part of the repository: it is looked for in the folder that BOURSE_DATA names, or beside
the checkout in ../shared/data. Where it is not there, there are no such tests (see `load_tests`).
"""

import csv
import gzip
import os
import unittest
from collections import Counter
from collections.abc import Iterator
from decimal import Decimal
from pathlib import Path
from typing import ClassVar, NamedTuple

from django.conf import settings
from django.test import SimpleTestCase

from trade.matching import BUY, SELL, Market, invariants
from trade.tests.matching import comparison
from trade.tests.matching.commands import Cancel, Command, Enter, Replace
from trade.tests.matching.reference_orders import Fact

DATA = Path(os.environ.get("BOURSE_DATA") or Path(settings.BASE_DIR).parent / "shared" / "data")
FLOW = DATA / "order_flow" / "flow.csv.gz"
EXCHANGE_TRADES = DATA / "order_flow" / "exchange_trades.csv.gz"

TRADES = 406
EQUAL_TRADES = 403
PRICE_UNITS = 10_000
QUANTITY_UNITS = 100_000_000
# The twin looks at every order every time; a part of the flow is enough for it.
FLOW_FOR_THE_TWIN = 2_000


class Fill(NamedTuple):
    price: int
    quantity: int


class RealFlowTest(SimpleTestCase):
    market: ClassVar[comparison.CoreMarket]
    commands: ClassVar[list[Command]]
    ours: ClassVar[list[Fill]]
    theirs: ClassVar[list[Fill]]

    @classmethod
    def setUpClass(cls) -> None:
        super().setUpClass()
        cls.market = comparison.CoreMarket(Market())
        cls.commands, cls.ours, cls.theirs = [], [], exchange_fills()
        for command in flow(cls.market):
            cls.commands.append(command)
            cls.ours += fills(cls.market.run(command))

    def test_the_market_makes_the_trades_of_the_exchange(self) -> None:
        self.assertEqual((len(self.ours), len(self.theirs)), (TRADES, TRADES))
        equal = (Counter(self.ours) & Counter(self.theirs)).total()
        self.assertGreaterEqual(equal, EQUAL_TRADES)
        invariants.check(self.market.market)

    def test_all_but_two_pairs_of_them_come_in_the_exchanges_order(self) -> None:
        in_place = sum(our == their for our, their in zip(self.ours, self.theirs, strict=True))
        self.assertGreaterEqual(in_place, EQUAL_TRADES - 4)

    def test_the_twin_agrees(self) -> None:
        self.assertIsNone(comparison.first_difference(self.commands[:FLOW_FOR_THE_TWIN]))


def load_tests(loader: unittest.TestLoader, tests: unittest.TestSuite, pattern: str) -> unittest.TestSuite:
    """No sample, no tests: a skip would be an alarm where nothing may be skipped."""
    return tests if FLOW.exists() else unittest.TestSuite()


def flow(market: comparison.CoreMarket) -> Iterator[Command]:
    """The exchange's operations, for this market to run one by one.

    Its owners are not known, so every order has one of its own.
    """
    for number, row in enumerate(rows(FLOW), start=1):
        if row["op"] == "new":
            side = BUY if row["side"] == "buy" else SELL
            quantity = units(row["qty"], QUANTITY_UNITS)
            yield Enter(row["id"], number, side, units(row["price"], PRICE_UNITS), quantity)
        elif row["op"] == "cancel":
            yield Cancel(row["id"])
        else:
            replaced = market.all_orders[row["id"]]
            yield Replace(row["id"], units(row["price"], PRICE_UNITS), replaced.quantity)


def fills(facts: list[Fact]) -> list[Fill]:
    return [Fill(fact[2], fact[3]) for fact in facts if fact[0] == "trade"]


def exchange_fills() -> list[Fill]:
    return [
        Fill(units(row["price"], PRICE_UNITS), units(row["qty"], QUANTITY_UNITS))
        for row in rows(EXCHANGE_TRADES)
    ]


def rows(path: Path) -> Iterator[dict[str, str]]:
    with gzip.open(path, "rt", newline="") as file:
        yield from csv.DictReader(file)


def units(text: str, scale: int) -> int:
    value = Decimal(text) * scale
    assert value == int(value), f"{text} is finer than 1/{scale}"
    return int(value)
