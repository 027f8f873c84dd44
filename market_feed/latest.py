"""The newest price and candles of each stock, kept at the broker for whoever comes late.

market/prices/<stock_id>               the newest tick that was accepted, as the market applied it: `type` "tick",
                                       `stock_id`, `sequence`, `price`, `availability`, `timestamp`
market/candles/<stock_id>/<interval>   `type` "candle", `stock_id`, `interval`, `sequence`, and `time`, `open`, `high`,
                                       `low`, `close`, `volume`, `ticks` as in REST

Both are retained, and conflated: a price changes at most ten times a second, candles once. A candle that closed is
sent once more as it closed before the one that follows it; what a late tick corrects further back is not.
"""

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Any, NamedTuple

import orjson

from market_feed.link import Message
from stocks.models import Stock
from trade.apis.candles import render_candle
from trade.selectors.candles import INTERVALS, CandleRow, candle_page
from users.inputs import json_number

PRICE_TOPIC = "market/prices/{}"
CANDLE_TOPIC = "market/candles/{}/{}"
PRICE_EVERY_S = 0.1
CANDLES_EVERY_S = 1.0
# Stocks whose candles are read in one round: the others have theirs in the next.
MAX_STOCKS = 20
# Candles of one interval that are told of in a round. When there were more, only the newest.
MAX_CANDLES = 100


class Marks(NamedTuple):
    """Where a stock stands: the sequence of its quote's tick, and of its newest tick or trade."""

    price: int
    candles: int


class Pace:
    """Which stocks have something new, each at most once in a while."""

    def __init__(self, every_s: float, clock: Callable[[], float]) -> None:
        self._every_s = every_s
        self._clock = clock
        self._due: dict[str, float] = {}
        self._seen: dict[str, int] = {}
        self._new: set[str] = set()

    def note(self, stock_id: str, mark: int) -> None:
        if mark > self._seen.get(stock_id, 0):
            self._seen[stock_id] = mark
            self._new.add(stock_id)

    def take(self, limit: int | None = None) -> list[str]:
        """Those that are due now, the longest waiting first."""
        now = self._clock()
        due = sorted((self._due.get(stock_id, 0.0), stock_id) for stock_id in self._new)
        taken = [stock_id for moment, stock_id in due if moment <= now][:limit]
        self._new.difference_update(taken)
        self._due.update(dict.fromkeys(taken, now + self._every_s))
        return taken


class LatestMessages:
    """For one thread."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._prices = Pace(PRICE_EVERY_S, clock)
        self._candles = Pace(CANDLES_EVERY_S, clock)
        # The newest candle that was told of, by stock and interval: it may still change.
        self._newest: dict[tuple[str, str], CandleRow] = {}

    def note(self, stock_id: str, marks: Marks) -> None:
        """Take in where a stock stands."""
        self._prices.note(stock_id, marks.price)
        self._candles.note(stock_id, marks.candles)

    def due_prices(self) -> list[Message]:
        stocks = Stock.objects.filter(pk__in=self._prices.take()).order_by("stock_id")
        return [_price_message(stock) for stock in stocks]

    def due_candles(self) -> list[Message]:
        stocks = Stock.objects.filter(pk__in=self._candles.take(MAX_STOCKS)).order_by("stock_id")
        return [
            message
            for stock in stocks
            for interval in INTERVALS
            for message in self._changed(stock, interval)
        ]

    def _changed(self, stock: Stock, interval: str) -> Iterable[Message]:
        known = self._newest.get((stock.pk, interval))
        candles: Sequence[CandleRow] = []
        if known is not None:
            page = candle_page(stock.pk, interval, from_date=known.start, limit=MAX_CANDLES)
            candles = [] if page.has_more else page.candles
        if not candles:
            candles = candle_page(stock.pk, interval, limit=1).candles
        if candles:
            self._newest[stock.pk, interval] = candles[-1]
        # The sequence was read before the candles: they cover it.
        sequence = max(stock.tick_sequence, stock.trade_sequence)
        return [
            _candle_message(stock.pk, interval, sequence, candle) for candle in candles if candle != known
        ]


def _price_message(stock: Stock) -> Message:
    assert stock.quote_price is not None, "a price is new when a tick has made it so"
    body = {
        "type": "tick",
        "stock_id": stock.pk,
        "sequence": stock.quote_sequence,
        "price": json_number(stock.quote_price),
        "availability": stock.quote_availability,
        "timestamp": stock.last_tick_at,
    }
    return _retained(PRICE_TOPIC.format(stock.pk), body)


def _candle_message(stock_id: str, interval: str, sequence: int, candle: CandleRow) -> Message:
    body = {"type": "candle", "stock_id": stock_id, "interval": interval, "sequence": sequence}
    return _retained(CANDLE_TOPIC.format(stock_id, interval), body | render_candle(candle))


def _retained(topic: str, body: dict[str, Any]) -> Message:
    return Message(topic, orjson.dumps(body, option=orjson.OPT_UTC_Z), retain=True)
