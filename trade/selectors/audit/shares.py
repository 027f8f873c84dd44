"""Shares: what is held was granted or bought, and what is held back is for sale."""

from trade.selectors.audit.check import OPEN, Check

_QUANTITY = """
SELECT user_id, stock_id, SUM(held) AS quantity, SUM(due) AS granted_bought_less_sold
FROM (
    SELECT user_id, stock_id, quantity AS held, 0 AS due FROM stocks_holding
    UNION ALL
    SELECT user_id, stock_id, 0, quantity FROM stocks_sharegrant
    UNION ALL
    SELECT buyer_id, stock_id, 0, quantity
    FROM trade_trade WHERE buyer_id IS NOT NULL AND settled_at IS NOT NULL
    UNION ALL
    SELECT seller_id, stock_id, 0, -quantity FROM trade_trade WHERE seller_id IS NOT NULL
) parts
GROUP BY user_id, stock_id
HAVING SUM(held) <> SUM(due)
"""

_UNSETTLED = """
SELECT user_id, stock_id, SUM(held) AS unsettled, SUM(due) AS bought_in_unsettled_trades
FROM (
    SELECT user_id, stock_id, unsettled AS held, 0 AS due FROM stocks_holding
    UNION ALL
    SELECT buyer_id, stock_id, 0, quantity
    FROM trade_trade WHERE settled_at IS NULL AND buyer_id IS NOT NULL
) parts
GROUP BY user_id, stock_id
HAVING SUM(held) <> SUM(due)
"""

# Trades between users cancel out: only grants and the outside market change how many there are.
_CONSERVED = """
SELECT stock_id, SUM(held) AS held, SUM(granted) AS granted, SUM(outside) AS bought_outside
FROM (
    SELECT stock_id, quantity + unsettled AS held, 0 AS granted, 0 AS outside FROM stocks_holding
    UNION ALL
    SELECT stock_id, 0, quantity, 0 FROM stocks_sharegrant
    UNION ALL
    SELECT stock_id, 0, 0, CASE WHEN buyer_id IS NULL THEN -quantity ELSE quantity END
    FROM trade_trade WHERE source = 'feed'
) parts
GROUP BY stock_id
HAVING SUM(held) <> SUM(granted) + SUM(outside)
"""

_RESERVED = f"""
SELECT user_id, stock_id, SUM(held) AS reserved, SUM(needed) AS needed_by_open_sells
FROM (
    SELECT user_id, stock_id, reserved AS held, 0 AS needed FROM stocks_holding
    UNION ALL
    SELECT user_id, stock_id, 0, remaining_quantity FROM trade_order WHERE side = 'sell' AND {OPEN}
    UNION ALL
    SELECT o.user_id, o.stock_id, 0, c.extra_hold
    FROM trade_pendingchange c JOIN trade_order o ON o.order_id = c.order_id WHERE o.side = 'sell'
) parts
GROUP BY user_id, stock_id
HAVING SUM(held) <> SUM(needed)
"""

_COST = """
SELECT user_id, stock_id, quantity, unsettled, cost FROM stocks_holding
WHERE cost < 0 OR (quantity + unsettled = 0 AND cost <> 0)
"""

SHARE_CHECKS = (
    Check(
        "shares_quantity",
        "a holding is what was granted, and bought and settled, less what was sold",
        "stocks_holding",
        "holdings",
        _QUANTITY,
    ),
    Check(
        "shares_unsettled",
        "a holding's unsettled shares are those that its user bought in unsettled trades",
        "stocks_holding",
        "holdings",
        _UNSETTLED,
    ),
    Check(
        "shares_conserved",
        "all shares of a stock were granted, or came from the outside market",
        "stocks_stock",
        "stocks",
        _CONSERVED,
    ),
    Check(
        "shares_reserved",
        "a holding holds back exactly what its user's open sells need",
        f"trade_order WHERE side = 'sell' AND {OPEN}",
        "open sells",
        _RESERVED,
    ),
    Check(
        "shares_cost",
        "a holding's cost is not negative, and nothing held cost nothing",
        "stocks_holding",
        "holdings",
        _COST,
    ),
)
