"""What changes stocks and shares. Each function is one transaction; trading's part is `ticks` and `holdings`."""

from stocks.services.grants import HoldingTooLarge, grant_shares
from stocks.services.listing import StockExists, list_stock, update_stock
from stocks.services.ticks import FeedTick, UnknownStock

__all__ = [
    "FeedTick",
    "HoldingTooLarge",
    "StockExists",
    "UnknownStock",
    "grant_shares",
    "list_stock",
    "update_stock",
]
