"""PostgreSQL statements that share a round trip.

A batch of trading writes seven tables. Most of these statements answer nothing that anybody looks at, so they
need not be waited for one by one:

    with shared_round_trips():
        insert_rows(...)        # waits
        update_rows(...)        # waits
        fetch_rows(...)         # is sent, and the two before it in the same message

Statements arrive in the order in which they were written down. An error of one that waited comes up with the
statement that took it along, or at the end of the block: the block belongs inside a transaction, which is
then rolled back as a whole. Queries of Django's own take nothing along.
"""

import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any

from django.db import connection


class _Waiting(threading.local):
    """The statements of this thread that wait to be sent; None outside of a block."""

    statements: list[bytes] | None = None


_waiting = _Waiting()


@contextmanager
def shared_round_trips() -> Iterator[None]:
    """Let writes inside wait for the next statement that is asked for its result, or for the end."""
    if connection.vendor != "postgresql":
        yield  # no round trips to share
        return
    _waiting.statements = []
    try:
        yield
        send_waiting()
    finally:
        _waiting.statements = None


def send(cursor: Any, sql: str, parameters: Sequence[Any] = ()) -> None:
    """Run a statement on Django's `cursor`, and before it those that wait."""
    if not _waiting.statements:
        cursor.execute(sql, parameters)
        return
    waiting, _waiting.statements = _waiting.statements, []
    with connection.wrap_database_errors:
        cursor.cursor.execute(b";".join([*waiting, cursor.cursor.mogrify(sql, parameters)]))


def send_later(sql: str, parameters: Sequence[Any] = ()) -> None:
    """Run a statement whose result nobody looks at: inside a block with a later one, else at once."""
    with connection.cursor() as cursor:
        if _waiting.statements is None:
            cursor.execute(sql, parameters)
        else:
            _waiting.statements.append(cursor.cursor.mogrify(sql, parameters))


def send_waiting() -> None:
    """Run what waits now."""
    if _waiting.statements:
        waiting, _waiting.statements = _waiting.statements, []
        with connection.cursor() as cursor, connection.wrap_database_errors:
            cursor.cursor.execute(b";".join(waiting))
