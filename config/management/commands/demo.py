"""manage.py demo: a market that lives, in one process, on a fresh machine."""

import fcntl
import logging
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management import call_command
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.db.migrations.executor import MigrationExecutor
from django.utils import timezone

from config.demo import cast
from config.demo.runner import Demo, DemoOptions, is_free
from config.demo.world import NotADemo, World, make_world, ready_token
from config.serving import run_server
from market_feed.broker import BrokerFailed
from market_feed.link import BadBrokerUrl


class Command(BaseCommand):
    help = "Runs a whole market in this process: database, broker, prices, house bots and web server."

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--host", default="127.0.0.1", help="address to serve on (default: 127.0.0.1)")
        parser.add_argument("--port", type=int, default=8000, help="port to serve on (default: 8000)")
        parser.add_argument(
            "--seed", type=int, default=1, help="what prices and bots are drawn from (default: 1)"
        )
        parser.add_argument("--reset", action="store_true", help="delete the SQLite database and start anew")
        parser.add_argument("--no-bots", action="store_true", help="leave the books to people")
        parser.add_argument(
            "--bot-rate", type=float, default=30.0, help="orders a second of all bots (default: 30)"
        )
        parser.add_argument(
            "--no-prices", action="store_true", help="no invented prices: bring your own feed"
        )
        parser.add_argument(
            "--tick-rate", type=float, default=12.0, help="prices a second, all stocks (default: 12)"
        )
        parser.add_argument(
            "--broker", default="", help="mqtt://host:port to use instead of the embedded broker"
        )

    def handle(self, *args: Any, **options: Any) -> None:
        check(options)
        # Setting up the web application sets up logging anew: before it is turned down.
        import config.asgi  # noqa: F401

        if options["verbosity"] < 2:
            # The terminal is for the reader; -v 2 shows what the parts say.
            logging.getLogger().setLevel(logging.WARNING)
        with alone(settings.DATA_DIR):
            if options["reset"]:
                self.reset()
            migrate()
            try:
                world = make_world(now=timezone.now())
            except NotADemo as error:
                raise CommandError(f"{error}: it stays as it is. Set DATABASE_URL to another one.") from None
            self.tell_passwords(world)
            self.serve(world, options)

    def reset(self) -> None:
        """Delete the database file."""
        if connection.vendor != "sqlite":
            raise CommandError("--reset deletes a SQLite file; this database is on a server.")
        connection.close()
        path = Path(settings.DATABASES["default"]["NAME"])
        for name in (path, path.with_name(f"{path.name}-wal"), path.with_name(f"{path.name}-shm")):
            name.unlink(missing_ok=True)
        self.stdout.write(f"Deleted {path}.")

    def tell_passwords(self, world: World) -> None:
        if world.passwords:
            self.stdout.write("\nPasswords, shown this once (manage.py changepassword NAME sets another):")
            for name, password in world.passwords.items():
                self.stdout.write(f"    {name:8} {password}")

    def serve(self, world: World, options: dict[str, Any]) -> None:
        demo = Demo(
            world,
            DemoOptions(
                seed=options["seed"],
                bots=not options["no_bots"],
                orders_per_second=options["bot_rate"],
                prices=not options["no_prices"],
                ticks_per_second=options["tick_rate"],
                broker_url=options["broker"],
            ),
        )
        try:
            demo.start()
        except (BadBrokerUrl, BrokerFailed) as error:
            raise CommandError(str(error)) from None
        token = ready_token(user_id=world.user_ids[cast.TRADERS[0]])

        def stop() -> None:
            self.stdout.write("\nStopping ...")
            demo.stop()

        run_server(
            options["host"],
            options["port"],
            on_start=lambda url: self.tell_where_to_look(url, demo.broker_url, token),
            on_stop=stop,
        )
        self.stdout.write("Stopped. The same command goes on from here.")

    def tell_where_to_look(self, url: str, broker_url: str, token: str) -> None:
        stock = cast.STOCKS[0].stock_id
        lines = (
            "",
            f"The market is open:   {url}",
            f"API documentation:    {url}api/docs/",
            f"Admin:                {url}admin/   as {cast.STAFF}",
            f"Prices in, news out:  {broker_url}   topics market/#",
            "",
            f"Buy 10 {stock} as {cast.TRADERS[0]} (this token lives a day):",
            f"    curl -H 'Authorization: Token {token}' \\",
            f"        -d 'stock_id={stock}&side=buy&type=market&quantity=10' {url}api/orders/",
            "",
            "Ctrl-C ends it; nothing is lost.",
        )
        self.stdout.write("\n".join(lines))
        self.stdout.flush()


def check(options: dict[str, Any]) -> None:
    """What can be said before anything is started."""
    host, port = options["host"], options["port"]
    if not 0 <= port <= 65_535:
        raise CommandError("--port must be between 0 and 65535.")
    for name in ("bot_rate", "tick_rate"):
        if not 0 < options[name] <= 1000:
            raise CommandError(f"--{name.replace('_', '-')} must be above 0 and at most 1000.")
    if port and not is_free(host, port):
        raise CommandError(
            f"Cannot serve on {host}:{port}: somebody else does. Try --port {port + 1}, or 0 for any."
        )


@contextmanager
def alone(folder: Path) -> Iterator[None]:
    """Hold the folder's demo lock; the kernel frees it with the process. CommandError when another has it."""
    folder.mkdir(parents=True, exist_ok=True)
    with (folder / "demo.lock").open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise CommandError(f"A demo is running on {folder} already.") from None
        yield


def migrate() -> None:
    """Bring the database up to date; quick when it is."""
    executor = MigrationExecutor(connection)
    if executor.migration_plan(executor.loader.graph.leaf_nodes()):
        call_command("migrate", interactive=False, verbosity=0)
