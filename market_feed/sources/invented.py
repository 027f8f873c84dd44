"""Stocks of companies that do not exist, as many as are asked for."""

from itertools import islice, product
from random import Random

from market_feed.sources.synthetic import SyntheticStock
from users.fields import SCALE

_PLACES = ("Aldern", "Birkfell", "Corrow", "Dunmere", "Elvast", "Farnholt", "Greyloch", "Hollin", "Ivermoor")
_TRADES = ("Looms", "Quarries", "Signals", "Granaries", "Optics", "Shipyards", "Bicycles", "Inks", "Turbines")


def invented_stocks(count: int) -> list[SyntheticStock]:
    """The same ones every time; more than 81 go on with numbers."""
    stocks = []
    for number in range(count):
        round_, place_and_trade = divmod(number, len(_PLACES) * len(_TRADES))
        # Steps of 10 through the 81 pairs change both words each time.
        pair = (place_and_trade * 10) % (len(_PLACES) * len(_TRADES))
        place, trade = next(islice(product(_PLACES, _TRADES), pair, None))
        suffix = str(round_ + 1) if round_ else ""
        price = round(10 ** Random(number).uniform(0.7, 2.8) * 100) * SCALE // 100
        stocks.append(
            SyntheticStock(
                stock_id=f"{place[:2]}{trade[:2]}{suffix}".upper(),
                name=f"{place} {trade} {suffix}".strip(),
                price=price,
            )
        )
    return stocks
