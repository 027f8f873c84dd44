"""Benchmarks that measure nothing, for the tests of what runs benchmarks."""

from django.conf import settings
from django.db import connection

from stocks.benchmarks.figures import Bench, Figure
from stocks.models import Stock
from users.models import CashAccount, User


def look_around(bench: Bench, *, rounds: int = 3) -> None:
    """Tells of the options and the database it was given."""
    with bench.part("looking", rounds) as advance:
        advance(rounds)
    bench.add(
        Figure("rounds", rounds, "times", beside="the most", limit=10, most=0.5, note="three are enough")
    )
    bench.add(Figure(f"stocks in {connection.vendor}", Stock.objects.count(), "stocks"))


def ask_the_broker(bench: Bench) -> None:
    bench.add(Figure(settings.MQTT_URL.partition(":")[0], 1, "broker"))


def lose_money(bench: Bench) -> None:
    """Leaves an account that no ledger accounts for."""
    CashAccount.objects.create(user=User.objects.create(username="ann"), balance=1)
    bench.add(Figure("money lost", 1, "coin"))


def fail(bench: Bench) -> None:
    raise ValueError("no figure today")
