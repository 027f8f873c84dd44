"""`manage.py close_trading_day`: end what is good for the day only. By hand, or from cron when the market closes."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from stocks.selectors import listed_stocks
from trade.engine import get_engine


class Command(BaseCommand):
    help = "Expires the open day orders of all stocks. To run it again does no harm."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument(
            "--stock", action="append", default=[], metavar="ID", help="Of this stock only; several allowed."
        )

    def handle(self, *_args: Any, stock: list[str], **_options: Any) -> None:
        listed = list(listed_stocks().values_list("stock_id", flat=True))
        if unknown := sorted(set(stock) - set(listed)):
            raise CommandError(f"There is no stock {', '.join(unknown)}.")
        engine = get_engine()
        try:
            ended = sum(
                engine.expire_day_orders(stock_id) for stock_id in listed if not stock or stock_id in stock
            )
        finally:
            engine.stop()
        self.stdout.write(f"{ended:,} day order{'' if ended == 1 else 's'} expired.")
