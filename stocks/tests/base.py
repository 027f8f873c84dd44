"""Ticks and stocks for tests, stored the way the market stores them."""

from collections.abc import Iterable
from datetime import datetime
from typing import Any

from stocks.models import Stock
from stocks.services.ticks import StoredTick, lock_stock, store_prices, write_stock

# (price in units, availability, timestamp)
Update = tuple[int, int, datetime]


def make_stock(stock_id: str = "ACME", **fields: Any) -> Stock:
    return Stock.objects.create(stock_id=stock_id, name=fields.pop("name", stock_id.title()), **fields)


def feed(stock_id: str, updates: Iterable[Update]) -> None:
    """Store ticks with their candles and running figures. Call it in a transaction."""
    stock = lock_stock(stock_id)
    ticks = []
    for price, availability, timestamp in updates:
        is_late = stock.last_tick_at is not None and timestamp < stock.last_tick_at
        stock.sequence += 1
        stock.tick_sequence = stock.sequence
        ticks.append(StoredTick(stock.sequence, price, availability, timestamp, is_late))
        stock.count_tick(price, timestamp)
        if not is_late:
            stock.last_price = stock.quote_price = price
            stock.quote_availability = availability
    store_prices(stock_id, ticks)
    write_stock(stock)
