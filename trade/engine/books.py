"""The books this process has in memory. Each is a cache of the stock's open orders.

`current` is called under the stock's row lock. The row's `sequence` says whether the book is up to date;
if not, the orders that changed since are read and the book goes on from there. A book may be dropped at
any moment: the next call builds it again. Start-up and recovery are the same code.
"""

import gc

from stocks.services.ticks import LockedStock
from trade.matching import Market, Order, Quote
from trade.selectors.resting import open_orders, orders_changed_since

# Further behind than this, a book is built anew: most of what changed since is finished by now.
MAX_CATCH_UP = 10_000
# A book of more orders than this is kept out of the garbage collector's rounds.
BIG_BOOK = 100_000


class Books:
    """Markets by stock. A stock's market is only touched by the thread that has its lane."""

    def __init__(self) -> None:
        self._markets: dict[str, Market] = {}

    def current(self, stock: LockedStock) -> Market:
        """The market as the database has it."""
        market = self._markets.get(stock.stock_id)
        if market is None or not 0 <= stock.sequence - market.sequence <= MAX_CATCH_UP:
            market = _built(stock.stock_id)
        elif market.sequence < stock.sequence:
            _catch_up(market, orders_changed_since(stock.stock_id, market.sequence))
        else:
            return market
        _take_over_stock(market, stock)
        self._markets[stock.stock_id] = market
        return market

    def drop(self, stock_id: str) -> None:
        """Forget the book: something went wrong, or it may be stale."""
        self._markets.pop(stock_id, None)

    def __len__(self) -> int:
        return len(self._markets)


def _built(stock_id: str) -> Market:
    """The market of the stored open orders.

    The collector would look at all of them again and again while they become more; none is ever garbage here.
    """
    market = Market()
    was_on = gc.isenabled()
    gc.disable()
    try:
        market.restore(open_orders(stock_id))
    finally:
        if was_on:
            gc.enable()
    if len(market.orders) > BIG_BOOK:
        gc.freeze()
    return market


def _catch_up(market: Market, changed: list[Order]) -> None:
    """Apply what other processes did. `changed` is by priority, so new orders queue in the right order."""
    for stored in changed:
        known = market.orders.get(stored.order_id)
        if not stored.open_quantity:
            market.forget(stored.order_id)
        elif known is None:
            market.restore([stored])
        elif known.priority == stored.priority:
            market.restore_fills(stored.order_id, stored)
        else:
            market.forget(stored.order_id)
            market.restore([stored])


def _take_over_stock(market: Market, stock: LockedStock) -> None:
    market.sequence = stock.sequence
    market.halted = stock.is_halted
    market.last_price = stock.last_price
    if stock.quote_price is None:
        market.restore_quote(None)
        return
    market.restore_quote(
        Quote(
            stock.quote_price,
            stock.quote_availability,
            stock.quote_bid_quantity,
            stock.quote_ask_quantity,
            stock.quote_sequence,
        )
    )
