"""Which stocks there are, and the steps they trade in.

A new price increment or lot size holds for new orders: those already in the book were right when they
came, and stay.
"""

import re
from decimal import Decimal

from django.db import IntegrityError, transaction

from stocks.models import Stock
from stocks.services.ticks import UnknownStock
from users.exceptions import Refusal

MAX_ID_FROM_NAME = 48
UNNAMED = "STOCK"


class StockExists(Refusal):
    """There is a stock of that id."""

    code = "stock_exists"
    status = 409
    field = "stock_id"


def list_stock(
    *,
    stock_id: str | None = None,
    name: str,
    price_increment: Decimal | None = None,
    lot_size: int | None = None,
) -> Stock:
    """A new stock; without `stock_id` it gets one made from its name."""
    steps = {"price_increment": price_increment, "lot_size": lot_size}
    given = {field: value for field, value in steps.items() if value is not None}
    stock = Stock(stock_id=stock_id or _free_id(name), name=name, **given)
    try:
        with transaction.atomic():
            stock.save(force_insert=True)
    except IntegrityError:
        raise StockExists(f"there is a stock {stock.stock_id} already") from None
    return stock


def update_stock(
    *,
    stock_id: str,
    name: str | None = None,
    price_increment: Decimal | None = None,
    lot_size: int | None = None,
) -> Stock:
    """Change what is given. Trading writes the other columns of the row, under the same lock."""
    changes = {"name": name, "price_increment": price_increment, "lot_size": lot_size}
    given = {field: value for field, value in changes.items() if value is not None}
    with transaction.atomic():
        stock = Stock.objects.select_for_update(no_key=True).filter(pk=stock_id).first()
        if stock is None:
            raise UnknownStock(f"there is no stock {stock_id}")
        for field, value in given.items():
            setattr(stock, field, value)
        stock.save(update_fields=[*given])
    return stock


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
