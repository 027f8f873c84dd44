"""manage.py serve: the pages, the REST API and the live streams of one web process."""

from argparse import ArgumentParser
from typing import Any

from django.core.management.base import BaseCommand, CommandError

from config.serving import run_server


class Command(BaseCommand):
    help = "Serves the market over HTTP and WebSockets until SIGTERM or SIGINT."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to listen on (default: 127.0.0.1)")
        parser.add_argument(
            "--port", type=int, default=8000, help="TCP port; 0 takes a free one (default: 8000)"
        )

    def handle(self, *args: Any, host: str, port: int, **options: Any) -> None:
        if not 0 <= port <= 65_535:
            raise CommandError("--port must be between 0 and 65535.")
        run_server(host, port)
