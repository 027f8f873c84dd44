"""Many rows in one statement, on PostgreSQL and on SQLite.

What costs in a batch is round trips. On PostgreSQL rows go in through COPY or one multi-row VALUES; on
SQLite, which has no round trips, through `executemany`.

Rows are tuples in the order of `columns` (names of database columns). Values are what the database
stores: money as units, a UUID as 32 hex digits, times as aware datetimes.
"""

import io
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

from django.db import connection, models

Row = tuple[Any, ...]

# Below this many rows one INSERT is quicker than setting up a COPY.
COPY_FROM_ROWS = 8
# SQLite takes at most this many parameters in a statement.
MAX_PARAMETERS = 32_000


def insert_rows(model: type[models.Model], columns: Sequence[str], rows: Sequence[Row]) -> None:
    """Insert all rows, or none (then the database's error is raised)."""
    if not rows:
        return
    if connection.vendor == "postgresql":
        _insert_postgresql(model, columns, rows)
    else:
        with connection.cursor() as cursor:
            cursor.executemany(
                f"{_insert_into(model, columns)} VALUES ({marks(len(columns))})", list(_adapted(rows))
            )


def insert_rows_returning(
    model: type[models.Model], columns: Sequence[str], rows: Sequence[Row], returning: str
) -> list[Any]:
    """Insert all rows; the generated `returning` column of each, in the order of `rows`."""
    values: list[Any] = []
    for sql, parameters in _multi_row_inserts(model, columns, rows):
        values += [value for (value,) in fetch_rows(f"{sql} RETURNING {_quoted(returning)}", parameters)]
    return values


def upsert_rows(
    model: type[models.Model], columns: Sequence[str], rows: Sequence[Row], conflict: str
) -> None:
    """Insert rows; `conflict` is the ON CONFLICT clause that says what a row already there becomes."""
    with connection.cursor() as cursor:
        for sql, parameters in _multi_row_inserts(model, columns, rows):
            cursor.execute(f"{sql} {conflict}", parameters)


def update_rows(
    model: type[models.Model], keys: Sequence[str], columns: Sequence[str], rows: Sequence[Row]
) -> int:
    """Set `columns` of the rows found by `keys`; each row is (*keys, *columns). A column may be in both.

    Returns how many rows were found: fewer than given means that a key did not match any more.
    """
    if not rows:
        return 0
    if connection.vendor == "postgresql":
        return _update_postgresql(model, keys, columns, rows)
    assignments = ", ".join(f"{_quoted(column)} = %s" for column in columns)
    found_by = " AND ".join(f"{_quoted(key)} = %s" for key in keys)
    split = len(keys)
    with connection.cursor() as cursor:
        cursor.executemany(
            f"UPDATE {_quoted(model._meta.db_table)} SET {assignments} WHERE {found_by}",
            [(*row[split:], *row[:split]) for row in _adapted(rows)],
        )
        return cursor.rowcount


def fetch_rows(sql: str, parameters: Sequence[Any] = ()) -> list[Row]:
    """All rows of one query, raw: units, hex or UUID, times as the driver gives them."""
    with connection.cursor() as cursor:
        cursor.execute(sql, parameters)
        return cursor.fetchall()


def lock_clause() -> str:
    """What makes a SELECT lock its rows.

    NO KEY: the foreign-key check of an INSERT elsewhere takes KEY SHARE on the row it refers to, and must
    not wait for us (it would, holding its own locks: a deadlock). SQLite locks the database at BEGIN.
    """
    return "FOR NO KEY UPDATE" if connection.vendor == "postgresql" else ""


def marks(count: int) -> str:
    """`count` placeholders for an IN list."""
    return ", ".join(["%s"] * count)


def stored_time(value: datetime) -> Any:
    """A time as a parameter of raw SQL."""
    return connection.ops.adapt_datetimefield_value(value)


def read_time(value: Any) -> datetime | None:
    """A time out of a raw row."""
    # SQLite's driver knows the column's type and gives a time without a zone: it is stored as UTC.
    return value if value is None or value.tzinfo else value.replace(tzinfo=UTC)


def read_uuid(value: Any) -> str:
    """A UUID out of a raw row, as 32 hex digits."""
    return value if isinstance(value, str) else f"{value.int:032x}"


def _quoted(name: str) -> str:
    return f'"{name}"'


def _insert_into(model: type[models.Model], columns: Sequence[str]) -> str:
    return f"INSERT INTO {_quoted(model._meta.db_table)} ({', '.join(map(_quoted, columns))})"


def _multi_row_inserts(
    model: type[models.Model], columns: Sequence[str], rows: Sequence[Row]
) -> Iterable[tuple[str, list[Any]]]:
    """INSERT statements with their parameters, as few as the limit on parameters allows."""
    chunk = MAX_PARAMETERS // len(columns)
    row_marks = f"({marks(len(columns))})"
    for start in range(0, len(rows), chunk):
        part = list(_adapted(rows[start : start + chunk]))
        sql = f"{_insert_into(model, columns)} VALUES {', '.join([row_marks] * len(part))}"
        yield sql, [value for row in part for value in row]


def _adapted(rows: Iterable[Row]) -> Iterable[Row]:
    """Rows with times as the database takes them."""
    adapt = connection.ops.adapt_datetimefield_value
    return (tuple(adapt(value) if isinstance(value, datetime) else value for value in row) for row in rows)


def _insert_postgresql(model: type[models.Model], columns: Sequence[str], rows: Sequence[Row]) -> None:
    from psycopg2.extras import execute_values

    with connection.cursor() as cursor, connection.wrap_database_errors:
        if len(rows) < COPY_FROM_ROWS:
            execute_values(
                cursor.cursor, f"{_insert_into(model, columns)} VALUES %s", rows, page_size=len(rows)
            )
            return
        names = ", ".join(map(_quoted, columns))
        text = "".join("\t".join(map(_copy_text, row)) + "\n" for row in rows)
        cursor.cursor.copy_expert(
            f"COPY {_quoted(model._meta.db_table)} ({names}) FROM STDIN", io.StringIO(text)
        )


def _copy_text(value: Any) -> str:
    if type(value) is int:
        return str(value)
    if value is None:
        return r"\N"
    if isinstance(value, str):
        if "\\" in value or "\t" in value or "\n" in value or "\r" in value:
            return value.replace("\\", r"\\").replace("\t", r"\t").replace("\n", r"\n").replace("\r", r"\r")
        return value
    return value.isoformat() if isinstance(value, datetime) else str(value)


def _update_postgresql(
    model: type[models.Model], keys: Sequence[str], columns: Sequence[str], rows: Sequence[Row]
) -> int:
    from psycopg2.extras import execute_values

    def typed(prefix: str, name: str) -> str:
        # A VALUES list has no types of its own: text and NULL must be told theirs.
        return f'v."{prefix}{name}"::{_column_type(model, name)}'

    assignments = ", ".join(f"{_quoted(column)} = {typed('new_', column)}" for column in columns)
    found_by = " AND ".join(f"t.{_quoted(key)} = {typed('key_', key)}" for key in keys)
    names = ", ".join([f'"key_{key}"' for key in keys] + [f'"new_{column}"' for column in columns])
    with connection.cursor() as cursor, connection.wrap_database_errors:
        execute_values(
            cursor.cursor,
            f"UPDATE {_quoted(model._meta.db_table)} AS t SET {assignments} "
            f"FROM (VALUES %s) AS v ({names}) WHERE {found_by}",
            rows,
            page_size=len(rows),
        )
        return cursor.cursor.rowcount


@cache
def _column_type(model: type[models.Model], column: str) -> str:
    field = next(field for field in model._meta.local_concrete_fields if field.column == column)
    db_type = field.db_type(connection)
    assert db_type is not None
    return "bigint" if db_type.startswith("bigint") else db_type
