"""A process that trades and serves nobody, as the feed consumer does: what the stream tests listen to.

python -m config.tests.stream_trader list STOCK...     list stocks, each with its two traders
python -m config.tests.stream_trader trade STOCK N M   N times one share changes hands; M trades at a time
python -m config.tests.stream_trader churn N STOCK...  N orders at a time on each stock in turn, most of which
                                                       stay in the book until they are cancelled; until stdin ends
"""

import os
import sys
import threading
import time
from random import Random
from typing import Any
from uuid import UUID

import django

# Of a stock's book: the price in the middle, and how far orders lie from it, in units.
MIDDLE, STEP, SPREAD = 100_000, 100, 40
OPEN_ORDERS = 150


def list_stocks(*stock_ids: str) -> None:
    from stocks.models import Holding, Stock
    from users.models import CashAccount, User

    for stock_id in stock_ids:
        Stock.objects.create(stock_id=stock_id, name=stock_id.title())
        for name in ("buyer", "seller"):
            user = User.objects.create(username=f"{name}-{stock_id}")
            CashAccount.objects.create(user=user, balance=1_000_000_000)
            Holding.objects.create(user=user, stock_id=stock_id, quantity=10_000_000)


def trade(stock_id: str, count: int, at_once: int) -> None:
    from trade.engine import get_engine, reset_engine

    buyer, seller = traders_of(stock_id)
    engine = get_engine()
    for start in range(0, count, at_once):
        futures = [
            engine.submit_order(order(user_id, stock_id, side))
            for _ in range(min(at_once, count - start))
            for user_id, side in ((seller, "sell"), (buyer, "buy"))
        ]
        for future in futures:
            future.result(30)
        # Other processes get their turn at the stock.
        time.sleep(0.002)
    reset_engine()


def churn(at_once: int, *stock_ids: str) -> None:
    from trade.engine import get_engine, reset_engine

    ended = threading.Event()
    threading.Thread(target=wait_for_end_of_input, args=(ended,), daemon=True).start()
    engine, rng = get_engine(), Random(7)
    traders = {stock_id: traders_of(stock_id) for stock_id in stock_ids}
    resting: dict[str, list[Any]] = {stock_id: [] for stock_id in stock_ids}
    while not ended.is_set():
        for stock_id in stock_ids:
            futures = [
                engine.submit_order(random_order(rng, stock_id, *traders[stock_id])) for _ in range(at_once)
            ]
            resting[stock_id] += [future.result(30).order_id for future in futures]
            while len(resting[stock_id]) > OPEN_ORDERS:
                order_id = resting[stock_id].pop(rng.randrange(len(resting[stock_id])))
                cancel_if_open(engine, order_id)
    reset_engine()


def wait_for_end_of_input(ended: threading.Event) -> None:
    sys.stdin.read()
    ended.set()


def random_order(rng: Random, stock_id: str, buyer: int, seller: int) -> Any:
    """Three of ten cross the middle, and trade with what they find there."""
    sign, user_id, side = rng.choice([(-1, buyer, "buy"), (1, seller, "sell")])
    distance = -3 if rng.random() < 0.3 else rng.randint(1, SPREAD)
    return order(user_id, stock_id, side, rng.randint(1, 9), MIDDLE + sign * distance * STEP)


def cancel_if_open(engine: Any, order_id: Any) -> None:
    from users.exceptions import Refusal

    try:
        engine.cancel_order(UUID(order_id))
    except Refusal:
        # It was filled.
        return


def traders_of(stock_id: str) -> tuple[int, int]:
    from users.models import User

    buyer, seller = (User.objects.get(username=f"{name}-{stock_id}").pk for name in ("buyer", "seller"))
    return buyer, seller


def order(user_id: int, stock_id: str, side: str, quantity: int = 1, price: int = MIDDLE) -> Any:
    from trade.services.order_rules import NewOrder

    return NewOrder(
        user_id=user_id, stock_id=stock_id, side=side, type="limit", quantity=quantity, price=price
    )


if __name__ == "__main__":
    os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")
    django.setup()
    command, *arguments = sys.argv[1:]
    if command == "list":
        list_stocks(*arguments)
    elif command == "trade":
        trade(arguments[0], int(arguments[1]), int(arguments[2]))
    else:
        churn(int(arguments[0]), *arguments[1:])
