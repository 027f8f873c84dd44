"""Other order books, each behind the same two calls: limit and cancel.

A package that is not installed is left out (`manage.py bootstrap --bench` installs all of them). Prices are integers
here; a rival gets them in the form it wants.
"""

from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from importlib import import_module
from importlib.util import find_spec
from typing import Any

from trade.benchmarks.matcher_bare import BareBook
from trade.benchmarks.matcher_flows import Operation
from trade.matching import BUY, Event, Market, Order, Trade
from trade.matching.orders import LIMIT

# (price, quantity), in the order in which they happened.
Trades = list[tuple[int, int]]
# The trades of each limit order, in the order in which these came.
Answers = list[Trades]
DAY_ONE = datetime(2024, 1, 1)  # noqa: DTZ001 (order-matching compares with naive times)


def play(
    limit: Callable[[str, int, int, int], object],
    cancel: Callable[[str], object],
    operations: Sequence[Operation],
) -> None:
    for order_id, side, price, quantity in operations:
        if quantity:
            limit(order_id, side, price, quantity)
        else:
            cancel(order_id)


class Rival:
    """A book that is called once for each operation and tells of its trades."""

    def limit(self, order_id: str, side: int, price: int, quantity: int) -> Any:
        raise NotImplementedError

    def cancel(self, order_id: str) -> object:
        raise NotImplementedError

    def told(self, answer: Any) -> Trades:
        """The trades in what `limit` returned."""
        raise NotImplementedError

    def play(self, operations: Sequence[Operation]) -> None:
        """What is timed: all operations; what they return is dropped."""
        play(self.limit, self.cancel, operations)

    def answers(self, operations: Sequence[Operation]) -> Answers:
        """The same, for a check."""
        found = []
        for order_id, side, price, quantity in operations:
            if quantity:
                found.append(self.told(self.limit(order_id, side, price, quantity)))
            else:
                self.cancel(order_id)
        return found


class Ours(Rival):
    """The matcher with its full rule set."""

    def __init__(self) -> None:
        self.market = Market()

    def limit(self, order_id: str, side: int, price: int, quantity: int) -> list[Event]:
        # Two users, one a side: nobody meets an order of his own, but everybody is asked.
        return self.market.enter(Order(order_id, side, side, LIMIT, price, quantity))

    def cancel(self, order_id: str) -> list[Event]:
        return self.market.cancel(order_id)

    def told(self, answer: list[Event]) -> Trades:
        return [(event.price, event.quantity) for event in answer if isinstance(event, Trade)]

    def play(self, operations: Sequence[Operation]) -> None:
        # Without the step in between, which the bare book does not have either.
        enter, cancel = self.market.enter, self.market.cancel
        for order_id, side, price, quantity in operations:
            if quantity:
                enter(Order(order_id, side, side, LIMIT, price, quantity))
            else:
                cancel(order_id)


class Bare(Rival):
    """The limit: see `matcher_bare`."""

    def __init__(self) -> None:
        self.book = BareBook()

    def limit(self, order_id: str, side: int, price: int, quantity: int) -> None:
        self.book.limit(order_id, side, price, quantity)

    def cancel(self, order_id: str) -> None:
        self.book.cancel(order_id)

    def play(self, operations: Sequence[Operation]) -> None:
        play(self.book.limit, self.book.cancel, operations)

    def told(self, answer: None) -> Trades:
        trades, self.book.trades = self.book.trades, []
        return trades


class SortedBook(Rival):
    """What one writes with sortedcontainers in an afternoon: sorted levels, each a queue."""

    def __init__(self) -> None:
        sorted_dict = import_module("sortedcontainers").SortedDict
        self.sides: dict[int, Any] = {1: sorted_dict(), -1: sorted_dict()}
        self.orders: dict[str, list] = {}

    def limit(self, order_id: str, side: int, price: int, quantity: int) -> Trades:
        makers, trades = self.sides[-side], []
        while quantity and makers and makers.keys()[0] <= side * price:
            key, queue = makers.peekitem(0)
            while quantity and queue:
                maker = queue[0]
                traded = min(quantity, maker[1])
                maker[1] -= traded
                quantity -= traded
                trades.append((side * key, traded))
                if not maker[1]:
                    del self.orders[queue.popleft()[0]]
            if not queue:
                del makers[key]
        if quantity:
            order = self.orders[order_id] = [order_id, quantity, side, -side * price]
            self.sides[side].setdefault(-side * price, deque()).append(order)
        return trades

    def cancel(self, order_id: str) -> None:
        order = self.orders.pop(order_id)
        levels = self.sides[order[2]]
        levels[order[3]].remove(order)
        if not levels[order[3]]:
            del levels[order[3]]

    def told(self, answer: Trades) -> Trades:
        return answer


class LightMatchingEngine(Rival):
    def __init__(self) -> None:
        package = import_module("lightmatchingengine.lightmatchingengine")
        self.engine, self.sell = package.LightMatchingEngine(), package.Side.SELL
        self.ids: dict[str, int] = {}

    def limit(self, order_id: str, side: int, price: int, quantity: int) -> Any:
        order, trades = self.engine.add_order("X", price, quantity, 1 if side == BUY else 2)
        self.ids[order_id] = order.order_id
        return order, trades

    def cancel(self, order_id: str) -> None:
        self.engine.cancel_order(self.ids[order_id], "X")

    def told(self, answer: Any) -> Trades:
        """The makers' parts; the taker's is told once for each price."""
        order, trades = answer
        return [(trade.trade_price, trade.trade_qty) for trade in trades if trade.trade_side != order.side]


class PyOrderBook(Rival):
    def __init__(self) -> None:
        package = import_module("pyorderbook")
        self.book, self.bid, self.ask = package.Book(), package.bid, package.ask
        self.orders: dict[str, Any] = {}

    def limit(self, order_id: str, side: int, price: int, quantity: int) -> Any:
        order = self.orders[order_id] = (self.bid if side == BUY else self.ask)("X", price, quantity)
        return self.book.match(order)

    def cancel(self, order_id: str) -> None:
        self.book.cancel(self.orders[order_id])

    def told(self, answer: Any) -> Trades:
        return [(int(trade.fill_price), trade.fill_quantity) for trade in answer.trades]


class OrderMatching(Rival):
    def __init__(self) -> None:
        import_module("loguru").logger.disable("order_matching")
        engine = import_module("order_matching.matching_engine")
        self.engine, self.orders = engine.MatchingEngine(seed=1), engine.Orders
        self.order = import_module("order_matching.order").LimitOrder
        self.side = import_module("order_matching.enums").Side
        self.now = DAY_ONE

    def limit(self, order_id: str, side: int, price: int, quantity: int) -> Any:
        self.now += timedelta(microseconds=1)
        order = self.order(
            side=self.side.BUY if side == BUY else self.side.SELL,
            price=price,
            size=quantity,
            timestamp=self.now,
            order_id=order_id,
            trader_id="",
        )
        self.engine.place(self.orders([order]))
        return self.engine.match(self.now)

    def cancel(self, order_id: str) -> None:
        self.engine.cancel_order(order_id)

    def told(self, answer: Any) -> Trades:
        return [(int(trade.price), int(trade.size)) for trade in answer.trades]


class LimitOrderBook(Rival):
    """A book in C++. It tells of no trade: how much an order traded is read off the volume of the whole book."""

    def __init__(self) -> None:
        self.book = import_module("limit_order_book").LimitOrderBook()
        self.numbers: dict[str, int] = {}

    def limit(self, order_id: str, side: int, price: int, quantity: int) -> None:
        number = self.numbers[order_id] = len(self.numbers)
        self.book.limit(side == BUY, number, quantity, price)

    def cancel(self, order_id: str) -> None:
        self.book.cancel(self.numbers[order_id])

    def answers(self, operations: Sequence[Operation]) -> Answers:
        found = []
        for order_id, side, price, quantity in operations:
            if not quantity:
                self.cancel(order_id)
                continue
            before = self.book.volume()
            self.limit(order_id, side, price, quantity)
            # What it traded neither rests nor stays where it was.
            found.append([(0, (before + quantity - self.book.volume()) // 2)])
        return found


@dataclass(frozen=True, slots=True)
class Entrant:
    """A rival by name. It plays no more than the first `most` operations of a flow: all would take it minutes."""

    name: str
    make: Callable[[], Rival]
    package: str
    most: int = 200_000
    # Otherwise only how much each order traded is compared, not at which prices.
    tells_prices: bool = True
    # What the matcher is to reach of its rate.
    least: float | None = 1.0

    @property
    def is_installed(self) -> bool:
        return find_spec(self.package) is not None


ENTRANTS = (
    Entrant("sortedcontainers book", SortedBook, "sortedcontainers", least=None),
    Entrant("lightmatchingengine", LightMatchingEngine, "lightmatchingengine", most=20_000),
    Entrant("pyorderbook", PyOrderBook, "pyorderbook", most=50_000),
    Entrant("order-matching", OrderMatching, "order_matching", most=1_000),
    Entrant("limit-order-book (C++)", LimitOrderBook, "limit_order_book", tells_prices=False, least=None),
)
