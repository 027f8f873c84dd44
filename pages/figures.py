"""How the market is doing, for the operations page: what the database knows, and what this process counts."""

import time
from collections import deque
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, NamedTuple

from django.db.models import Max, Sum

from market_feed import metrics
from market_feed.selectors import feed_age
from market_feed.streams.hub import hubs
from stocks.models import Stock
from trade.engine import get_engine

# Rates are over the readings of so many seconds.
WINDOW_S = 60.0
# Readings closer than this to one another say little about a rate.
MIN_SPAN_S = 1.0


class Reading(NamedTuple):
    """What has been counted by one moment (of the monotonic clock, in seconds)."""

    at_s: float
    ticks: int
    events: int
    batches: int
    lag_s: float
    lag_count: int


@dataclass(frozen=True, slots=True)
class Rates:
    """A second's worth of what was counted, and the mean lag of the feed's batches; None without any."""

    over_s: float
    ticks: float
    events: float
    batches: float
    lag_s: float | None


class Readings:
    """The readings of the last minute, of whoever looked."""

    def __init__(self) -> None:
        self._kept: deque[Reading] = deque(maxlen=200)

    def add(self, reading: Reading) -> Rates | None:
        """Rates between this reading and the oldest of the window; None while there is no such."""
        while self._kept and reading.at_s - self._kept[0].at_s > WINDOW_S:
            self._kept.popleft()
        oldest = self._kept[0] if self._kept else reading
        self._kept.append(reading)
        span = reading.at_s - oldest.at_s
        if span < MIN_SPAN_S:
            return None
        lags = reading.lag_count - oldest.lag_count
        return Rates(
            over_s=span,
            ticks=max(0, reading.ticks - oldest.ticks) / span,
            events=max(0, reading.events - oldest.events) / span,
            batches=max(0, reading.batches - oldest.batches) / span,
            lag_s=(reading.lag_s - oldest.lag_s) / lags if lags > 0 else None,
        )


_readings = Readings()


def market_figures(now: datetime) -> dict[str, Any]:
    """Everything the page shows of the machine: two queries."""
    engine = get_engine()
    state = engine.status()
    market = Stock.objects.aggregate(
        ticks=Sum("tick_count"), events=Sum("sequence"), newest_tick_at=Max("last_tick_at")
    )
    lag_s, lag_count = _feed_lag()
    reading = Reading(
        time.monotonic(),
        int(market["ticks"] or 0),
        int(market["events"] or 0),
        state["batches"],
        lag_s,
        lag_count,
    )
    age = feed_age(now)
    return {
        "rates": _readings.add(reading),
        "reading": reading,
        "feed_age": age,
        "behind": _behind(now, age, market["newest_tick_at"]),
        "feed_waiting": int(_value(metrics.waiting)),
        "is_feed_here": lag_count > 0,
        "engine": state,
        "is_engine_well": state["threads_alive"] == state["threads"],
        "refused_orders": sorted(engine.refused().items()),
        "refused_messages": _by_label(metrics.malformed),
        "tick_outcomes": _by_label(metrics.ticks),
        "streams": _streams(),
    }


def _behind(now: datetime, age: timedelta | None, newest_tick_at: datetime | None) -> timedelta | None:
    """How old the newest tick was, by its own time, when the feed was last heard."""
    if age is None or newest_tick_at is None:
        return None
    return max(now - age - newest_tick_at, timedelta(0))


def _streams() -> dict[str, int]:
    totals: dict[str, int] = {"sockets": 0}
    for hub in hubs():
        for name, figure in hub.status().items():
            totals[name] = totals.get(name, 0) + figure
    frames = sum(figure for name, figure in totals.items() if name.endswith("_frames"))
    return {
        "sockets": totals["sockets"],
        "frames": frames,
        "trades_healed": totals.get("trades_healed", 0),
    }


# --- Counters of this process ---------------------------------------------------------------------------


def _feed_lag() -> tuple[float, int]:
    """Seconds of lag in all, and of how many batches."""
    samples = {sample.name: sample.value for metric in metrics.lag.collect() for sample in metric.samples}
    return samples["bourse_feed_lag_seconds_sum"], int(samples["bourse_feed_lag_seconds_count"])


def _value(metric: Any) -> float:
    (sample,) = next(iter(metric.collect())).samples
    return float(sample.value)


def _by_label(metric: Any) -> list[tuple[str, int]]:
    """The counts of a counter with one label, by it."""
    samples = [sample for one in metric.collect() for sample in one.samples]
    return sorted(
        (next(iter(sample.labels.values())), int(sample.value))
        for sample in samples
        if sample.name.endswith("_total")
    )
