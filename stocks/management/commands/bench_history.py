"""Time looking at a stock with a million ticks, in a database made for it and dropped afterwards."""

import tempfile
import time
from argparse import ArgumentParser
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.db import connection
from django.test.utils import override_settings

from stocks.benchmarks import history

GOAL_MS = 50.0


class Command(BaseCommand):
    help = __doc__ or ""

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("--ticks", type=int, default=1_000_000)
        parser.add_argument("--every-s", type=float, default=1.0, help="Seconds from one tick to the next.")
        parser.add_argument("--rounds", type=int, default=50)

    def handle(self, *, ticks: int, every_s: float, rounds: int, **_: Any) -> None:
        with scratch_database(), override_settings(ALLOWED_HOSTS=["testserver"]):
            started = time.perf_counter()
            last = history.load(ticks, every=timedelta(seconds=every_s))
            self.stdout.write(
                f"{connection.vendor}: {ticks:,} ticks over {(last - history.START).days} days, "
                f"loaded in {time.perf_counter() - started:.0f} s"
            )
            timings = history.measure(last, rounds=rounds)
        self.stdout.write(f"{'GET':<28}{'median ms':>10}{'slowest ms':>12}")
        for timing in timings:
            self.stdout.write(f"{timing.name:<28}{timing.median_ms:>10.2f}{timing.slowest_ms:>12.2f}")
        slow = [timing.name for timing in timings if timing.median_ms > GOAL_MS]
        if slow:
            raise CommandError(f"Slower than {GOAL_MS:.0f} ms: {', '.join(slow)}")


@contextmanager
def scratch_database() -> Iterator[None]:
    """A migrated test database beside the one of the settings, on the same server."""
    with tempfile.TemporaryDirectory(prefix="bourse-bench-") as folder:
        if connection.vendor == "sqlite":
            connection.settings_dict["TEST"]["NAME"] = str(Path(folder) / "bench.sqlite3")
        before = settings.DATABASES["default"]["NAME"]
        connection.creation.create_test_db(verbosity=0, autoclobber=True, serialize=False)
        try:
            yield
        finally:
            connection.creation.destroy_test_db(before, verbosity=0)
