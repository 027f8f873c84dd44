"""One view of the whole database for many statements, which blocks no writer."""

from collections.abc import Iterator
from contextlib import contextmanager

from django.db import connection, transaction


@contextmanager
def read_snapshot() -> Iterator[None]:
    """Everything read inside belongs to one moment. Inside a transaction, that transaction has to do."""
    if connection.in_atomic_block:
        yield
    elif connection.vendor == "postgresql":
        with _postgresql_snapshot():
            yield
    else:
        with _sqlite_snapshot():
            yield


@contextmanager
def _postgresql_snapshot() -> Iterator[None]:
    with transaction.atomic(), connection.cursor() as cursor:
        cursor.execute("SET TRANSACTION ISOLATION LEVEL REPEATABLE READ READ ONLY")
        # A large market takes longer than a request may, and its sums want memory rather than disk.
        cursor.execute("SET LOCAL statement_timeout = 0")
        cursor.execute("SET LOCAL work_mem = '64MB'")
        yield


@contextmanager
def _sqlite_snapshot() -> Iterator[None]:
    # Not `atomic`: that is BEGIN IMMEDIATE here, which would keep every writer out. In WAL mode a deferred
    # transaction that only reads sees the database as its first SELECT found it.
    with connection.cursor() as cursor:
        cursor.execute("BEGIN DEFERRED")
        try:
            yield
        finally:
            cursor.execute("ROLLBACK")
