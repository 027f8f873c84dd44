"""Which stocks there are, and the rules they trade by.

A new rule or fee holds for new orders: those already in the book were right when they came, and stay.
"""

import re
from decimal import Decimal
from typing import TypedDict, Unpack

from django.db import IntegrityError, transaction

from stocks.models import Stock
from stocks.services.ticks import UnknownStock
from users.exceptions import Refusal

MAX_ID_FROM_NAME = 48
UNNAMED = "STOCK"


class StockRules(TypedDict, total=False):
    """What staff set of a stock. None takes a bound away; what is left out stays as it is."""

    price_increment: Decimal
    lot_size: int
    min_quantity: int | None
    max_quantity: int | None
    min_notional: Decimal | None
    max_notional: Decimal | None
    price_collar_bps: int | None
    maker_fee_bps: int
    taker_fee_bps: int


class StockChanges(StockRules, total=False):
    name: str


class RuleBoundsCrossed(Refusal):
    """The stock's smallest order would be larger than its largest."""

    code = "bounds_crossed"


class StockExists(Refusal):
    """There is a stock of that id."""

    code = "stock_exists"
    status = 409
    field = "stock_id"


def list_stock(*, stock_id: str | None = None, name: str, **rules: Unpack[StockRules]) -> Stock:
    """A new stock; without `stock_id` it gets one made from its name."""
    stock = Stock(stock_id=stock_id or _free_id(name), name=name, **rules)
    _check_bounds(stock)
    try:
        with transaction.atomic():
            stock.save(force_insert=True)
    except IntegrityError:
        raise StockExists(f"there is a stock {stock.stock_id} already") from None
    return stock


def update_stock(*, stock_id: str, **changes: Unpack[StockChanges]) -> Stock:
    """Change what is given. Trading writes the other columns of the row, under the same lock."""
    with transaction.atomic():
        stock = Stock.objects.select_for_update(no_key=True).filter(pk=stock_id).first()
        if stock is None:
            raise UnknownStock(f"there is no stock {stock_id}")
        for field, value in changes.items():
            setattr(stock, field, value)
        _check_bounds(stock)
        stock.save(update_fields=[*changes])
    return stock


def _check_bounds(stock: Stock) -> None:
    """No order would satisfy bounds that are crossed."""
    for low, high in (("min_quantity", "max_quantity"), ("min_notional", "max_notional")):
        least, most = getattr(stock, low), getattr(stock, high)
        if least is not None and most is not None and least > most:
            raise RuleBoundsCrossed(f"the bounds cross: {low} {least}, {high} {most}", field=low)


def _free_id(name: str) -> str:
    """ "Acme Corp." -> "ACME-CORP", or with the first number from 2 on that makes it free."""
    words = re.sub(r"[^A-Z0-9]+", "-", name.upper(), flags=re.ASCII).strip("-")
    stem = words[:MAX_ID_FROM_NAME].strip("-") or UNNAMED
    taken = set(Stock.objects.filter(pk__startswith=stem).values_list("pk", flat=True))
    stock_id, number = stem, 1
    while stock_id in taken:
        number += 1
        stock_id = f"{stem}-{number}"
    return stock_id
