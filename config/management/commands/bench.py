"""`manage.py bench`: every figure that is claimed, each beside its limit, measured here and now."""

import json
from argparse import ArgumentParser
from pathlib import Path
from typing import Any

from django.conf import settings
from django.core.management.base import BaseCommand, CommandError
from django.utils import timezone

from config.benchmarks.catalogue import BENCHMARKS, BY_NAME, Benchmark
from config.benchmarks.report import Report, machine_facts, table
from config.benchmarks.running import EMBEDDED, databases_of, run_apart
from config.testing.runner import interrupted_in_one_line


class Command(BaseCommand):
    help = (
        "Measures this machine's market, each figure beside its limit, on throw-away servers with a scratch "
        "database; the market of this checkout is left alone. Prints a table and writes a JSON file."
    )
    requires_system_checks: list[str] = []

    def add_arguments(self, parser: ArgumentParser) -> None:
        parser.add_argument("names", nargs="*", metavar="benchmark", help=f"any of: {', '.join(BY_NAME)}")
        parser.add_argument("--quick", action="store_true", help="Small runs: they show that it works.")
        parser.add_argument(
            "--json",
            dest="file",
            type=Path,
            default=settings.DATA_DIR / "bench.json",
            help="Where to write the figures.",
        )

    def handle(self, *_args: Any, names: list[str], quick: bool, file: Path, **_options: Any) -> None:
        chosen = chosen_benchmarks(names)
        facts = {"at": timezone.now().isoformat(), "quick": quick, **machine_facts()}
        reports: list[Report] = []
        with interrupted_in_one_line("The benchmarks were interrupted."):
            for benchmark in chosen:
                for database in self._databases(benchmark):
                    reports.append(run_apart(benchmark, database, quick=quick))
                    self._show(reports[-1])
                    # After each: what was measured is kept when the next is interrupted.
                    write_json(file, facts, reports)
        self.stdout.write(f"\nWritten to {file}.")
        if failed := [report.title for report in reports if report.problem]:
            raise CommandError(f"Not to be trusted: {', '.join(failed)}.", returncode=1)

    def _databases(self, benchmark: Benchmark) -> tuple[str, ...]:
        here = databases_of(benchmark)
        for name in set(benchmark.databases).difference(here):
            self.stdout.write(f"{benchmark.name}: {name} was not found; measured on {' and '.join(here)}.")
        return here

    def _show(self, report: Report) -> None:
        self.stdout.write(f"\n{report.title} ({report.seconds:.0f} s)")
        if report.broker == EMBEDDED:
            self.stdout.write("mosquitto was not found: the embedded broker took its place.")
        for line in table(report.figures):
            self.stdout.write(line)
        if report.problem:
            self.stdout.write(self.style.ERROR(f"{report.title}: {report.problem}."))
        self.stdout.flush()


def chosen_benchmarks(names: list[str]) -> list[Benchmark]:
    """Those named, or all, in the order of the catalogue."""
    if unknown := [name for name in names if name not in BY_NAME]:
        raise CommandError(f"There is no benchmark {', '.join(unknown)}; there are: {', '.join(BY_NAME)}.")
    return [benchmark for benchmark in BENCHMARKS if not names or benchmark.name in names]


def write_json(path: Path, facts: dict[str, Any], reports: list[Report]) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    text = json.dumps({**facts, "reports": [report.as_dict() for report in reports]}, indent=2)
    path.write_text(text + "\n")
