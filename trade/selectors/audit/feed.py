"""Feed and numbering: ticks, what was traded with them, their running figures, and the one sequence."""

from trade.selectors.audit.check import Check

_SEQUENCE = """
SELECT stock_id, previous, sequence FROM (
    SELECT stock_id, sequence,
        COALESCE(LAG(sequence) OVER (PARTITION BY stock_id ORDER BY sequence), 0) AS previous
    FROM (
        SELECT stock_id, sequence FROM stocks_tick
        UNION ALL SELECT stock_id, sequence FROM trade_trade
        UNION ALL SELECT stock_id, sequence FROM trade_orderevent
    ) numbered
) steps
WHERE sequence <> previous + 1
"""

_LAST_SEQUENCE = """
SELECT s.stock_id, s.sequence, COALESCE(MAX(n.sequence), 0) AS newest
FROM stocks_stock s
LEFT JOIN (
    SELECT stock_id, MAX(sequence) AS sequence FROM stocks_tick GROUP BY stock_id
    UNION ALL SELECT stock_id, MAX(sequence) FROM trade_trade GROUP BY stock_id
    UNION ALL SELECT stock_id, MAX(sequence) FROM trade_orderevent GROUP BY stock_id
) n ON n.stock_id = s.stock_id
GROUP BY s.stock_id, s.sequence
HAVING s.sequence <> COALESCE(MAX(n.sequence), 0)
"""

_AVAILABILITY = """
SELECT t.stock_id, t.tick_sequence, k.availability, t.bought, t.sold
FROM (
    SELECT stock_id, tick_sequence,
        SUM(CASE WHEN buyer_id IS NULL THEN 0 ELSE quantity END) AS bought,
        SUM(CASE WHEN seller_id IS NULL THEN 0 ELSE quantity END) AS sold
    FROM trade_trade WHERE source = 'feed' GROUP BY stock_id, tick_sequence
) t
LEFT JOIN stocks_tick k ON k.stock_id = t.stock_id AND k.sequence = t.tick_sequence
WHERE k.availability IS NULL OR t.bought > k.availability OR t.sold > k.availability
"""

# The tick it names is the newest before it that was not late, and the price is that tick's.
_FEED_TRADES = """
SELECT t.stock_id, t.sequence, t.price, t.tick_sequence, k.price AS tick_price, k.is_late
FROM trade_trade t
LEFT JOIN stocks_tick k ON k.stock_id = t.stock_id AND k.sequence = t.tick_sequence
WHERE t.source = 'feed' AND (
    k.price IS NULL OR k.price <> t.price
    OR t.tick_sequence <> COALESCE((
        SELECT newest.sequence FROM stocks_tick newest
        WHERE newest.stock_id = t.stock_id AND newest.sequence < t.sequence AND NOT newest.is_late
        ORDER BY newest.sequence DESC LIMIT 1
    ), 0)
)
"""

# A halt voids what is left of a quote, so 0 is right as well.
_QUOTE = """
SELECT * FROM (
    SELECT s.stock_id, s.quote_sequence, s.quote_price, k.price AS tick_price,
        s.quote_availability, k.availability, s.quote_ask_quantity, s.quote_bid_quantity,
        (SELECT COALESCE(SUM(t.quantity), 0) FROM trade_trade t
            WHERE t.stock_id = s.stock_id AND t.sequence > s.quote_sequence
            AND t.tick_sequence = s.quote_sequence AND t.buyer_id IS NOT NULL) AS bought,
        (SELECT COALESCE(SUM(t.quantity), 0) FROM trade_trade t
            WHERE t.stock_id = s.stock_id AND t.sequence > s.quote_sequence
            AND t.tick_sequence = s.quote_sequence AND t.seller_id IS NOT NULL) AS sold
    FROM stocks_stock s
    LEFT JOIN stocks_tick k ON k.stock_id = s.stock_id AND k.sequence = s.quote_sequence
) quotes
WHERE COALESCE(quote_price, 0) <> COALESCE(tick_price, 0)
    OR quote_availability <> COALESCE(availability, 0)
    OR quote_ask_quantity NOT IN (0, quote_availability - bought)
    OR quote_bid_quantity NOT IN (0, quote_availability - sold)
"""

_LATENESS = """
SELECT stock_id, sequence, "timestamp", newest_before, is_late FROM (
    SELECT stock_id, sequence, "timestamp", is_late,
        MAX("timestamp") OVER (PARTITION BY stock_id ORDER BY sequence
            ROWS BETWEEN UNBOUNDED PRECEDING AND 1 PRECEDING) AS newest_before
    FROM stocks_tick
) ticks
WHERE CASE WHEN "timestamp" < newest_before THEN NOT is_late ELSE is_late END
"""

_FIGURES = """
SELECT s.stock_id, s.tick_count, k.ticks, s.tick_price_sum, k.price_sum, s.highest_price, k.highest,
    s.lowest_price, k.lowest, s.last_tick_at, k.newest, s.quote_sequence, k.newest_in_time,
    s.tick_sequence, k.newest_sequence
FROM stocks_stock s
LEFT JOIN (
    SELECT stock_id, COUNT(*) AS ticks, SUM(price) AS price_sum, MAX(price) AS highest,
        MIN(price) AS lowest, MAX("timestamp") AS newest,
        MAX(CASE WHEN is_late THEN 0 ELSE sequence END) AS newest_in_time, MAX(sequence) AS newest_sequence
    FROM stocks_tick GROUP BY stock_id
) k ON k.stock_id = s.stock_id
WHERE s.tick_count <> COALESCE(k.ticks, 0)
    OR s.tick_price_sum <> COALESCE(k.price_sum, 0)
    OR COALESCE(s.highest_price, 0) <> COALESCE(k.highest, 0)
    OR COALESCE(s.lowest_price, 0) <> COALESCE(k.lowest, 0)
    OR s.quote_sequence <> COALESCE(k.newest_in_time, 0)
    OR s.tick_sequence <> COALESCE(k.newest_sequence, 0)
    OR (s.last_tick_at IS NULL) <> (k.newest IS NULL)
    OR s.last_tick_at <> k.newest
"""

# The newest of tick and trade, by the one sequence, made the last price.
_LAST_PRICE = """
SELECT * FROM (
    SELECT s.stock_id, s.last_price, s.trade_sequence, t.sequence AS newest_trade,
        CASE WHEN COALESCE(t.sequence, 0) > s.quote_sequence THEN t.price ELSE k.price END AS newest_price
    FROM stocks_stock s
    LEFT JOIN stocks_tick k ON k.stock_id = s.stock_id AND k.sequence = s.quote_sequence
    LEFT JOIN trade_trade t ON t.stock_id = s.stock_id AND t.sequence = (
        SELECT MAX(newest.sequence) FROM trade_trade newest WHERE newest.stock_id = s.stock_id)
) newest
WHERE trade_sequence <> COALESCE(newest_trade, 0) OR COALESCE(last_price, 0) <> COALESCE(newest_price, 0)
"""


FEED_CHECKS = (
    Check(
        "sequence_unbroken",
        "ticks, trades and order events of a stock are numbered 1, 2, 3, ... together",
        "(SELECT 1 FROM stocks_tick UNION ALL SELECT 1 FROM trade_trade "
        "UNION ALL SELECT 1 FROM trade_orderevent) AS numbered",
        "numbers",
        _SEQUENCE,
    ),
    Check(
        "sequence_last",
        "a stock's sequence is the newest number in use",
        "stocks_stock",
        "stocks",
        _LAST_SEQUENCE,
    ),
    Check(
        "tick_availability",
        "the fills of a tick, per side, are no more than was available",
        "trade_trade WHERE source = 'feed'",
        "feed trades",
        _AVAILABILITY,
    ),
    Check(
        "tick_price",
        "a feed trade is at the price of the newest tick before it",
        "trade_trade WHERE source = 'feed'",
        "feed trades",
        _FEED_TRADES,
    ),
    Check(
        "tick_lateness",
        "a tick is late exactly when an earlier one was newer",
        "stocks_tick",
        "ticks",
        _LATENESS,
    ),
    Check(
        "stock_quote",
        "what the outside still trades is its tick's availability less the fills",
        "stocks_stock",
        "stocks",
        _QUOTE,
    ),
    Check(
        "stock_figures",
        "a stock's running figures are those of its ticks",
        "stocks_stock",
        "stocks",
        _FIGURES,
    ),
    Check(
        "stock_last_price",
        "a stock's last price is that of its newest tick or trade",
        "stocks_stock",
        "stocks",
        _LAST_PRICE,
    ),
)
