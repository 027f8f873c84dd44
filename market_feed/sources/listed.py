"""The stocks of this market, ready to be given prices."""

from market_feed.sources.synthetic import SyntheticStock
from stocks.models import Stock
from users.fields import SCALE, to_units

FIRST_PRICE = 50 * SCALE


def listed_stocks() -> list[SyntheticStock]:
    """Every listed stock; its prices go on from the last one, and are drawn to its average."""
    return [
        SyntheticStock(
            stock_id=stock.stock_id,
            name=stock.name,
            price=_usual_price(stock),
            increment=to_units(stock.price_increment),
            last_price=None if stock.last_price is None else to_units(stock.last_price),
        )
        for stock in Stock.objects.order_by("stock_id")
    ]


def _usual_price(stock: Stock) -> int:
    if stock.tick_count:
        return max(1, to_units(stock.tick_price_sum) // stock.tick_count)
    return FIRST_PRICE if stock.last_price is None else to_units(stock.last_price)
