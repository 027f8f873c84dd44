"""Recorded ticks out of a file, one after the other, however large it is.

CSV with a header line, or JSON lines; either may be gzipped (`.gz`). Columns, or keys, by any of their
names: `ts`, `timestamp`; `symbol`, `stock_id`; `price`; `size`, `availability`; and, if there, `name`.
Times are ISO 8601, UTC when they have no zone.
"""

import csv
import gzip
import json
from collections.abc import Iterator, Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TextIO

from market_feed.sources.ticks import SourceTick

COLUMNS = {
    "timestamp": ("timestamp", "ts"),
    "stock_id": ("stock_id", "symbol"),
    "price": ("price",),
    "availability": ("availability", "size"),
    "name": ("name",),
}
OPTIONAL = frozenset({"name"})
MAX_LINE = 65_536


class BadTickFile(Exception):
    """A file that cannot be replayed. The text is for the person who named it."""


def replay_ticks(path: Path) -> Iterator[SourceTick]:
    """The ticks of a file, in its order. BadTickFile, saying which line, when it is not one."""
    try:
        with _open(path) as lines:
            yield from _json_ticks(path, lines) if _is_json(path) else _csv_ticks(path, lines)
    except (OSError, EOFError, UnicodeDecodeError, csv.Error) as error:
        raise BadTickFile(f"{path} cannot be read: {_reason(error)}") from None


def count_ticks(path: Path) -> int:
    """About how many ticks there are, for a progress bar."""
    try:
        with _open(path) as lines:
            return sum(1 for _ in lines) - (not _is_json(path))
    except (OSError, EOFError, UnicodeDecodeError) as error:
        raise BadTickFile(f"{path} cannot be read: {_reason(error)}") from None


def _open(path: Path) -> TextIO:
    if path.suffix == ".gz":
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _is_json(path: Path) -> bool:
    kind = Path(path.stem).suffix if path.suffix == ".gz" else path.suffix
    return kind.lower() in (".jsonl", ".ndjson", ".json")


def _csv_ticks(path: Path, lines: TextIO) -> Iterator[SourceTick]:
    rows = csv.reader(lines)
    header = [column.strip().lower() for column in next(rows, [])]
    keys = _find_keys(path, header)
    places = {field: header.index(key) for field, key in keys.items()}
    for row in rows:
        if not row:
            continue
        if len(row) < len(header):
            raise BadTickFile(f"{path}, line {rows.line_num}: {len(row)} columns instead of {len(header)}")
        yield _tick({field: row[place] for field, place in places.items()}, path, rows.line_num)


def _json_ticks(path: Path, lines: TextIO) -> Iterator[SourceTick]:
    for number, line in enumerate(lines, 1):
        if not line.strip():
            continue
        try:
            # Numbers stay the text they are: a float would change them.
            found = json.loads(line, parse_float=str, parse_int=str)
        except (ValueError, RecursionError):
            raise BadTickFile(f"{path}, line {number}: not JSON") from None
        if not isinstance(found, dict):
            raise BadTickFile(f"{path}, line {number}: not a JSON object")
        keys = _find_keys(path, list(found))
        yield _tick({field: found[key] for field, key in keys.items()}, path, number)


def _find_keys(path: Path, found: list[str]) -> dict[str, str]:
    keys = {}
    for field, names in COLUMNS.items():
        key = next((name for name in names if name in found), None)
        if key is not None:
            keys[field] = key
        elif field not in OPTIONAL:
            shown = ", ".join(str(name)[:30] for name in found[:10]) or "nothing"
            raise BadTickFile(f"{path} has no column {' or '.join(names)}; it has {shown}")
    return keys


def _tick(fields: Mapping[str, Any], path: Path, line: int) -> SourceTick:
    try:
        moment = datetime.fromisoformat(str(fields["timestamp"]).strip())
    except ValueError:
        raise BadTickFile(f"{path}, line {line}: {fields['timestamp']!r} is not a time") from None
    stock_id = str(fields["stock_id"]).strip()
    return SourceTick(
        stock_id,
        str(fields.get("name") or stock_id),
        str(fields["price"]).strip(),
        str(fields["availability"]).strip(),
        moment if moment.tzinfo else moment.replace(tzinfo=UTC),
    )


def _reason(error: Exception) -> str:
    return getattr(error, "strerror", None) or str(error) or type(error).__name__
