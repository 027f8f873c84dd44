"""Which stocks the feed may tick, and on what price increment: a small cache of the stocks table."""

import time
from collections.abc import Callable
from contextlib import suppress
from typing import Any

from market_feed.messages import MalformedMessage
from stocks.models import Stock
from users.exceptions import Refusal
from users.fields import to_units

# A stock that staff listed or changed is noticed after this long.
REFRESH_S = 5.0
# Ticks of a stock that is not wanted cost one query in this time, not one each.
UNKNOWN_REFRESH_S = 1.0

ListStock = Callable[[str, str], Any]


class KnownStocks:
    """Price increments by stock. `list_stock(stock_id, name)` lists a new one; None: new ones are refused.

    For one thread.
    """

    def __init__(self, *, list_stock: ListStock | None, clock: Callable[[], float] = time.monotonic) -> None:
        self._list_stock = list_stock
        self._clock = clock
        self._increments: dict[str, int] = {}
        self._read_at = float("-inf")

    def refresh(self, max_age_s: float = REFRESH_S) -> None:
        """Read the table, if it was not read within `max_age_s`."""
        now = self._clock()
        if now - self._read_at < max_age_s:
            return
        rows = Stock.objects.order_by().values_list("stock_id", "price_increment")
        self._increments = {stock_id: to_units(increment) for stock_id, increment in rows}
        self._read_at = now

    def increment_of(self, stock_id: str, name: str) -> int:
        """The stock's price increment in units; a new stock is listed. MalformedMessage when unwanted."""
        increment = self._increments.get(stock_id)
        return self._admit(stock_id, name) if increment is None else increment

    def _admit(self, stock_id: str, name: str) -> int:
        self.refresh(UNKNOWN_REFRESH_S)
        if stock_id not in self._increments and self._list_stock is not None:
            with suppress(Refusal):  # another process was quicker, or it may not be listed: the table tells
                self._list_stock(stock_id, name)
            self.refresh(0)
        increment = self._increments.get(stock_id)
        if increment is None:
            raise MalformedMessage("unknown_stock", repr(stock_id))
        return increment
