"""Many rows in one statement, on PostgreSQL and on SQLite.

What costs in a batch is round trips (see `users.round_trips`). On PostgreSQL rows go in through COPY, or as
one array for each column: that is a third quicker to read than a list of VALUES, and one text of the
statement serves any number of rows. On SQLite, which has no round trips, they go through `executemany`.

Rows are tuples in the order of `columns` (names of database columns). Values are what the database
stores: money as units, a UUID as 32 hex digits, times as aware datetimes.
"""

import io
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from functools import cache
from typing import Any

from django.db import connection, models

from users.round_trips import send, send_later, send_waiting

Row = tuple[Any, ...]

# Below this many rows an INSERT, which may share a round trip, is quicker than a COPY, which takes two.
COPY_FROM_ROWS = 32
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
    if not rows:
        return []
    if connection.vendor == "postgresql":
        sql = f"{_insert_arrays(model, tuple(columns))} RETURNING {_quoted(returning)}"
        return [value for (value,) in fetch_rows(sql, _arrays(rows))]
    values: list[Any] = []
    for sql, parameters in _multi_row_inserts(model, columns, rows):
        values += [value for (value,) in fetch_rows(f"{sql} RETURNING {_quoted(returning)}", parameters)]
    return values


def upsert_rows(
    model: type[models.Model], columns: Sequence[str], rows: Sequence[Row], conflict: str
) -> None:
    """Insert rows; `conflict` is the ON CONFLICT clause that says what a row already there becomes."""
    for sql, parameters in _multi_row_inserts(model, columns, rows):
        send_later(f"{sql} {conflict}", parameters)


def update_rows(
    model: type[models.Model], keys: Sequence[str], columns: Sequence[str], rows: Sequence[Row]
) -> None:
    """Set `columns` of the rows found by `keys`; each row is (*keys, *columns). A column may be in both."""
    if connection.vendor != "postgresql":
        update_matching_rows(model, keys, columns, rows)
    elif rows:
        send_later(_update_arrays(model, tuple(keys), tuple(columns)), _arrays(rows))


def update_matching_rows(
    model: type[models.Model], keys: Sequence[str], columns: Sequence[str], rows: Sequence[Row]
) -> int:
    """As `update_rows`; how many rows were found.

    Fewer than given means that a key did not match any more.
    """
    if not rows:
        return 0
    if connection.vendor == "postgresql":
        with connection.cursor() as cursor:
            send(cursor, _update_arrays(model, tuple(keys), tuple(columns)), _arrays(rows))
            return cursor.rowcount
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
        send(cursor, sql, parameters)
        return cursor.fetchall()


def lock_clause() -> str:
    """What makes a SELECT lock its rows.

    NO KEY: the foreign-key check of an INSERT elsewhere takes KEY SHARE on the row it refers to, and must
    not wait for us (it would, holding its own locks: a deadlock). SQLite locks the database at BEGIN.
    """
    return "FOR NO KEY UPDATE" if connection.vendor == "postgresql" else ""


def let_commit_run_ahead() -> None:
    """Let this transaction's commit return before it is on disk.

    For what nobody is told of before a later commit, which waits for the disk and for all that came before
    it. SQLite's commits wait for no disk here.
    """
    if connection.vendor == "postgresql":
        send_later("SET LOCAL synchronous_commit = off")


def wait_for_disk() -> None:
    """Return when all that was committed until now is on disk, whoever committed it."""
    if connection.vendor == "postgresql":
        # A commit that has written nothing does not wait.
        fetch_rows("SELECT pg_logical_emit_message(true, 'wait', '')")


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
    if len(rows) < COPY_FROM_ROWS:
        send_later(_insert_arrays(model, tuple(columns)), _arrays(rows))
        return
    send_waiting()
    with connection.cursor() as cursor, connection.wrap_database_errors:
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


@cache
def _insert_arrays(model: type[models.Model], columns: tuple[str, ...]) -> str:
    arrays = ", ".join(f"%s::{_column_type(model, column)}[]" for column in columns)
    return f"{_insert_into(model, columns)} SELECT * FROM unnest({arrays})"


@cache
def _update_arrays(model: type[models.Model], keys: tuple[str, ...], columns: tuple[str, ...]) -> str:
    arrays = ", ".join(f"%s::{_column_type(model, column)}[]" for column in (*keys, *columns))
    names = ", ".join([f'"key_{key}"' for key in keys] + [f'"new_{column}"' for column in columns])
    assignments = ", ".join(f'{_quoted(column)} = v."new_{column}"' for column in columns)
    found_by = " AND ".join(f't.{_quoted(key)} = v."key_{key}"' for key in keys)
    return (
        f"UPDATE {_quoted(model._meta.db_table)} AS t SET {assignments} "
        f"FROM unnest({arrays}) AS v ({names}) WHERE {found_by}"
    )


def _arrays(rows: Iterable[Row]) -> list[str]:
    """One parameter for each column."""
    return list(map(_array_text, zip(*rows, strict=True)))


def _array_text(values: Iterable[Any]) -> str:
    return "{" + ",".join(map(_element_text, values)) + "}"


def _element_text(value: Any) -> str:
    if type(value) is int:
        return str(value)
    if value is None:
        return "NULL"
    if isinstance(value, str):
        if "\\" in value or '"' in value:
            value = value.replace("\\", r"\\").replace('"', r"\"")
        return f'"{value}"'
    return value.isoformat() if isinstance(value, datetime) else str(value)


@cache
def _column_type(model: type[models.Model], column: str) -> str:
    """Without a length: a text that is too long is to be refused, and a cast would cut it off."""
    field = next(field for field in model._meta.local_concrete_fields if field.column == column)
    db_type = field.db_type(connection)
    assert db_type is not None
    return "bigint" if db_type.startswith("bigint") else db_type.partition("(")[0]
