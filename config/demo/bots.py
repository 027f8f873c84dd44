"""The house bots: makers that quote every stock, and noise traders that move it.

One thread takes one step after the other, at a bounded rate of orders. A step that fails is logged and
the next one goes on: only `stop` ends the bots. Everything random comes from one seed.
"""

import logging
import threading
from collections.abc import Callable, Mapping, Sequence
from itertools import product
from random import Random
from typing import Protocol

from django.db import close_old_connections, connection

from config.demo.desk import Desk, OwnOrders
from config.demo.quoting import (
    BUY,
    SELL,
    STEP_RATIO,
    Quote,
    StockView,
    Style,
    grid_step,
    lots,
    on_grid,
    plan_quotes,
    rebalance,
)
from trade.services.order_rules import NewOrder
from users.fields import SCALE

logger = logging.getLogger(__name__)

# A step of a maker that is far behind changes this many quotes, then the next one has its turn.
MAX_CHANGES_A_STEP = 10
PAUSE_AFTER_ERROR_S = 1.0


class Bot(Protocol):
    """Something that looks at one stock and acts on it."""

    def step(self, view: StockView) -> int:
        """Act once; how many orders were placed or cancelled."""
        ...


class MarketMaker:
    """Keeps quotes on both sides of a stock's book, around the outside market's price."""

    def __init__(self, desk: Desk, user_id: int, style: Style, rng: Random) -> None:
        self._desk = desk
        self._user_id = user_id
        self._style = style
        self._rng = rng

    def step(self, view: StockView) -> int:
        shares = self._desk.shares(self._user_id, view.stock_id)
        resting = self._desk.resting(self._user_id, view.stock_id)
        plan = plan_quotes(view, self._style, shares, resting)
        orders = [self._quote(view, quote) for quote in plan.place[:MAX_CHANGES_A_STEP]]
        # What goes comes first: its cash and shares pay for what comes, and it cannot meet it in the book.
        self._desk.cancel(self._user_id, plan.cancel)
        if (quote := rebalance(view, self._style, shares)) is not None:
            orders.insert(0, self._order(view, quote, "ioc"))
        self._desk.place(orders)
        return len(plan.cancel) + len(orders)

    def _quote(self, view: StockView, quote: Quote) -> NewOrder:
        varied = lots(quote.quantity * self._rng.randint(70, 130) // 100, view.lot)
        return self._order(view, quote._replace(quantity=varied), "gtc")

    def _order(self, view: StockView, quote: Quote, time_in_force: str) -> NewOrder:
        return NewOrder(
            user_id=self._user_id,
            stock_id=view.stock_id,
            side=quote.side,
            type="limit",
            quantity=quote.quantity,
            price=quote.price,
            time_in_force=time_in_force,
        )


class NoiseTrader:
    """Places a small order of some kind now and then, and takes its oldest ones back."""

    WORTH = 1_000 * SCALE
    MAX_OPEN_ORDERS = 24

    def __init__(self, desk: Desk, user_id: int, rng: Random) -> None:
        self._desk = desk
        self._user_id = user_id
        self._rng = rng
        self._orders = OwnOrders(desk.open_order_ids(user_id), self.MAX_OPEN_ORDERS)

    def step(self, view: StockView) -> int:
        excess = self._orders.take_excess()
        self._desk.cancel(self._user_id, excess)
        self._orders.add(self._desk.place([self._random_order(view)]))
        return len(excess) + 1

    def _random_order(self, view: StockView) -> NewOrder:
        side = self._random_side(view)
        worth = int(self.WORTH * self._rng.lognormvariate(0, 0.8))
        quantity = lots(worth // view.fair, view.lot)
        make = self._rng.choices((self._market, self._limit, self._bounded), weights=(35, 50, 15))[0]
        return make(view, side, quantity)

    def _random_side(self, view: StockView) -> str:
        """Buy the likelier the more of the bot's wealth is cash: neither cash nor shares run out."""
        shares_worth = self._desk.shares(self._user_id, view.stock_id) * view.fair
        # The cash is for all stocks, of which there are about a dozen.
        cash_part = self._desk.free_cash(self._user_id) // 12
        likelihood = cash_part / max(1, cash_part + shares_worth)
        return BUY if self._rng.random() < min(0.95, max(0.05, likelihood)) else SELL

    def _market(self, view: StockView, side: str, quantity: int) -> NewOrder:
        return NewOrder(self._user_id, view.stock_id, side, "market", quantity)

    def _limit(self, view: StockView, side: str, quantity: int) -> NewOrder:
        step = grid_step(view.fair, view.increment, 4)
        # Mostly behind the price, sometimes through it.
        behind = self._rng.choice((-2, 0, 1, 1, 2, 2, 3, 4, 6, 9)) * step
        price = view.fair - behind if side == BUY else view.fair + behind
        return NewOrder(
            self._user_id, view.stock_id, side, "limit", quantity, price=on_grid(price, view.increment)
        )

    def _bounded(self, view: StockView, side: str, quantity: int) -> NewOrder:
        near = on_grid(view.fair, view.increment)
        away = max(view.increment, on_grid(view.fair // 100, view.increment))
        lower, upper = (near - away, near) if side == BUY else (near, near + away)
        lower = max(view.increment, lower)
        return NewOrder(
            self._user_id, view.stock_id, side, "bounded", quantity, lower_bound=lower, upper_bound=upper
        )


class BotFloor:
    """All bots and their turns: the maker who is the most behind, then perhaps a noise trader."""

    NOISE_CHANCE = 0.5

    def __init__(
        self,
        *,
        look: Callable[[], Mapping[str, StockView]],
        makers: Sequence[Bot],
        noise_traders: Sequence[Bot],
        stock_ids: Sequence[str],
        orders_per_second: float,
        rng: Random,
    ) -> None:
        self._look = look
        self._makers = list(makers)
        self._noise_traders = list(noise_traders)
        self._stock_ids = list(stock_ids)
        self._pause_s = 1 / orders_per_second
        self._rng = rng
        # What each (maker, stock) saw at its last turn, and which turn that was.
        self._last_turns: dict[tuple[int, str], tuple[int, int]] = {}
        self._turn = 0
        self.errors = 0

    def step(self) -> int:
        """Give a maker and perhaps a noise trader their turns. How many orders that were."""
        views = self._look()
        open_stocks = [views[stock_id] for stock_id in self._stock_ids if stock_id in views]
        if not open_stocks:
            return 0
        self._turn += 1
        number, view = max(
            product(range(len(self._makers)), open_stocks), key=lambda pair: self._urgency(*pair)
        )
        self._last_turns[number, view.stock_id] = view.fair, self._turn
        count = self._attempt(self._makers[number], view)
        if self._noise_traders and self._rng.random() < self.NOISE_CHANCE:
            count += self._attempt(self._rng.choice(self._noise_traders), self._rng.choice(open_stocks))
        return count

    def run(self, stopping: threading.Event) -> None:
        """Step until `stopping`, with a pause after each that keeps the rate."""
        try:
            while not stopping.is_set():
                errors = self.errors
                count = self._step_safely()
                if self.errors > errors:
                    close_old_connections()
                    stopping.wait(PAUSE_AFTER_ERROR_S)
                stopping.wait(max(1, count) * self._pause_s)
        finally:
            connection.close()

    def _urgency(self, number: int, view: StockView) -> float:
        """How many steps the price has moved since this maker's last turn, and how many rounds ago that was."""
        last = self._last_turns.get((number, view.stock_id))
        if last is None:
            return float("inf")
        fair, turn = last
        rounds = (self._turn - turn) / (len(self._makers) * len(self._stock_ids))
        return abs(view.fair - fair) / grid_step(view.fair, view.increment, STEP_RATIO) + rounds

    def _step_safely(self) -> int:
        try:
            return self.step()
        except Exception:
            # Not a bot: the look at the market itself failed.
            self.errors += 1
            logger.exception("the house bots cannot see the market and try again")
            return 0

    def _attempt(self, bot: Bot, view: StockView) -> int:
        try:
            return bot.step(view)
        except Exception:
            self.errors += 1
            logger.exception("a house bot failed on %s and goes on", view.stock_id)
            return 0
