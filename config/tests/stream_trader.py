"""A process that trades and serves nobody, as the feed consumer does: what the stream tests listen to.

python -m config.tests.stream_trader list STOCK        list a stock and its two traders
python -m config.tests.stream_trader trade STOCK N M   N times one share changes hands; M trades at a time
"""

import os
import sys
import time

import django


def list_stock(stock_id: str) -> None:
    from stocks.models import Holding, Stock
    from users.models import CashAccount, User

    Stock.objects.create(stock_id=stock_id, name=stock_id.title())
    for name in ("buyer", "seller"):
        user = User.objects.create(username=f"{name}-{stock_id}")
        CashAccount.objects.create(user=user, balance=1_000_000_000)
        Holding.objects.create(user=user, stock_id=stock_id, quantity=10_000_000)


def trade(stock_id: str, count: int, at_once: int) -> None:
    from trade.engine import get_engine, reset_engine
    from users.models import User

    buyer, seller = (User.objects.get(username=f"{name}-{stock_id}").pk for name in ("buyer", "seller"))
    engine = get_engine()
    for start in range(0, count, at_once):
        futures = [
            engine.submit_order(_order(user_id, stock_id, side))
            for _ in range(min(at_once, count - start))
            for user_id, side in ((seller, "sell"), (buyer, "buy"))
        ]
        for future in futures:
            future.result(30)
        # Other processes get their turn at the stock.
        time.sleep(0.002)
    reset_engine()


def _order(user_id: int, stock_id: str, side: str) -> object:
    from trade.services.order_rules import NewOrder

    return NewOrder(user_id=user_id, stock_id=stock_id, side=side, type="limit", quantity=1, price=100_000)


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    command, stock_id, *numbers = sys.argv[1:]
    if command == "list":
        list_stock(stock_id)
    else:
        trade(stock_id, int(numbers[0]), int(numbers[1]))
