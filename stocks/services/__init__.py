"""What changes stocks and shares. Each function is one transaction; trading's part is `ticks` and `holdings`."""

from stocks.services.grants import HoldingTooLarge, grant_shares
from stocks.services.listing import RuleBoundsCrossed, StockExists, list_stock, update_stock
from stocks.services.ticks import FeedTick, UnknownStock

__all__ = [
    "FeedTick",
    "HoldingTooLarge",
    "RuleBoundsCrossed",
    "StockExists",
    "UnknownStock",
    "grant_shares",
    "list_stock",
    "update_stock",
]
