"""What a run of benchmarks came to: as a table for people, as JSON for machines."""

import os
import platform
from collections.abc import Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import django

from stocks.benchmarks.figures import Figure

HEADINGS = ("figure", "value", "beside", "limit", "ratio", "goal", "reached")
LEFT = {0, 2}


@dataclass(frozen=True, slots=True)
class Report:
    """One benchmark on one database. `problem` says why its figures are not to be trusted, or missing."""

    benchmark: str
    database: str = ""
    broker: str = ""
    seconds: float = 0.0
    figures: tuple[Figure, ...] = ()
    problem: str = ""

    @property
    def title(self) -> str:
        where = " and ".join(filter(None, (self.database, self.broker)))
        return f"{self.benchmark} on {where}" if where else self.benchmark

    def as_dict(self) -> dict[str, Any]:
        derived = [
            asdict(figure) | {"ratio": figure.ratio, "reached": figure.reached} for figure in self.figures
        ]
        return asdict(self) | {"figures": derived}


def machine_facts() -> dict[str, Any]:
    """What a figure depends on and does not say."""
    return {
        "processor": _processor(),
        "cores": os.cpu_count(),
        "memory_gib": round(os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1),
        "load": [round(load, 2) for load in os.getloadavg()],
        "system": platform.platform(),
        "python": f"{platform.python_implementation()} {platform.python_version()}",
        "django": django.get_version(),
    }


def _processor() -> str:
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
    except OSError:
        return platform.processor()
    names = [line.partition(":")[2].strip() for line in lines if line.startswith("model name")]
    return names[0] if names else platform.processor()


def table(figures: Sequence[Figure]) -> Iterator[str]:
    """The lines of a table, a figure's note below it."""
    rows = [_row(figure) for figure in figures]
    widths = [max(map(len, column)) for column in zip(HEADINGS, *rows, strict=True)]
    yield _line(HEADINGS, widths)
    for figure, row in zip(figures, rows, strict=True):
        yield _line(row, widths)
        if figure.note:
            yield f"    {figure.note}"


def _line(cells: Sequence[str], widths: Sequence[int]) -> str:
    padded = (
        cell.ljust(width) if number in LEFT else cell.rjust(width)
        for number, (cell, width) in enumerate(zip(cells, widths, strict=True))
    )
    return "  ".join(padded).rstrip()


def _row(figure: Figure) -> tuple[str, ...]:
    has_limit = figure.limit is not None
    return (
        figure.name,
        f"{number(figure.value)} {figure.unit}",
        figure.beside,
        f"{number(figure.limit)} {figure.unit}" if figure.limit is not None else "",
        f"{figure.ratio:.2f}" if has_limit and figure.ratio is not None else "",
        _goal(figure),
        {True: "yes", False: "NO", None: ""}[figure.reached],
    )


def _goal(figure: Figure) -> str:
    bounds = [(">=", figure.least), ("<=", figure.most)]
    return " ".join(f"{sign} {bound:.2f}" for sign, bound in bounds if bound is not None)


def number(value: float) -> str:
    """Three significant digits at least, and no more decimals than they need."""
    decimals = 0 if abs(value) >= 100 else 1 if abs(value) >= 10 else 2 if abs(value) >= 1 else 3
    return f"{value:,.{decimals}f}"
