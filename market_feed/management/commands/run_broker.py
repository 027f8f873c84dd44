from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser

from market_feed.broker import BrokerFailed, EmbeddedBroker
from market_feed.stopping import stop_on_signals


class Command(BaseCommand):
    help = "Run the embedded MQTT broker on this machine alone. For trying out; it keeps nothing."
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument("--port", type=int, default=1883, help="0 takes a free one (default: 1883)")

    def handle(self, *args: Any, **options: Any) -> None:
        broker = EmbeddedBroker(options["port"])
        with stop_on_signals() as stop:
            try:
                broker.start()
            except BrokerFailed as error:
                raise CommandError(str(error)) from None
            self.stdout.write(f"broker at {broker.url}")
            self.stdout.flush()
            while broker.is_alive and not stop.wait(0.5):
                pass
            broker.stop()
