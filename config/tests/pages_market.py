"""What the browser tests of the pages around the trading page need: `python -m config.tests.pages_market`.

Ann, who has traded and has an order open; Clara of the staff; a day of ticks; and a stock whose name would like to be
a formula and markup.
"""

import os

import django

TRADER, STAFF, PASSWORD = "ann", "clara", "a-long-pass-phrase"
EVIL_NAME = "=1+1<img src=x onerror=alert(1)>"


def make() -> None:
    from datetime import timedelta
    from decimal import Decimal

    from django.utils import timezone

    from stocks.services import grant_shares, list_stock
    from stocks.services.ticks import FeedTick
    from trade.engine import get_engine, reset_engine
    from trade.services.order_rules import NewOrder
    from users.models import User
    from users.services import deposit, register_user

    now = timezone.now()
    list_stock(stock_id="EVIL", name=EVIL_NAME)
    ann = register_user(username=TRADER, password=PASSWORD, email="", now=now - timedelta(hours=2))
    User.objects.create_superuser(STAFF, password=PASSWORD)
    deposit(user_id=ann.pk, amount=Decimal(1_000), now=now - timedelta(hours=2))
    grant_shares(user_id=ann.pk, stock_id="EVIL", quantity=7, now=now - timedelta(hours=1))
    engine = get_engine()

    def tick(stock_id: str, price: int, minutes_ago: float) -> None:
        at = now - timedelta(minutes=minutes_ago)
        engine.apply_ticks([FeedTick(stock_id, price * 10_000, 100, at)]).result(30)

    def buy(quantity: int, price: int) -> None:
        engine.place_order(
            NewOrder(
                user_id=ann.pk,
                stock_id="ACME",
                side="buy",
                type="limit",
                quantity=quantity,
                price=price * 10_000,
            )
        )

    for minutes_ago in range(60, 0, -1):
        tick("ACME", 10 + minutes_ago % 3, minutes_ago)
    tick("EVIL", 5, 90)
    buy(10, 12)
    buy(5, 8)
    tick("ACME", 15, 0)
    reset_engine()


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    make()
