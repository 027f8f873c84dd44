"""The market's door: place and cancel orders, apply ticks, halt and resume.

Everything above `trade` goes through the functions of `MarketEngine`, and nothing below it knows threads.
The process's own engine is `get_engine()`; it is started by the first call.
"""

from trade.engine.commands import OrderState, TickReport
from trade.engine.gateway import MarketEngine, get_engine, reset_engine

__all__ = ["MarketEngine", "OrderState", "TickReport", "get_engine", "reset_engine"]
