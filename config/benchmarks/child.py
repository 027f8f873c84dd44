"""One benchmark, in this process, on the database and the broker that the settings name.

    python -m config.benchmarks.child '{"run": "trade.benchmarks.matcher.run", "options": {}, ...}'

Its bar goes to the terminal, its figures into a file: see `Task`.
"""

import json
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import asdict, dataclass
from pathlib import Path

import django
from django.core.management import call_command
from django.db import connection
from django.utils.module_loading import import_string
from tqdm import tqdm

from stocks.benchmarks.figures import Advance, Figure


class Recorder:
    """A `Bench` that shows a bar and keeps the figures."""

    def __init__(self, name: str) -> None:
        self._name = name
        self.figures: list[Figure] = []

    @contextmanager
    def part(self, title: str, total: int) -> Iterator[Advance]:
        # `disable=None`: no bar where nobody watches.
        with tqdm(total=total, desc=f"{self._name}: {title}", disable=None, leave=False) as bar:
            yield bar.update

    def add(self, figure: Figure) -> None:
        self.figures.append(figure)


@dataclass(frozen=True, slots=True)
class Task:
    """What to run, and where to write its figures."""

    name: str
    run: str
    options: Mapping[str, int]
    uses_database: bool
    report: str


def main(task: Task) -> None:
    django.setup()
    if task.uses_database:
        call_command("migrate", verbosity=0)
    recorder = Recorder(task.name)
    import_string(task.run)(recorder, **task.options)
    written = {
        "database": database_version() if task.uses_database else "",
        "figures": [asdict(figure) for figure in recorder.figures],
    }
    Path(task.report).write_text(json.dumps(written))


def database_version() -> str:
    with connection.cursor() as cursor:
        if connection.vendor == "sqlite":
            cursor.execute("SELECT 'SQLite ' || sqlite_version()")
        else:
            cursor.execute("SELECT 'PostgreSQL ' || split_part(current_setting('server_version'), ' ', 1)")
        return cursor.fetchone()[0]


if __name__ == "__main__":
    main(Task(**json.loads(sys.argv[1])))
