"""What the commands that run one role for ever have in common."""

from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from prometheus_client import start_http_server

from market_feed.link import BadBrokerUrl
from market_feed.roles import Role
from market_feed.stopping import stop_on_signals


class RoleCommand(BaseCommand):
    """Runs a role until SIGTERM or Ctrl-C."""

    def make_role(self) -> Role:
        raise NotImplementedError

    def clean_up(self) -> None:
        """What else ends when the role has stopped."""

    def add_arguments(self, parser: CommandParser) -> None:
        parser.add_argument(
            "--metrics-port", type=int, default=0, help="serve Prometheus metrics on this port"
        )
        parser.add_argument("--metrics-host", default="127.0.0.1", help="and on this address")

    def handle(self, *args: Any, **options: Any) -> None:
        try:
            with stop_on_signals() as stop:
                role = self._make_role(options)
                role.start()
                while role.is_alive and not stop.wait(0.5):
                    pass
                ended_by_itself = not role.is_alive
                role.stop()
        finally:
            self.clean_up()
        if ended_by_itself:
            raise CommandError(f"{role.name} ended by itself, see the log")

    def _make_role(self, options: dict[str, Any]) -> Role:
        try:
            role = self.make_role()
            if options["metrics_port"]:
                start_http_server(options["metrics_port"], addr=options["metrics_host"])
        except (BadBrokerUrl, OSError) as error:
            raise CommandError(str(error)) from None
        return role
