"""Bourse's consumer beside the bare pipeline, in one run, on one broker and one database.

Every part stores ticks offered by the same load:
    bare        the bare pipeline (`market_feed.benchmarks.bare`)
    no_orders   Bourse; nobody has an order
    pending     Bourse; orders wait, and no tick reaches them
    filling     Bourse; every tick fills one waiting order (fewer ticks: each order must be placed first)

The first three take turns, round by round, and the best round of each counts: a figure and its limit meet the
same machine.
"""

import secrets
import threading
import time
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from decimal import Decimal
from typing import Protocol

from django.conf import settings
from django.utils import timezone

from market_feed.benchmarks.bare import BarePipeline
from market_feed.benchmarks.load import Load, tick_payloads
from market_feed.consumer import FeedConsumer
from market_feed.known_stocks import KnownStocks
from market_feed.link import BrokerLink
from stocks.benchmarks.figures import Bench, Figure
from stocks.models import Stock, Tick
from stocks.services import list_stock
from trade.engine import MarketEngine, get_engine, reset_engine
from trade.models import Trade
from trade.services.order_rules import NewOrder
from users.exceptions import Refusal
from users.fields import SCALE
from users.services import deposit, register_user

MARK = "BENCH"
USERS = 4
# A tick is at 100, give or take a few.
FAR_BELOW, FAR_ABOVE = 20 * SCALE, 900 * SCALE
QUANTITY = 10
SILENCE_S = 15.0
LEAST_RATIO = 0.5


class BenchmarkFailed(Exception):
    """A part did not do what it was measured for."""


@dataclass(frozen=True, slots=True)
class Options:
    ticks: int
    filling_ticks: int
    orders: int
    stocks: int
    window: int


@dataclass(frozen=True, slots=True)
class Measured:
    """One part of one round."""

    ticks: int
    seconds: float
    cpu_s: float
    trades: int = 0

    @property
    def ticks_per_s(self) -> float:
        return self.ticks / self.seconds


class Pipeline(Protocol):
    applied: int

    def step(self) -> None: ...


def run(
    bench: Bench,
    *,
    ticks: int = 20_000,
    filling_ticks: int = 10_000,
    orders: int = 1_000,
    stocks: int = 12,
    window: int = 4_000,
    rounds: int = 3,
) -> None:
    """Measure every part; `window` is how many ticks the load is ahead of the consumer."""
    reset_engine()
    feed = _FeedBench(bench, Options(ticks, filling_ticks, orders, stocks, window))
    try:
        parts = {"bare": feed.bare, "no_orders": feed.no_orders, "pending": feed.pending}
        measured: dict[str, list[Measured]] = {name: [] for name in parts}
        for number in range(rounds):
            for name, measure in parts.items():
                measured[name].append(measure(number))
        best = {name: max(tries, key=lambda each: each.ticks_per_s) for name, tries in measured.items()}
        bare = best["bare"]
        bench.add(_figure("ticks stored; nobody has an order", best["no_orders"], bare, least=LEAST_RATIO))
        waiting = f"ticks stored; {orders:,} orders out of reach"
        bench.add(_figure(waiting, best["pending"], bare, least=LEAST_RATIO))
        bench.add(_figure("ticks stored; each fills an order", feed.filling(), bare))
    finally:
        reset_engine()


def _figure(name: str, part: Measured, bare: Measured, least: float | None = None) -> Figure:
    cpu_us, bare_cpu_us = (each.cpu_s / each.ticks * 1e6 for each in (part, bare))
    return Figure(
        name=name,
        value=part.ticks_per_s,
        unit="ticks/s",
        beside="bare: MQTT QoS 1, COPY, acknowledge",
        limit=bare.ticks_per_s,
        least=least,
        note=f"{cpu_us:.0f} us of this process's time for each tick, {bare_cpu_us:.0f} in the bare pipeline",
    )


class _FeedBench:
    def __init__(self, bench: Bench, options: Options) -> None:
        self.options = options
        self._bench = bench
        self._mark = secrets.token_hex(3)
        self._user_ids = [self._user(number) for number in range(USERS)]

    def bare(self, number: int) -> Measured:
        part = f"bare-{number}"
        topic = f"bench/{self._mark}-{part}"
        pipeline = BarePipeline(settings.MQTT_URL, topic, f"bench-{self._mark}-{part}")
        pipeline.start()
        payloads = self._payloads(part, self.options.ticks, availability=100)
        try:
            seconds, cpu_s = self._drive(part, topic, payloads, pipeline)
        finally:
            pipeline.stop()
        _expect(pipeline.stored(), len(payloads), "ticks stored")
        return Measured(len(payloads), seconds, cpu_s)

    def no_orders(self, number: int) -> Measured:
        return self._bourse(f"no_orders-{number}", self.options.ticks, availability=100)

    def pending(self, number: int) -> Measured:
        part = f"pending-{number}"
        stock_ids = self._stock_ids(part)
        self._place([self._unreachable(order, stock_ids) for order in range(self.options.orders)])
        return self._bourse(part, self.options.ticks, availability=100)

    def filling(self) -> Measured:
        count = self.options.filling_ticks
        stock_ids = self._stock_ids("filling")
        # As many orders on each stock as it has ticks, and each tick has shares for exactly one.
        payloads = self._payloads("filling", count, availability=QUANTITY)
        ticked = [payload.split(b'"', 4)[3].decode() for payload in payloads]
        assert set(ticked) <= set(stock_ids)
        self._place([self._reachable(number, stock_id) for number, stock_id in enumerate(ticked)])
        measured = self._bourse("filling", count, availability=QUANTITY)
        _expect(measured.trades, count, "trades")
        return measured

    # --- Orders -------------------------------------------------------------------------------------

    def _unreachable(self, number: int, stock_ids: Sequence[str]) -> NewOrder:
        """Limit and bounded buys below the market, bounded ones above it."""
        user_id, stock_id = self._user_ids[number % USERS], stock_ids[number % len(stock_ids)]
        step = number % 500 * SCALE // 100
        if number % 2:
            return NewOrder(user_id, stock_id, "buy", "limit", QUANTITY, price=FAR_BELOW + step)
        low = FAR_ABOVE + step if number % 4 else FAR_BELOW + step
        return NewOrder(
            user_id, stock_id, "buy", "bounded", QUANTITY, lower_bound=low, upper_bound=low + SCALE
        )

    def _reachable(self, number: int, stock_id: str) -> NewOrder:
        user_id, price = self._user_ids[number % USERS], 150 * SCALE
        if number % 2:
            return NewOrder(user_id, stock_id, "buy", "limit", QUANTITY, price=price)
        return NewOrder(user_id, stock_id, "buy", "bounded", QUANTITY, lower_bound=SCALE, upper_bound=price)

    def _place(self, orders: list[NewOrder]) -> None:
        with self._bench.part("placing orders", len(orders)) as advance:
            for at in range(0, len(orders), 500):
                placed = get_engine().place_orders(orders[at : at + 500], 60.0)
                if refused := [order for order in placed if isinstance(order, Refusal)]:
                    raise BenchmarkFailed(f"an order was refused: {refused[0].detail}")
                advance(len(placed))

    # --- Running ------------------------------------------------------------------------------------

    def _bourse(self, part: str, count: int, availability: int) -> Measured:
        topic = f"bench/{self._mark}-{part}"
        stock_ids = self._stock_ids(part)
        payloads = self._payloads(part, count, availability=availability)
        pipeline = _BoursePipeline(get_engine(), topic, f"bench-{self._mark}-{part}")
        pipeline.start()
        try:
            seconds, cpu_s = self._drive(part, topic, payloads, pipeline)
        finally:
            pipeline.stop()
        _expect(Tick.objects.filter(stock__in=stock_ids).count(), count, "ticks stored")
        return Measured(count, seconds, cpu_s, Trade.objects.filter(stock__in=stock_ids).count())

    def _drive(self, part: str, topic: str, payloads: list[bytes], pipeline: Pipeline) -> tuple[float, float]:
        """Seconds from the first tick to the last acknowledgement, on the clock and of this process."""
        load = Load(settings.MQTT_URL, topic, payloads, lambda: pipeline.applied, self.options.window)
        with self._bench.part(part, len(payloads)) as advance:
            cpu, started = time.process_time(), time.perf_counter()
            shown, last_change = 0, started
            load.start()
            try:
                while pipeline.applied < len(payloads):
                    pipeline.step()
                    now = time.perf_counter()
                    if (applied := pipeline.applied) != shown:
                        advance(applied - shown)
                        shown, last_change = applied, now
                    elif load.error is not None or now - last_change > SILENCE_S:
                        raise BenchmarkFailed(
                            f"{part} stopped at {shown} ticks ({load.error or 'nothing comes'})"
                        )
                return time.perf_counter() - started, time.process_time() - cpu
            finally:
                load.stop()

    # --- What there is ------------------------------------------------------------------------------

    def _stock_ids(self, part: str) -> list[str]:
        ids = [f"{MARK}-{self._mark}-{part}-{number}" for number in range(self.options.stocks)]
        if not Stock.objects.filter(stock_id=ids[0]).exists():
            for stock_id in ids:
                list_stock(stock_id=stock_id, name=stock_id)
        return ids

    def _payloads(self, part: str, count: int, *, availability: int) -> list[bytes]:
        start = timezone.now().replace(microsecond=0) - timedelta(milliseconds=count)
        return tick_payloads(self._stock_ids(part), count, start, availability=availability)

    def _user(self, number: int) -> int:
        now: datetime = timezone.now()
        name = f"{MARK.lower()}-{self._mark}-{number}"
        user = register_user(
            username=name, password=secrets.token_hex(12), email=f"{name}@example.org", now=now
        )
        deposit(user_id=user.pk, amount=Decimal(50_000_000_000), now=now)
        return user.pk


class _BoursePipeline:
    """The consumer as it runs, counting what it has acknowledged."""

    def __init__(self, engine: MarketEngine, topic: str, client_id: str) -> None:
        self.applied = 0
        self._consumer = FeedConsumer(
            engine=engine,
            known_stocks=KnownStocks(list_stock=None),
            max_clock_skew=timedelta(minutes=5),
            feed="bench",
        )
        self._link = BrokerLink(
            settings.MQTT_URL, client_id=client_id, subscribe_to=topic, receiver=self._consumer
        )
        self._consumer.link = self
        self._thread = threading.Thread(target=self._consumer.run, name="consumer", daemon=True)
        self._changed = threading.Event()

    def start(self) -> None:
        self._link.start()
        if not self._link.wait_until_connected(5):
            raise ConnectionError("no broker takes us")
        self._thread.start()
        time.sleep(0.3)  # the subscription follows the connection

    def step(self) -> None:
        self._changed.wait(1.0)
        self._changed.clear()

    def stop(self) -> None:
        self._consumer.stop()
        self._thread.join(15)
        self._link.stop()

    def acknowledge(self, generation: int, mids: Sequence[int]) -> None:
        self._link.acknowledge(generation, mids)
        self.applied += len(mids)
        self._changed.set()

    def wake(self) -> None:
        self._link.wake()


def _expect(found: int, wanted: int, what: str) -> None:
    if found != wanted:
        raise BenchmarkFailed(f"{found} {what} instead of {wanted}")
