"""Cash: every account is the sum of its ledger, and the ledger's trade lines are the trades.

A sale is in the ledger once its trade has settled; until then its proceeds lie unsettled beside the balance.
"""

from trade.selectors.audit.check import OPEN, Check

_BALANCES = """
SELECT a.user_id, a.balance, COALESCE(l.total, 0) AS ledger_total
FROM users_cashaccount a
LEFT JOIN (SELECT account_id, SUM(amount) AS total FROM users_ledgerentry GROUP BY account_id) l
    ON l.account_id = a.user_id
WHERE a.balance <> COALESCE(l.total, 0)
"""

# Entry by entry; the newest `balance_after` is then the sum of all, which is the balance.
_RUNNING_BALANCE = """
SELECT account_id AS user_id, id AS entry_id, before, amount, balance_after
FROM (
    SELECT account_id, id, amount, balance_after,
        COALESCE(LAG(balance_after) OVER (PARTITION BY account_id ORDER BY id), 0) AS before
    FROM users_ledgerentry
) entries
WHERE before + amount <> balance_after
"""

_NEWEST_ENTRY = """
SELECT a.user_id, a.balance, COALESCE(e.balance_after, 0) AS newest_balance_after
FROM users_cashaccount a
LEFT JOIN (SELECT account_id, MAX(id) AS id FROM users_ledgerentry GROUP BY account_id) newest
    ON newest.account_id = a.user_id
LEFT JOIN users_ledgerentry e ON e.id = newest.id
WHERE a.balance <> COALESCE(e.balance_after, 0)
"""

# What the trades ask for less what is booked, line by line: nothing may be left, and no line too many.
_TRADE_LINES = """
SELECT account_id AS user_id, reference, SUM(amount) AS amount_missing, SUM(line) AS lines_missing
FROM (
    SELECT buyer_id AS account_id, stock_id || ':' || sequence AS reference,
        -price * quantity AS amount, 1 AS line
    FROM trade_trade WHERE buyer_id IS NOT NULL
    UNION ALL
    SELECT seller_id, stock_id || ':' || sequence, price * quantity, 1
    FROM trade_trade WHERE seller_id IS NOT NULL AND settled_at IS NOT NULL
    UNION ALL
    SELECT account_id, reference, -amount, -1 FROM users_ledgerentry WHERE kind = 'trade'
) lines
GROUP BY account_id, reference
HAVING SUM(amount) <> 0 OR SUM(line) <> 0
"""

_FEE_LINES = """
SELECT account_id AS user_id, reference, SUM(amount) AS amount_missing, SUM(line) AS lines_missing
FROM (
    SELECT buyer_id AS account_id, stock_id || ':' || sequence AS reference, -buyer_fee AS amount, 1 AS line
    FROM trade_trade WHERE buyer_fee <> 0
    UNION ALL
    SELECT seller_id, stock_id || ':' || sequence, -seller_fee, 1
    FROM trade_trade WHERE seller_fee <> 0 AND settled_at IS NOT NULL
    UNION ALL
    SELECT account_id, reference, -amount, -1 FROM users_ledgerentry WHERE kind = 'fee'
) lines
GROUP BY account_id, reference
HAVING SUM(amount) <> 0 OR SUM(line) <> 0
"""

_FEES = """
SELECT t.stock_id, t.sequence, t.buyer_fee, t.seller_fee FROM trade_trade t
LEFT JOIN trade_order b ON b.order_id = t.bid_order_id
LEFT JOIN trade_order a ON a.order_id = t.ask_order_id
WHERE t.buyer_fee <> t.price * t.quantity * COALESCE(
        CASE WHEN t.taker_side = 'buy' THEN b.taker_fee_bps ELSE b.maker_fee_bps END, 0) / 10000
    OR t.seller_fee <> t.price * t.quantity * COALESCE(
        CASE WHEN t.taker_side = 'sell' THEN a.taker_fee_bps ELSE a.maker_fee_bps END, 0) / 10000
"""

_UNSETTLED = """
SELECT user_id, SUM(held) AS unsettled, SUM(due) AS proceeds_of_unsettled_trades
FROM (
    SELECT user_id, unsettled AS held, 0 AS due FROM users_cashaccount
    UNION ALL
    SELECT seller_id, 0, price * quantity - seller_fee
    FROM trade_trade WHERE settled_at IS NULL AND seller_id IS NOT NULL
) parts
GROUP BY user_id
HAVING SUM(held) <> SUM(due)
"""

# As the order was reserved: with its higher fee, rounded down.
_NEEDED = f"""
SELECT user_id, 0 AS held, remaining_quantity * limit_price + remaining_quantity * limit_price
    * CASE WHEN maker_fee_bps > taker_fee_bps THEN maker_fee_bps ELSE taker_fee_bps END / 10000 AS needed
FROM trade_order WHERE side = 'buy' AND {OPEN}
UNION ALL
SELECT o.user_id, 0, c.extra_hold
FROM trade_pendingchange c JOIN trade_order o ON o.order_id = c.order_id WHERE o.side = 'buy'
"""

_CONSERVED = """
SELECT balances, unsettled, paid_in, fees_due, spent_outside FROM (
    SELECT
        (SELECT COALESCE(SUM(balance), 0) FROM users_cashaccount) AS balances,
        (SELECT COALESCE(SUM(unsettled), 0) FROM users_cashaccount) AS unsettled,
        (SELECT COALESCE(SUM(amount), 0) FROM users_ledgerentry WHERE kind <> 'trade') AS paid_in,
        (SELECT COALESCE(SUM(seller_fee), 0) FROM trade_trade WHERE settled_at IS NULL) AS fees_due,
        (SELECT COALESCE(SUM(CASE WHEN buyer_id IS NULL THEN -price * quantity ELSE price * quantity END), 0)
            FROM trade_trade WHERE source = 'feed') AS spent_outside
) totals
WHERE balances + unsettled <> paid_in - fees_due - spent_outside
"""

_RESERVED = f"""
SELECT user_id, SUM(held) AS reserved, SUM(needed) AS needed_by_open_buys
FROM (
    SELECT user_id, reserved AS held, 0 AS needed FROM users_cashaccount
    UNION ALL
    {_NEEDED}
) parts
GROUP BY user_id
HAVING SUM(held) <> SUM(needed)
"""

CASH_CHECKS = (
    Check(
        "cash_balance",
        "an account's balance is the sum of its ledger",
        "users_cashaccount",
        "accounts",
        _BALANCES,
    ),
    Check(
        "cash_newest_entry",
        "an account's balance is what its newest ledger entry left",
        "users_cashaccount",
        "accounts",
        _NEWEST_ENTRY,
    ),
    Check(
        "cash_running_balance",
        "each ledger entry goes on from the one before it",
        "users_ledgerentry",
        "entries",
        _RUNNING_BALANCE,
    ),
    Check(
        "cash_trade_lines",
        "each side of a trade has its one ledger line, a sale once it settled, and no other line is a trade's",
        "users_ledgerentry WHERE kind = 'trade'",
        "entries",
        _TRADE_LINES,
    ),
    Check(
        "cash_fee_lines",
        "each fee of a trade has its one ledger line, and no other line is a fee",
        "users_ledgerentry WHERE kind = 'fee'",
        "entries",
        _FEE_LINES,
    ),
    Check(
        "trade_fees",
        "each side of a trade pays the fee of its own order, as taker or as maker",
        "trade_trade",
        "trades",
        _FEES,
    ),
    Check(
        "cash_unsettled",
        "an account's unsettled cash is what its user's unsettled sales brought, less their fees",
        "users_cashaccount",
        "accounts",
        _UNSETTLED,
    ),
    Check(
        "cash_conserved",
        "all cash, unsettled too, is what was paid in less what the outside market got",
        "users_cashaccount",
        "accounts",
        _CONSERVED,
    ),
    Check(
        "cash_reserved",
        "an account holds exactly what its user's open buys, and changes of them, need",
        f"trade_order WHERE side = 'buy' AND {OPEN}",
        "open buys",
        _RESERVED,
    ),
)
