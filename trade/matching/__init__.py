"""The rules of matching, and nothing else: no Django, no clock, no chance, no log, no input or output.

A `Market` takes commands (enter, cancel, tick, ...) and returns events. What becomes of the events is
the business of `trade.engine`.
"""

from trade.matching.events import (
    Cancelled,
    Entered,
    Event,
    Expired,
    Halted,
    Rejected,
    Resumed,
    Ticked,
    Trade,
)
from trade.matching.market import Market, Quote
from trade.matching.orders import BUY, SELL, Order

__all__ = [
    "BUY",
    "SELL",
    "Cancelled",
    "Entered",
    "Event",
    "Expired",
    "Halted",
    "Market",
    "Order",
    "Quote",
    "Rejected",
    "Resumed",
    "Ticked",
    "Trade",
]
