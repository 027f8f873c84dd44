from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import DatabaseError
from django.utils import timezone

from market_feed.sources.feeder import feed
from market_feed.sources.invented import invented_stocks
from market_feed.sources.listed import listed_stocks
from market_feed.sources.outlet import BrokerAway, connected_outlet
from market_feed.sources.synthetic import SyntheticStock, synthetic_ticks
from market_feed.stopping import stop_on_signals


class Command(BaseCommand):
    help = (
        "Send the prices of a market that does not exist to the feed's topic: of the stocks that are listed, "
        "from their last prices on, or of invented ones."
    )

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--seed", type=int, default=None, help="the same seed, the same prices")
        parser.add_argument(
            "--stocks", type=int, default=None, help="so many invented stocks, not those listed"
        )
        parser.add_argument("--rate", type=float, default=10.0, help="ticks a second, all stocks together")
        parser.add_argument("--duration", type=float, default=None, help="seconds; without it until stopped")
        parser.add_argument("--mqtt-url", default=settings.MQTT_URL)
        parser.add_argument("--topic", default=settings.MQTT_FEED_TOPIC)

    def handle(self, *args: Any, **options: Any) -> None:
        if options["rate"] <= 0:
            raise CommandError("--rate is more than 0")
        if options["stocks"] is not None and options["stocks"] < 1:
            raise CommandError("--stocks is 1 or more")
        now = timezone.now()
        stocks = invented_stocks(options["stocks"]) if options["stocks"] else self._listed_stocks()
        seed = options["seed"] if options["seed"] is not None else int(now.timestamp())
        ticks = synthetic_ticks(stocks or invented_stocks(12), seed=seed, rate=options["rate"], start=now)
        try:
            with stop_on_signals() as stop, connected_outlet(options["mqtt_url"], "prices") as outlet:
                report = feed(
                    ticks,
                    outlet,
                    topic=options["topic"],
                    stop=stop,
                    duration_s=options["duration"],
                )
        except BrokerAway as error:
            raise CommandError(str(error)) from None
        self.stdout.write(
            f"{report.sent:,} ticks in {report.seconds:.1f} s, {report.rate:,.0f}/s, seed {seed}"
        )

    def _listed_stocks(self) -> list[SyntheticStock]:
        try:
            return listed_stocks()
        except DatabaseError as error:
            raise CommandError(f"the stocks cannot be read, give --stocks: {error}".strip()) from None
