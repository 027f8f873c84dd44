"""Candles: minutes against the ticks and trades, hours against minutes, days against hours."""

from collections.abc import Callable

from django.db import connection

from stocks.models import Candle
from trade.selectors.audit.check import Check

MINUTE, HOUR, DAY = (interval.value for interval in Candle.Interval)

# Every price of a stock, at its time. What is no tick has no `tick_price`.
_PRINTS = """
    SELECT stock_id, sequence, "timestamp" AS moment, price, price AS tick_price, 0 AS volume FROM stocks_tick
    UNION ALL
    SELECT stock_id, sequence, executed_at, price, NULL, quantity FROM trade_trade
"""

# Candles as the other side of a sum that must be nothing.
_LESS_CANDLES = """
    SELECT stock_id, "start", -ticks, -price_sum, -volume, -high, -low, -tick_high, -tick_low, opened_at, closed_at,
        -open, -close, ticks
    FROM stocks_candle WHERE "interval" = {}
"""
_DIFFER = """
    SUM(tick_count) <> 0 OR SUM(price_sum) <> 0 OR SUM(volume) <> 0 OR SUM(high) <> 0 OR SUM(low) <> 0
    OR COALESCE(SUM(tick_high), 0) <> 0 OR COALESCE(SUM(tick_low), 0) <> 0
    OR MIN(opened_at) <> MAX(opened_at) OR MIN(closed_at) <> MAX(closed_at)
"""


def _minute_of(column: str) -> str:
    """The start of the minute that a time lies in, as candles store it."""
    if connection.vendor == "postgresql":
        return f"date_trunc('minute', {column}, 'UTC')"
    return f"substr({column}, 1, 16) || ':00'"  # a time is text in UTC here


def _minutes() -> str:
    return f"""
SELECT stock_id, "start", SUM(tick_count) AS ticks, SUM(candle_ticks) AS candle_ticks
FROM (
    SELECT stock_id, {_minute_of("moment")} AS "start", COUNT(tick_price) AS tick_count,
        COALESCE(SUM(tick_price), 0) AS price_sum, SUM(volume) AS volume, MAX(price) AS high, MIN(price) AS low,
        MAX(tick_price) AS tick_high, MIN(tick_price) AS tick_low, MIN(moment) AS opened_at,
        MAX(moment) AS closed_at, 0 AS open, 0 AS close, 0 AS candle_ticks
    FROM ({_PRINTS}) prints GROUP BY 1, 2
    UNION ALL {_LESS_CANDLES.format(MINUTE)}
) parts
GROUP BY stock_id, "start"
HAVING {_DIFFER}
"""


def _price_at(moment: str, direction: str) -> str:
    """The price of the first or last print at a candle's `moment`.

    `+ 0` keeps the planner from walking all ticks by sequence where a handful have that time.
    """
    return f"""(SELECT price FROM (
        SELECT k.sequence, k.price FROM stocks_tick k WHERE k.stock_id = c.stock_id AND k."timestamp" = {moment}
        UNION ALL
        SELECT t.sequence, t.price FROM trade_trade t WHERE t.stock_id = c.stock_id AND t.executed_at = {moment}
    ) prints ORDER BY sequence + 0 {direction} LIMIT 1)"""


# Of two prints at one time, the one that came first opens and the one that came last closes.
_EDGES = f"""
SELECT * FROM (
    SELECT c.stock_id, c."start", c.open, c.close,
        {_price_at("c.opened_at", "")} AS first_price, {_price_at("c.closed_at", "DESC")} AS last_price
    FROM stocks_candle c WHERE c."interval" = {MINUTE}
) candles
WHERE COALESCE(first_price, 0) <> open OR COALESCE(last_price, 0) <> close
"""


def _longer(interval: int, parts: int) -> Callable[[], str]:
    """Candles of one interval against those of the next shorter, whose first opens and last closes it."""
    unit = {HOUR: "hour", DAY: "day"}[interval]
    text = {"hour": "substr(\"start\", 1, 13) || ':00:00'", "day": "substr(\"start\", 1, 10) || ' 00:00:00'"}

    def offenders() -> str:
        is_postgresql = connection.vendor == "postgresql"
        start = f"date_trunc('{unit}', \"start\", 'UTC')" if is_postgresql else text[unit]
        return f"""
SELECT stock_id, longer_start AS "start", SUM(tick_count) AS ticks, SUM(candle_ticks) AS candle_ticks
FROM (
    SELECT p.stock_id, p.longer_start, p.tick_count, p.price_sum, p.volume, p.high, p.low, p.tick_high, p.tick_low,
        p.opened_at, p.closed_at, first.open, last.close, 0 AS candle_ticks
    FROM (
        SELECT stock_id, {start} AS longer_start, SUM(ticks) AS tick_count, SUM(price_sum) AS price_sum,
            SUM(volume) AS volume, MAX(high) AS high, MIN(low) AS low, MAX(tick_high) AS tick_high,
            MIN(tick_low) AS tick_low, MIN(opened_at) AS opened_at, MAX(closed_at) AS closed_at,
            MIN("start") AS first_start, MAX("start") AS last_start
        FROM stocks_candle WHERE "interval" = {parts} GROUP BY 1, 2
    ) p
    JOIN stocks_candle first ON first.stock_id = p.stock_id
        AND first."interval" = {parts} AND first."start" = p.first_start
    JOIN stocks_candle last ON last.stock_id = p.stock_id
        AND last."interval" = {parts} AND last."start" = p.last_start
    UNION ALL {_LESS_CANDLES.format(interval)}
) parts
GROUP BY stock_id, longer_start
HAVING {_DIFFER} OR SUM(open) <> 0 OR SUM(close) <> 0
"""

    return offenders


def _candles(interval: int) -> str:
    return f'stocks_candle WHERE "interval" = {interval}'


CANDLE_CHECKS = (
    Check(
        "candle_minutes",
        "minute candles sum up the ticks and trades",
        _candles(MINUTE),
        "candles",
        _minutes,
    ),
    Check(
        "candle_edges",
        "minute candles open with the first tick or trade and close with the last",
        _candles(MINUTE),
        "candles",
        _EDGES,
    ),
    Check(
        "candle_hours", "hour candles sum up the minutes", _candles(HOUR), "candles", _longer(HOUR, MINUTE)
    ),
    Check("candle_days", "day candles sum up the hours", _candles(DAY), "candles", _longer(DAY, HOUR)),
)
