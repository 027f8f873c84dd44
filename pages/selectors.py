"""What the page shows before the streams begin."""

from dataclasses import dataclass
from datetime import datetime, time
from decimal import Decimal

from stocks.models import Candle, Stock

MAX_STOCKS = 500


@dataclass(frozen=True, slots=True)
class WatchedStock:
    """A line of the watchlist. `day_open` is the first price of the day, in UTC; None before there is one."""

    stock_id: str
    name: str
    status: str
    last_price: Decimal | None
    day_open: Decimal | None
    price_increment: Decimal
    lot_size: int


def watched_stocks(now: datetime) -> list[WatchedStock]:
    """The first stocks by id."""
    midnight = datetime.combine(now.date(), time.min, now.tzinfo)
    today = Candle.objects.filter(interval=Candle.Interval.DAY, start=midnight)
    day_opens: dict[str, Decimal] = dict(today.values_list("stock_id", "open"))
    return [
        WatchedStock(
            stock.stock_id,
            stock.name,
            stock.status,
            stock.last_price,
            day_opens.get(stock.stock_id),
            stock.price_increment,
            stock.lot_size,
        )
        for stock in Stock.objects.order_by("stock_id")[:MAX_STOCKS]
    ]
