"""What a benchmark reports: figures, each beside its limit, measured in the same run.

A benchmark is a function `run(bench: Bench, ...)`. It announces its parts, so that whoever waits sees a bar move,
and adds figures as it has them. `manage.py bench` prints and stores them.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Protocol

Advance = Callable[[int], object]


@dataclass(frozen=True, slots=True)
class Figure:
    """One measured figure and what it is held against.

    `beside` names the limit, of which `limit` is the figure in the same unit and run. `least` (or `most`, where
    less is better) is the ratio figure / limit that is asked for; None: nothing is asked.
    """

    name: str
    value: float
    unit: str
    beside: str = ""
    limit: float | None = None
    least: float | None = None
    most: float | None = None
    note: str = ""

    @property
    def ratio(self) -> float | None:
        """How much of the limit was reached; None without a limit."""
        return self.value / self.limit if self.limit else None

    @property
    def reached(self) -> bool | None:
        """Whether the goal was reached; None when there is none."""
        if self.ratio is None or (self.least is None and self.most is None):
            return None
        return (self.least is None or self.ratio >= self.least) and (
            self.most is None or self.ratio <= self.most
        )


class Bench(Protocol):
    """Where a benchmark reports to."""

    def part(self, title: str, total: int) -> AbstractContextManager[Advance]:
        """A part of so many operations; inside, `advance(count)` moves its bar."""

    def add(self, figure: Figure) -> None: ...
