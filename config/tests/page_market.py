"""What the browser tests need in their market: `python -m config.tests.page_market`.

A maker with a password, cash and shares, and a stock whose name would like to be markup.
"""

import os

import django

MAKER, PASSWORD = "maker", "a-long-pass-phrase"
EVIL_NAME = "<img src=x onerror=alert(1)>"


def make() -> None:
    from decimal import Decimal

    from django.utils import timezone

    from stocks.services import grant_shares, list_stock
    from users.services import deposit, register_user

    now = timezone.now()
    list_stock(stock_id="EVIL", name=EVIL_NAME)
    maker = register_user(username=MAKER, password=PASSWORD, email="", now=now)
    deposit(user_id=maker.pk, amount=Decimal(1_000_000), now=now)
    grant_shares(user_id=maker.pk, stock_id="ACME", quantity=100_000, granted_by_id=None, now=now)


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    make()
