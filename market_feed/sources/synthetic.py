"""A market that does not exist: prices that look like prices, for as long as one likes.

What real ticks have and a plain random walk has not, each in a line or two below:
    volatility comes in spells (its logarithm reverts to a mean), and so does the number of ticks;
    the day is busy at both ends and quiet at noon; ticks come in flurries;
    news makes a price jump, and then everybody is nervous for a while;
    trades bounce between bid and ask; quantities are mostly round, mostly small, and sometimes huge;
    a price is drawn back to its value, and the value to where it began: after a year it is still sane.

The same seed gives the same ticks: nothing here looks at a clock.
"""

import heapq
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from random import Random

from market_feed.sources.ticks import SourceTick
from users.fields import SCALE, from_units

# Standard deviation of a stock's price within a second, as a part of the price, in a calm hour.
VOLATILITY = 4e-4
# Seconds in which half-way returns are made: of a price to its value, of the value, of the mood.
PRICE_RETURNS_S = 1_800.0
VALUE_RETURNS_S = 4 * 3_600.0
MOOD_RETURNS_S = 300.0
VALUE_SPREAD = 0.15
MOOD_SPREAD = 0.5
SESSION_S = 6.5 * 3_600
NEWS_EVERY_S = 1_200.0
NEWS_SIZE = 0.012
# How much busier than calm it is on average, moods and news together (measured).
MEAN_RUSH = 1.3
# However the dice fall: never beyond a quarter or four times the first price.
MAX_LOG_DISTANCE = math.log(4)
FLURRY_CHANCE, FLURRY_PACE = 0.3, 20.0
HALF_SPREAD = 2e-4
MAX_AVAILABILITY = 100_000


@dataclass(frozen=True, slots=True)
class SyntheticStock:
    """A stock to make ticks for. Prices are units; `last_price` is where it goes on from, if it has one."""

    stock_id: str
    name: str
    price: int
    increment: int = SCALE // 100
    last_price: int | None = None


class _Price:
    """How one stock's price moves. Prices and values are logarithms, relative to the first price."""

    __slots__ = ("_rng", "_stock", "_value", "_at", "mood", "_side", "_price")

    def __init__(self, stock: SyntheticStock, rng: Random) -> None:
        self._rng = rng
        self._stock = stock
        self._price = self._value = math.log((stock.last_price or stock.price) / stock.price)
        self._at = 0.0
        self._side = 1
        self.mood = rng.gauss(0.0, MOOD_SPREAD)

    def move_to(self, at: float) -> int:
        """The price in units at a later time."""
        passed, self._at = at - self._at, at
        rng = self._rng
        self.mood = _drawn(self.mood, 0.0, passed, MOOD_RETURNS_S, MOOD_SPREAD, rng)
        self._value = _drawn(self._value, 0.0, passed, VALUE_RETURNS_S, VALUE_SPREAD, rng)
        if rng.random() < -math.expm1(-passed / NEWS_EVERY_S):
            self._hear_news()
        spread = VOLATILITY * math.exp(self.mood) * math.sqrt(PRICE_RETURNS_S / 2)
        self._price = _drawn(self._price, self._value, passed, PRICE_RETURNS_S, spread, rng)
        self._price = max(-MAX_LOG_DISTANCE, min(MAX_LOG_DISTANCE, self._price))
        if rng.random() < 0.35:
            self._side = -self._side
        return self._on_increment(math.exp(self._price + self._side * HALF_SPREAD))

    def _hear_news(self) -> None:
        jump = self._rng.choice((-1, 1)) * self._rng.expovariate(1 / NEWS_SIZE)
        self._price += jump
        self._value += 0.6 * jump
        self.mood = min(self.mood + 1.0, 2.0)

    def _on_increment(self, factor: float) -> int:
        increment = self._stock.increment
        return max(1, round(self._stock.price * factor / increment)) * increment


def synthetic_ticks(
    stocks: Sequence[SyntheticStock], *, seed: int, rate: float, start: datetime
) -> Iterator[SourceTick]:
    """Ticks of all stocks in the order of time, about `rate` a second together, for ever."""
    rng = Random(seed)
    prices = [_Price(stock, rng) for stock in stocks]
    shares = _shares_of_trading(len(stocks))
    upcoming = [(rng.expovariate(rate * share), number) for number, share in enumerate(shares)]
    heapq.heapify(upcoming)
    last_at = -1
    while upcoming:
        at, number = upcoming[0]
        stock, price = stocks[number], prices[number]
        units = price.move_to(at)
        # No two ticks are at the same time, so none is taken for another's repetition.
        last_at = max(round(at * 1_000_000), last_at + 1)
        yield SourceTick(
            stock.stock_id,
            stock.name,
            str(from_units(units).normalize().__format__("f")),
            str(_availability(rng)),
            start + timedelta(microseconds=last_at),
        )
        pace = rate * shares[number] * _pace_of_day(at) * math.exp(0.8 * price.mood) / MEAN_RUSH
        heapq.heapreplace(upcoming, (at + _gap(pace, rng), number))


def _drawn(value: float, mean: float, passed: float, returns_s: float, spread: float, rng: Random) -> float:
    """Where a value that is drawn to a mean is after some time (an Ornstein-Uhlenbeck process, exactly)."""
    kept = math.exp(-passed / returns_s)
    return mean + (value - mean) * kept + spread * math.sqrt(1.0 - kept * kept) * rng.gauss(0.0, 1.0)


def _shares_of_trading(count: int) -> list[float]:
    """A few stocks are traded much, most of them little."""
    weights = [1 / math.sqrt(rank + 1) for rank in range(count)]
    total = sum(weights)
    return [weight / total for weight in weights]


def _pace_of_day(at: float) -> float:
    return 1.0 + 0.5 * math.cos(2 * math.pi * at / SESSION_S)


def _gap(pace: float, rng: Random) -> float:
    """Seconds to a stock's next tick; 1 / pace on average."""
    if rng.random() < FLURRY_CHANCE:
        return rng.expovariate(pace * FLURRY_PACE)
    return rng.expovariate(pace * (1 - FLURRY_CHANCE) / (1 - FLURRY_CHANCE / FLURRY_PACE))


def _availability(rng: Random) -> int:
    shares = min(MAX_AVAILABILITY, 40 * rng.random() * rng.paretovariate(1.1))
    lot = 100 if shares >= 100 and rng.random() < 0.6 else 10 if rng.random() < 0.5 else 1
    return max(1, int(shares) // lot * lot)
