import json
import platform
from pathlib import Path
from typing import Any

from django.core.management.base import BaseCommand, CommandError, CommandParser
from django.db import connection
from django.utils import timezone
from tqdm import tqdm

from market_feed.benchmarks.feed import BenchmarkFailed, NotOurDatabase, Options, Progress, run
from market_feed.link import BadBrokerUrl


class Command(BaseCommand):
    help = "Measure the feed beside the bare pipeline, on the settings' broker and (empty) database."

    def add_arguments(self, parser: CommandParser) -> None:
        for name in ("ticks", "filling_ticks", "orders", "stocks", "window"):
            default = getattr(Options(), name)
            parser.add_argument(f"--{name.replace('_', '-')}", type=int, default=default)
        parser.add_argument("--json", type=Path, help="write the results to this file, too")

    def handle(self, *args: Any, **options: Any) -> None:
        chosen = Options(**{name: options[name] for name in Options.__dataclass_fields__})
        results = []
        row = "{:<10} {:>9} {:>9} {:>11} {:>12} {:>8} {:>7}"
        self.stdout.write(row.format("part", "ticks", "seconds", "ticks/s", "cpu us/tick", "trades", "ratio"))
        try:
            for result in run(chosen, _progress):
                results.append(result.as_dict())
                self.stdout.write(row.format(*result.as_dict().values()))
                self.stdout.flush()
        except (NotOurDatabase, BenchmarkFailed, BadBrokerUrl, OSError) as error:
            raise CommandError(str(error)) from None
        if options["json"]:
            report = {
                "at": timezone.now().isoformat(),
                "database": connection.vendor,
                "python": platform.python_version(),
                "options": {name: options[name] for name in Options.__dataclass_fields__},
                "results": results,
            }
            options["json"].write_text(json.dumps(report, indent=2) + "\n")


def _progress(part: str, ticks: int) -> Progress:
    bar = tqdm(total=ticks, desc=part, unit="tick", disable=None, leave=False)

    def update(count: int) -> None:
        bar.update(count)
        if bar.n >= ticks:
            bar.close()

    return update
