"""Books of any size, written straight into the tables as the engine would have left them."""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from datetime import UTC, datetime
from itertools import islice
from typing import TypeVar

from django.db import connection, transaction

from stocks.benchmarks.figures import Advance
from stocks.models import Stock
from trade.models import Order, OrderEvent
from users.fields import SCALE
from users.models import CashAccount, LedgerEntry, User
from users.rows import insert_rows

NOON = datetime(2024, 5, 6, 12, 0, tzinfo=UTC)
CHUNK = 20_000
QUANTITY = 10
# Bids rest at this many prices, a cent apart, below TOP_PRICE.
LEVELS = 1_000
TOP_PRICE = 100 * SCALE
INCREMENT = SCALE // 100
# What each user has: more than any of them holds.
BALANCE = 10**14

Item = TypeVar("Item")

_ORDER_COLUMNS = (
    *("order_id", "user_id", "stock_id", "side", "type", "time_in_force", "quantity", "price", "post_only"),
    *("self_trade_prevention", "maker_fee_bps", "taker_fee_bps", "limit_price", "status", "reason"),
    *("remaining_quantity", "traded_quantity", "traded_value", "is_stopped", "shown_quantity", "priority"),
    *("sequence", "created_at", "updated_at"),
)
_EVENT_COLUMNS = (
    *("stock_id", "sequence", "kind", "order_id", "quantity", "price", "reason", "ahead_quantity"),
    *("ahead_orders", "occurred_at"),
)
_USER_COLUMNS = (
    *("username", "password", "email", "first_name", "last_name", "is_active", "is_staff", "is_superuser"),
    "date_joined",
)


def make_users(count: int) -> list[int]:
    """Users with cash and without a password; their ids, in order."""
    names = [f"bench-{number}" for number in range(count)]
    for some in _chunks(names):
        insert_rows(User, _USER_COLUMNS, [(name, "!", "", "", "", True, False, False, NOON) for name in some])
    user_ids = list(User.objects.order_by("pk").values_list("pk", flat=True))
    for ids in _chunks(user_ids):
        insert_rows(
            CashAccount,
            ["user_id", "balance", "reserved", "unsettled"],
            [(user_id, BALANCE, 0, 0) for user_id in ids],
        )
        insert_rows(
            LedgerEntry,
            ["account_id", "kind", "amount", "balance_after", "reference", "created_at"],
            [(user_id, "deposit", BALANCE, BALANCE, "", NOON) for user_id in ids],
        )
    return user_ids


def fill_book(stock_id: str, count: int, user_ids: Sequence[int], advance: Advance) -> None:
    """A stock with `count` resting bids of these users in turn, and the cash held for them."""
    Stock.objects.create(stock_id=stock_id, name=stock_id, sequence=count)
    mark = Stock.objects.count()
    held: Counter[int] = Counter()
    for numbers in _chunks(range(1, count + 1)):
        orders, events = [], []
        for number in numbers:
            user_id = user_ids[number % len(user_ids)]
            price = price_of(number)
            held[user_id] += QUANTITY * price
            ahead = (number - 1) // LEVELS
            order_id = f"{mark << 64 | number:032x}"
            request = (order_id, user_id, stock_id, "buy", "limit", "gtc", QUANTITY, price, False)
            state = ("ACTIVE", "", QUANTITY, 0, 0, False, 0, number, number, NOON, NOON)
            orders.append((*request, "expire_taker", 0, 0, price, *state))
            entered = (stock_id, number, "entered", order_id, QUANTITY, price, "")
            events.append((*entered, ahead * QUANTITY, ahead, NOON))
        insert_rows(Order, _ORDER_COLUMNS, orders)
        insert_rows(OrderEvent, _EVENT_COLUMNS, events)
        advance(len(orders))
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.executemany(
            "UPDATE users_cashaccount SET reserved = reserved + %s WHERE user_id = %s",
            [(amount, user_id) for user_id, amount in held.items()],
        )


def price_of(number: int) -> int:
    """The price of the order of this number: level after level, the best first."""
    return TOP_PRICE - INCREMENT * ((number - 1) % LEVELS)


def settle_down() -> None:
    """What autovacuum does in a database that lives longer. On SQLite nobody does it."""
    with connection.cursor() as cursor:
        cursor.execute("VACUUM ANALYZE" if connection.vendor == "postgresql" else "ANALYZE")


def _chunks(items: Iterable[Item]) -> Iterator[list[Item]]:
    iterator = iter(items)
    while chunk := list(islice(iterator, CHUNK)):
        yield chunk
