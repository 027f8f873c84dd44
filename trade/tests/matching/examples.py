"""Examples of the rules, read four ways: by the fast core and by its twin, as written and in the mirror.

In the mirror buys are sells and a price of 101 is one of 99. A rule that holds for one side only is found at
once.
"""

from typing import Any

from django.test import SimpleTestCase

from trade.matching import Market
from trade.tests.matching.commands import BUY, SELL, Command, Enter, Replace, Tick
from trade.tests.matching.comparison import AnyMarket, CoreMarket
from trade.tests.matching.reference import ReferenceMarket
from trade.tests.matching.reference_orders import Fact, Level, Quantities

ANNA, BEN, CARLA, DAVID = 1, 2, 3, 4
OUTSIDE = None
Fill = tuple[int, int, str | None, str | None]


class MarketExample(SimpleTestCase):
    """One market, and words to speak with it. A fill reads (price, quantity, buying order, selling order)."""

    mirrored = False

    def setUp(self) -> None:
        self.market: AnyMarket = self.new_market()
        self.facts: list[Fact] = []

    def new_market(self) -> AnyMarket:
        return CoreMarket(Market())

    def buy(self, order_id: str, quantity: int, at: int, by: int, **terms: Any) -> list[Fill]:
        side = SELL if self.mirrored else BUY
        return self._enter(order_id, by, side, quantity, at, **terms)

    def sell(self, order_id: str, quantity: int, at: int, by: int, **terms: Any) -> list[Fill]:
        side = BUY if self.mirrored else SELL
        return self._enter(order_id, by, side, quantity, at, **terms)

    def _enter(
        self, order_id: str, by: int, side: int, quantity: int, at: int, *, stop: int = 0, **terms: Any
    ) -> list[Fill]:
        """`terms` are fields of `Enter`."""
        stop_price = self.flip(stop) if stop else 0
        return self.run_command(
            Enter(order_id, by, side, self.flip(at), quantity, stop_price=stop_price, **terms)
        )

    def replace(self, order_id: str, quantity: int, at: int) -> list[Fill]:
        return self.run_command(Replace(order_id, self.flip(at), quantity))

    def bounded_buy(self, order_id: str, quantity: int, lower: int, upper: int, by: int) -> list[Fill]:
        side, own, other = (SELL if self.mirrored else BUY), self.flip(upper), self.flip(lower)
        return self.run_command(Enter(order_id, by, side, own, quantity, kind="bounded", other_bound=other))

    def bounded_sell(self, order_id: str, quantity: int, lower: int, upper: int, by: int) -> list[Fill]:
        side, own, other = (BUY if self.mirrored else SELL), self.flip(lower), self.flip(upper)
        return self.run_command(Enter(order_id, by, side, own, quantity, kind="bounded", other_bound=other))

    def tick(self, price: int, availability: int) -> list[Fill]:
        return self.run_command(Tick(self.flip(price), availability))

    def run_command(self, command: Command) -> list[Fill]:
        """The trades it led to; all facts are left in `self.facts`."""
        self.facts = self.market.run(command)
        trades = [fact for fact in self.facts if fact[0] == "trade"]
        return [self._fill(*trade[2:6]) for trade in trades]

    def _fill(self, price: int, quantity: int, bid: str | None, ask: str | None) -> Fill:
        return (self.flip(price), quantity, *((ask, bid) if self.mirrored else (bid, ask)))

    def flip(self, price: int) -> int:
        return 200 - price if self.mirrored else price

    def words(self) -> list[str]:
        return [fact[0] for fact in self.facts]

    def story(self) -> list[tuple[Any, ...]]:
        """What happened, without trades and sequences: the word, then whom and how much."""
        return [(fact[0], *fact[2:]) for fact in self.facts if fact[0] != "trade"]

    def bids(self) -> list[Level]:
        return self._levels(0)

    def asks(self) -> list[Level]:
        return self._levels(1)

    def _levels(self, side: int) -> list[Level]:
        levels = self.market.levels()[1 - side if self.mirrored else side]
        return [(self.flip(price), quantity, orders) for price, quantity, orders in levels]

    def outside_left(self) -> tuple[int, int]:
        """What the outside still buys and still sells."""
        quote = self.market.quote_left()
        assert quote is not None
        return (quote[3], quote[2]) if self.mirrored else (quote[2], quote[3])

    def assert_ended(self, order_id: str, *, as_: str, quantity: int, reason: str) -> None:
        word, _, ended_id, ended_quantity, ended_reason = self.facts[-1]
        self.assertEqual((word, ended_id, ended_quantity, ended_reason), (as_, order_id, quantity, reason))
        self.assertNotIn(order_id, self.market.open_orders())

    def assert_quantities(self, order_id: str, *, open_: int, traded: int) -> None:
        quantities: Quantities = self.market.quantities(order_id)
        self.assertEqual(quantities[:2], (open_, traded))


class InTheMirror(MarketExample):
    mirrored = True


class ByTheTwin(MarketExample):
    def new_market(self) -> AnyMarket:
        return ReferenceMarket()


def other_readings(*rules: type[MarketExample]) -> dict[str, type[MarketExample]]:
    """The test classes, by name, that read these rules in the three other ways."""
    readings: dict[str, type[MarketExample]] = {}
    for each in rules:
        for ways in ((InTheMirror,), (ByTheTwin,), (InTheMirror, ByTheTwin)):
            name = each.__name__ + "".join(way.__name__ for way in ways)
            readings[name] = type(name, (*ways, each), {"__module__": each.__module__})
    return readings
