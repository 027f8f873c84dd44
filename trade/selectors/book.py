"""The order book as it is stored.

Levels, quote and sequence come out of ONE statement, so they belong together: a statement sees one
snapshot of the database, on PostgreSQL (whatever the isolation level) as on SQLite. Two statements could
have a commit between them, and a client that resumes from the sequence would miss it or apply it twice.

What is in the book: limit orders that have entered and are not finished, an iceberg with the slice that it
shows. PENDING orders have not entered; stops and bounded orders wait and are shown to nobody.
"""

from dataclasses import dataclass

from stocks.models import Stock
from stocks.services.ticks import UnknownStock
from trade.signals import BookLevel
from users.rows import fetch_rows

DEFAULT_DEPTH = 5
MAX_DEPTH = 500


@dataclass(frozen=True, slots=True)
class BookQuote:
    """The outside market: it still buys `bid_quantity` and sells `ask_quantity` at `price` (units)."""

    price: int
    availability: int
    bid_quantity: int
    ask_quantity: int


@dataclass(frozen=True, slots=True)
class OrderBook:
    """The best levels of each side, best first, and the quote, all at `sequence`. Prices in units."""

    stock_id: str
    sequence: int
    bids: tuple[BookLevel, ...]
    asks: tuple[BookLevel, ...]
    quote: BookQuote | None


# Literals where the partial index `order_open_by_price` has them, so that every plan may use it: the
# levels are read in the order of the index, and only as many as asked for.
_LEVELS = """
SELECT * FROM (
    SELECT '{side}', limit_price,
        CAST(SUM(CASE WHEN shown_quantity > 0 THEN shown_quantity ELSE remaining_quantity END) AS BIGINT),
        COUNT(*), 0
    FROM trade_order
    WHERE stock_id = %s AND side = '{side}' AND remaining_quantity > 0
        AND type IN ('limit', 'stop_limit') AND status <> 'PENDING' AND NOT is_stopped
    GROUP BY limit_price ORDER BY limit_price {direction} LIMIT %s
) AS {side}_levels
"""
_BOOK = f"""
SELECT 'sequence', sequence, 0, 0, 0 FROM stocks_stock WHERE stock_id = %s
UNION ALL
SELECT 'quote', quote_price, quote_availability, quote_bid_quantity, quote_ask_quantity
FROM stocks_stock WHERE stock_id = %s AND quote_price IS NOT NULL
UNION ALL
{_LEVELS.format(side="buy", direction="DESC")}
UNION ALL
{_LEVELS.format(side="sell", direction="ASC")}
"""


def order_book(stock_id: str, depth: int = DEFAULT_DEPTH) -> OrderBook:
    """The book of one stock, to `depth` levels a side. UnknownStock when there is none of that id."""
    parts: dict[str, list[tuple[int, int, int, int]]] = {"sequence": [], "quote": [], "buy": [], "sell": []}
    for part, *numbers in fetch_rows(_BOOK, [stock_id, stock_id, stock_id, depth, stock_id, depth]):
        parts[part].append(tuple(numbers))
    if not parts["sequence"]:
        raise UnknownStock(f"there is no stock {stock_id}")
    return OrderBook(
        stock_id=stock_id,
        sequence=parts["sequence"][0][0],
        # A compound statement promises no order.
        bids=tuple(BookLevel(*level[:3]) for level in sorted(parts["buy"], reverse=True)),
        asks=tuple(BookLevel(*level[:3]) for level in sorted(parts["sell"])),
        quote=BookQuote(*parts["quote"][0]) if parts["quote"] else None,
    )


def only_stock_id() -> str | None:
    """The id of the market's only stock; None when there are several, or none."""
    stock_ids = list(Stock.objects.order_by().values_list("stock_id", flat=True)[:2])
    return stock_ids[0] if len(stock_ids) == 1 else None
