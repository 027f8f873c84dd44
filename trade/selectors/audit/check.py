"""What a check of the audit is."""

from collections.abc import Callable
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Check:
    """A promise, and the SELECT that finds the rows which break it.

    `rows` is the table (with a WHERE if need be) whose rows the promise is about, `rows_word` how to call
    them. `offenders` is SQL for every database, or a function that writes it for the one in use.
    """

    name: str
    promise: str
    rows: str
    rows_word: str
    offenders: str | Callable[[], str]

    def offenders_sql(self) -> str:
        return self.offenders if isinstance(self.offenders, str) else self.offenders()


# Orders that hold something: what is still open of them is paid for.
OPEN = "remaining_quantity > 0"
# Orders that have entered the market and wait there.
WAITING = "remaining_quantity > 0 AND status <> 'PENDING'"
