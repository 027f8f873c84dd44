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
    Prevented,
    Reduced,
    Rejected,
    Replaced,
    Resumed,
    Ticked,
    Trade,
    Triggered,
)
from trade.matching.market import Market
from trade.matching.orders import BUY, SELL, Order
from trade.matching.places import Quote

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
    "Prevented",
    "Quote",
    "Reduced",
    "Rejected",
    "Replaced",
    "Resumed",
    "Ticked",
    "Trade",
    "Triggered",
]
