"""The house bots through an hour of the demo's own prices, in seconds: pure markets and a clock of its own."""

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from datetime import UTC, datetime
from decimal import Decimal
from random import Random

from django.test import SimpleTestCase

from config.demo import cast
from config.demo.bots import BotFloor, MarketMaker, NoiseTrader
from config.demo.quoting import Resting, StockView, Style
from config.demo.runner import DemoOptions
from market_feed.sources.synthetic import SyntheticStock, synthetic_ticks
from trade.matching import BUY, SELL, Event, Market, Order, Trade
from trade.services.reservation import NewOrder
from users.fields import to_units

OPTIONS = DemoOptions()
CENT = 100
START = datetime(2024, 5, 6, tzinfo=UTC)
# What an order costs a busy machine, beside the bots' own pauses.
SECONDS_AN_ORDER = 0.004
MAKERS, NOISE_TRADERS = (1, 2), (3, 4, 5, 6, 7, 8)


class PureDesk:
    """A `Desk` on markets in memory. An order's id names its stock: "<number>@<stock_id>"."""

    def __init__(self) -> None:
        self.markets = {stock.stock_id: Market() for stock in cast.STOCKS}
        self._shares: dict[tuple[int, str], int] = defaultdict(int)
        for stock in cast.STOCKS:
            for user_id in MAKERS:
                self._shares[user_id, stock.stock_id] = cast.shares_worth(
                    cast.MAKER_SHARES_WORTH, stock.price
                )
            for user_id in NOISE_TRADERS:
                self._shares[user_id, stock.stock_id] = cast.shares_worth(
                    cast.NOISE_SHARES_WORTH, stock.price
                )
        self._number = 0

    def tick(self, stock_id: str, price: int, availability: int) -> None:
        self._settle(stock_id, self.markets[stock_id].tick(price, availability))

    def views(self) -> Mapping[str, StockView]:
        return {
            stock_id: StockView(stock_id, quote.price, CENT, 1, quote.bid_quantity, quote.ask_quantity)
            for stock_id, market in self.markets.items()
            if (quote := market.quote) is not None
        }

    def resting(self, user_id: int, stock_id: str) -> list[Resting]:
        return [
            Resting(
                order.order_id, "buy" if order.side == BUY else "sell", order.limit_price, order.open_quantity
            )
            for order in self.markets[stock_id].orders.values()
            if order.user_id == user_id and order.kind == "limit"
        ]

    def open_order_ids(self, user_id: int) -> list[str]:
        return []

    def shares(self, user_id: int, stock_id: str) -> int:
        return self._shares[user_id, stock_id]

    def free_cash(self, user_id: int) -> int:
        return to_units(cast.NOISE_CASH)

    def place(self, orders: Sequence[NewOrder]) -> list[str]:
        order_ids = []
        for new_order in orders:
            self._number += 1
            order_ids.append(order_id := f"{self._number}@{new_order.stock_id}")
            market = self.markets[new_order.stock_id]
            self._settle(new_order.stock_id, market.enter(self._order(order_id, new_order, market)))
        return order_ids

    def cancel(self, user_id: int, order_ids: Iterable[str]) -> None:
        for order_id in order_ids:
            self.markets[order_id.split("@")[1]].cancel(order_id)

    def fewest_levels(self) -> int:
        """The number of price levels of the side of a book that has the fewest."""
        return min(
            len({order.limit_price for order in market.side(side)})
            for market in self.markets.values()
            for side in (BUY, SELL)
        )

    def _order(self, order_id: str, new_order: NewOrder, market: Market) -> Order:
        side = BUY if new_order.side == "buy" else SELL
        bounds = new_order.lower_bound or 0, new_order.upper_bound or 0
        worst, other = reversed(bounds) if side == BUY else bounds
        if new_order.type == "market":
            worst = (market.last_price or 0) * (10 + side) // 10
        return Order(
            order_id,
            new_order.user_id,
            side,
            new_order.type,
            new_order.price or worst,
            new_order.quantity,
            new_order.time_in_force,
            other,
        )

    def _settle(self, stock_id: str, events: Iterable[Event]) -> None:
        for event in events:
            if isinstance(event, Trade):
                if event.bid is not None:
                    self._shares[event.bid.user_id, stock_id] += event.quantity
                if event.ask is not None:
                    self._shares[event.ask.user_id, stock_id] -= event.quantity


def levels_each_second(*, seed: int, seconds: int) -> list[int]:
    """The fewest levels of any book at each second, after half a minute to set up."""
    desk, rng = PureDesk(), Random(seed)
    floor = BotFloor(
        look=desk.views,
        makers=[
            MarketMaker(desk, user_id, Style(grid_shift=2 * number), rng)  # type: ignore[arg-type]
            for number, user_id in enumerate(MAKERS)
        ],
        noise_traders=[NoiseTrader(desk, user_id, rng) for user_id in NOISE_TRADERS],  # type: ignore[arg-type]
        stock_ids=list(desk.markets),
        orders_per_second=OPTIONS.orders_per_second,
        rng=rng,
    )
    stocks = [SyntheticStock(stock.stock_id, stock.name, to_units(stock.price)) for stock in cast.STOCKS]
    ticks = synthetic_ticks(stocks, seed=seed, rate=OPTIONS.ticks_per_second, start=START)
    clock, levels, tick = 0.0, [], next(ticks)
    while clock < 30 + seconds:
        while (tick.timestamp - START).total_seconds() <= clock:
            desk.tick(tick.stock_id, to_units(Decimal(tick.price)), int(tick.availability))
            tick = next(ticks)
        count = floor.step()
        clock += max(1, count) / OPTIONS.orders_per_second + count * SECONDS_AN_ORDER
        if clock > 30 + len(levels):
            levels.append(desk.fewest_levels())
    assert not floor.errors
    return levels


class HoursTests(SimpleTestCase):
    def test_every_book_keeps_five_levels_on_both_sides(self) -> None:
        for seed in (1, 2, 3):
            with self.subTest(seed=seed):
                levels = levels_each_second(seed=seed, seconds=1_200)
                # News may empty a side; the makers are back within seconds.
                few = sum(level < 5 for level in levels)
                self.assertLess(few, len(levels) / 200, sorted(levels)[:20])
