"""Orders: every share that was ordered is traded, open or ended, once, and within what the user asked for."""

from trade.selectors.audit.check import WAITING, Check

IN_BOOK = "type IN ('limit', 'stop_limit') AND NOT is_stopped"

_QUANTITIES = """
SELECT o.order_id, o.quantity, o.traded_quantity, o.remaining_quantity, COALESCE(e.ended, 0) AS ended
FROM trade_order o
LEFT JOIN (
    SELECT order_id, SUM(quantity) AS ended FROM trade_orderevent
    WHERE kind IN ('cancelled', 'expired', 'rejected', 'reduced') GROUP BY order_id
) e ON e.order_id = o.order_id
WHERE o.quantity <> o.traded_quantity + o.remaining_quantity + COALESCE(e.ended, 0)
"""

_TRADES = """
SELECT order_id, SUM(quantity) AS quantity_unexplained, SUM(value) AS value_unexplained
FROM (
    SELECT order_id, traded_quantity AS quantity, traded_value AS value FROM trade_order
    WHERE traded_quantity <> 0 OR traded_value <> 0
    UNION ALL
    SELECT bid_order_id, -quantity, -price * quantity FROM trade_trade WHERE bid_order_id IS NOT NULL
    UNION ALL
    SELECT ask_order_id, -quantity, -price * quantity FROM trade_trade WHERE ask_order_id IS NOT NULL
) parts
GROUP BY order_id
HAVING SUM(quantity) <> 0 OR SUM(value) <> 0
"""

_STATUS = """
SELECT order_id, status, quantity, traded_quantity, remaining_quantity, priority, sequence
FROM trade_order
WHERE NOT CASE status
    WHEN 'PENDING' THEN sequence = 0 AND priority IS NULL
        AND traded_quantity = 0 AND remaining_quantity = quantity
    WHEN 'ACTIVE' THEN COALESCE(priority, 0) > 0
        AND traded_quantity = 0 AND remaining_quantity BETWEEN 1 AND quantity
    WHEN 'PARTIALLY_FILLED' THEN COALESCE(priority, 0) > 0
        AND traded_quantity > 0 AND remaining_quantity BETWEEN 1 AND quantity - traded_quantity
    WHEN 'FILLED' THEN COALESCE(priority, 0) > 0 AND traded_quantity > 0 AND remaining_quantity = 0
    WHEN 'REJECTED' THEN traded_quantity = 0 AND remaining_quantity = 0
    ELSE traded_quantity < quantity AND remaining_quantity = 0
END
"""

# It enters, or is rejected, once and before its trades; its place dates from one of its own events; the
# newest of them is its `sequence`. What was prevented changed it only where another event says so.
_HISTORY = """
SELECT o.order_id, o.status, o.priority, h.entered, h.entries, o.sequence, h.newest
FROM trade_order o
LEFT JOIN (
    SELECT order_id, MAX(sequence) AS newest, MAX(entered) AS entered, MIN(traded) AS first_trade,
        COUNT(entered) AS entries, SUM(ended) AS endings
    FROM (
        SELECT order_id, sequence, NULL AS traded,
            CASE WHEN kind IN ('entered', 'rejected') THEN sequence END AS entered,
            CASE WHEN kind IN ('cancelled', 'expired', 'rejected') THEN 1 ELSE 0 END AS ended
        FROM trade_orderevent WHERE order_id IS NOT NULL AND kind <> 'prevented'
        UNION ALL
        SELECT bid_order_id, sequence, sequence, NULL, 0 FROM trade_trade WHERE bid_order_id IS NOT NULL
        UNION ALL
        SELECT ask_order_id, sequence, sequence, NULL, 0 FROM trade_trade WHERE ask_order_id IS NOT NULL
    ) happened
    GROUP BY order_id
) h ON h.order_id = o.order_id
WHERE o.sequence <> COALESCE(h.newest, 0)
    OR COALESCE(o.priority, 0) NOT BETWEEN COALESCE(h.entered, 0) AND COALESCE(h.newest, 0)
    OR h.first_trade < h.entered
    OR h.entries > 1
    OR COALESCE(h.endings, 0) <> CASE WHEN o.status IN ('CANCELLED', 'EXPIRED', 'REJECTED') THEN 1 ELSE 0 END
"""

# The limit that an order has now binds the trades since its last replacement.
_LIMITS = """
WITH replaced AS (
    SELECT order_id, MAX(sequence) AS sequence FROM trade_orderevent WHERE kind = 'replaced' GROUP BY order_id
)
SELECT t.stock_id, t.sequence, t.price, b.order_id AS bid_order_id, a.order_id AS ask_order_id
FROM trade_trade t
LEFT JOIN trade_order b ON b.order_id = t.bid_order_id
LEFT JOIN trade_order a ON a.order_id = t.ask_order_id
LEFT JOIN replaced rb ON rb.order_id = t.bid_order_id
LEFT JOIN replaced ra ON ra.order_id = t.ask_order_id
WHERE COALESCE(b.user_id, 0) <> COALESCE(t.buyer_id, 0)
    OR COALESCE(a.user_id, 0) <> COALESCE(t.seller_id, 0)
    OR b.side <> 'buy' OR a.side <> 'sell'
    OR b.stock_id <> t.stock_id OR a.stock_id <> t.stock_id
    OR (t.price > b.limit_price AND t.sequence > COALESCE(rb.sequence, 0))
    OR (t.price < a.limit_price AND t.sequence > COALESCE(ra.sequence, 0))
    OR (b.type = 'bounded' AND (t.source <> 'feed' OR t.price < b.lower_bound))
    OR (a.type = 'bounded' AND (t.source <> 'feed' OR t.price > a.upper_bound))
    OR t.buyer_id = t.seller_id
    OR (t.source = 'book' AND t.taker_side = 'buy'
        AND t.price <> a.limit_price AND t.sequence > COALESCE(ra.sequence, 0))
    OR (t.source = 'book' AND t.taker_side = 'sell'
        AND t.price <> b.limit_price AND t.sequence > COALESCE(rb.sequence, 0))
"""

_CROSSED = f"""
SELECT bids.stock_id, bids.best AS best_bid, asks.best AS best_ask
FROM (
    SELECT stock_id, MAX(limit_price) AS best FROM trade_order
    WHERE side = 'buy' AND {IN_BOOK} AND {WAITING} GROUP BY stock_id
) bids
JOIN (
    SELECT stock_id, MIN(limit_price) AS best FROM trade_order
    WHERE side = 'sell' AND {IN_BOOK} AND {WAITING} GROUP BY stock_id
) asks ON asks.stock_id = bids.stock_id
WHERE bids.best >= asks.best
"""

_RESTING = """
SELECT o.order_id, o.stock_id, o.side, o.type, o.time_in_force, o.limit_price, s.quote_price
FROM trade_order o JOIN stocks_stock s ON s.stock_id = o.stock_id
WHERE o.remaining_quantity > 0 AND o.status <> 'PENDING' AND NOT o.is_stopped AND (
    o.type IN ('market', 'stop') OR o.time_in_force NOT IN ('gtc', 'day', 'gtd')
    OR (o.type IN ('limit', 'stop_limit') AND o.side = 'buy'
        AND s.quote_ask_quantity > 0 AND o.limit_price >= s.quote_price)
    OR (o.type IN ('limit', 'stop_limit') AND o.side = 'sell'
        AND s.quote_bid_quantity > 0 AND o.limit_price <= s.quote_price)
)
"""

ORDER_CHECKS = (
    Check(
        "order_quantity",
        "an order's quantity is traded, open or ended",
        "trade_order",
        "orders",
        _QUANTITIES,
    ),
    Check(
        "order_trades",
        "what an order traded is the sum of its trades",
        "trade_order",
        "orders",
        _TRADES,
    ),
    Check(
        "order_status",
        "an order's status says what its quantities say",
        "trade_order",
        "orders",
        _STATUS,
    ),
    Check(
        "order_history",
        "an order entered once, ended once, and its sequence is that of its newest event",
        "trade_order",
        "orders",
        _HISTORY,
    ),
    Check(
        "trade_limits",
        "a trade is between the right orders, at the maker's price, outside nobody's limit",
        "trade_trade",
        "trades",
        _LIMITS,
    ),
    Check(
        "book_not_crossed",
        "no bid waits at or above an ask",
        f"trade_order WHERE {IN_BOOK} AND {WAITING}",
        "resting orders",
        _CROSSED,
    ),
    Check(
        "book_resting",
        "no order waits that should have ended, or that the outside market would fill",
        f"trade_order WHERE {WAITING}",
        "waiting orders",
        _RESTING,
    ),
)
