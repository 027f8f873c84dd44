"""`manage.py settle_trades`: settle what waits for it. By hand, or from cron once a day.

Each batch is a commit of its own: stopped at any moment, the next run goes on where this one ended. It may
run beside the market, and beside another one of itself.
"""

from argparse import ArgumentParser
from datetime import datetime
from typing import Any

from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone
from rest_framework.exceptions import ValidationError

from stocks.selectors import listed_stocks
from trade.selectors.trades import stocks_with_unsettled_trades
from trade.services.deferred import settle_trades
from users.inputs import MomentField


class Command(BaseCommand):
    help = "Settles the trades whose settlement was deferred. To run it again does no harm."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--stock", action="append", default=[], metavar="ID", help="Of this stock only; several allowed."
        )
        parser.add_argument(
            "--before",
            metavar="TIME",
            help="Only trades executed before this time, in UTC if it names no zone. Default: now.",
        )

    def handle(self, *_args: Any, stock: list[str], before: str | None, **_options: Any) -> None:
        listed = set(listed_stocks().values_list("stock_id", flat=True))
        if unknown := sorted(set(stock) - listed):
            raise CommandError(f"There is no stock {', '.join(unknown)}.")
        # With an end: a market may trade faster than this settles.
        executed_before = timezone.now() if before is None else _moment(before)
        settled = sum(
            _settle_stock(stock_id, executed_before)
            for stock_id in stocks_with_unsettled_trades()
            if not stock or stock_id in stock
        )
        self.stdout.write(f"{settled:,} trade{'' if settled == 1 else 's'} settled.")


def _settle_stock(stock_id: str, executed_before: datetime) -> int:
    settled = 0
    while count := settle_trades(stock_id=stock_id, executed_before=executed_before, now=timezone.now()):
        settled += count
    return settled


def _moment(text: str) -> datetime:
    try:
        return MomentField().to_internal_value(text)
    except ValidationError as error:
        raise CommandError(f"--before: {' '.join(str(word) for word in error.args[0])}") from error
