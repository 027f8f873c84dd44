import sys
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.utils import timezone
from tqdm import tqdm

from market_feed.sources.feeder import feed
from market_feed.sources.outlet import BrokerAway, connected_outlet
from market_feed.sources.replay import BadTickFile, count_ticks, replay_ticks
from market_feed.stopping import stop_on_signals


class Command(BaseCommand):
    help = "Send recorded ticks, CSV or JSON lines, plain or .gz, to the feed's topic."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("file", type=Path)
        parser.add_argument(
            "--speed", type=float, default=1.0, help="1 real time, 10 ten times it, 0 flat out"
        )
        parser.add_argument("--flat-out", action="store_const", const=0.0, dest="speed", help="as --speed 0")
        parser.add_argument("--restamp", action="store_true", help="move all times: the first tick is now")
        parser.add_argument("--mqtt-url", default=settings.MQTT_URL)
        parser.add_argument("--topic", default=settings.MQTT_FEED_TOPIC)

    def handle(self, *args: Any, **options: Any) -> None:
        path: Path = options["file"]
        if options["speed"] < 0:
            raise CommandError("--speed is 0 or more")
        try:
            with stop_on_signals() as stop:
                total = count_ticks(path)
                with (
                    connected_outlet(options["mqtt_url"], "replay") as outlet,
                    tqdm(total=total, unit="tick", disable=None, file=sys.stderr, leave=False) as bar,
                ):
                    report = feed(
                        replay_ticks(path),
                        outlet,
                        topic=options["topic"],
                        stop=stop,
                        speed=options["speed"],
                        restamp_to=timezone.now() if options["restamp"] else None,
                        on_sent=bar.update,
                    )
        except (BadTickFile, BrokerAway) as error:
            raise CommandError(str(error)) from None
        self.stdout.write(f"{report.sent:,} ticks in {report.seconds:.1f} s, {report.rate:,.0f}/s")
        if not report.is_delivered and not stop.is_set():
            raise CommandError("the broker has not acknowledged all of them")
