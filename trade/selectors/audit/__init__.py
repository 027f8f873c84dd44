"""The audit: proof, on live data, that no money and no share was lost, made or held twice.

Everything is read in ONE snapshot of the database, so the market goes on meanwhile and what is compared
belongs together. Each check is one statement over whole tables: it returns the rows that break a promise,
and there must be none. Nothing here trusts the code that wrote the rows, only the rows themselves: the
ledger is held against the trades, the orders against the events, the book against the orders.

Amounts in what a finding names are units (ten-thousandths of the currency), as they are stored.
"""

import time
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any
from uuid import UUID

from django.db import connection

from trade.selectors.audit.candles import CANDLE_CHECKS
from trade.selectors.audit.cash import CASH_CHECKS
from trade.selectors.audit.check import Check
from trade.selectors.audit.feed import FEED_CHECKS
from trade.selectors.audit.orders import ORDER_CHECKS
from trade.selectors.audit.shares import SHARE_CHECKS
from trade.selectors.audit.snapshot import read_snapshot

CHECKS: tuple[Check, ...] = (*CASH_CHECKS, *SHARE_CHECKS, *ORDER_CHECKS, *FEED_CHECKS, *CANDLE_CHECKS)
# Offenders named per check: enough to start looking, few enough to read.
MAX_OFFENDERS = 5


@dataclass(frozen=True, slots=True)
class Finding:
    """What one check came to: how many rows it looked at, and the first that break its promise."""

    name: str
    promise: str
    rows: str
    checked: int
    offenders: tuple[str, ...]
    seconds: float

    @property
    def holds(self) -> bool:
        return not self.offenders

    def __str__(self) -> str:
        return f"{self.name}: {'; '.join(self.offenders) or 'holds'}"


def run_audit() -> list[Finding]:
    """Every check, all in one snapshot."""
    return list(audit_step_by_step())


def audit_step_by_step() -> Iterator[Finding]:
    """As `run_audit`, each finding as soon as it is there; the snapshot stays open between them."""
    with read_snapshot():
        for check in CHECKS:
            yield _run(check)


def _run(check: Check) -> Finding:
    started = time.perf_counter()
    with connection.cursor() as cursor:
        cursor.execute(f"SELECT COUNT(*) FROM {check.rows}")
        (checked,) = cursor.fetchone()
        cursor.execute(f"SELECT * FROM ({check.offenders_sql()}) AS offenders LIMIT {MAX_OFFENDERS}")
        names = [column[0] for column in cursor.description]
        offenders = tuple(_named(names, row) for row in cursor.fetchall())
    return Finding(
        check.name, check.promise, check.rows_word, checked, offenders, time.perf_counter() - started
    )


def _named(names: list[str], row: tuple[Any, ...]) -> str:
    return " ".join(f"{name}={_text(name, value)}" for name, value in zip(names, row, strict=True))


def _text(name: str, value: Any) -> str:
    if name == "order_id" and isinstance(value, str):
        return str(UUID(value))  # SQLite stores it as 32 digits
    return "-" if value is None else str(value)
