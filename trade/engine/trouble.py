"""When the database does not answer: try again, a little later each time, until the engine stops."""

import logging
import sqlite3
import threading
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar

from django.db import InterfaceError, OperationalError, connection

from trade.services.refusals import EngineBusy, OutcomeUnknown
from users.exceptions import Refusal

logger = logging.getLogger(__name__)

DATABASE_AWAY = (OperationalError, InterfaceError)
RETRY_DELAYS_S = (0.05, 0.1, 0.2, 0.5, 1.0, 2.0)
QUERY_CANCELED = "57014"


class Waiting(Protocol):
    """Something whose caller waits for an answer."""

    def give_up(self, error: Exception) -> None: ...


T = TypeVar("T", bound=Waiting)


class Trouble:
    """What goes wrong in an engine, remembered for its health check."""

    def __init__(self, stopping: threading.Event) -> None:
        self._stopping = stopping
        self.last_error = ""

    def attempts(self) -> Iterator[int]:
        """0, 1, 2, ... until the engine stops; the first always."""
        attempt = 0
        while not attempt or not self._stopping.is_set():
            yield attempt
            attempt += 1

    def database_away(self, error: Exception, attempt: int) -> None:
        """Wait before the next attempt; raises `error` when another would end like this one."""
        if connection.in_atomic_block or not _may_pass(error):
            raise error
        logger.warning("the database does not answer, trying again: %s", error)
        self.note(error)
        close_connection()
        self._stopping.wait(RETRY_DELAYS_S[min(attempt, len(RETRY_DELAYS_S) - 1)])

    def try_apart(self, waiting: Sequence[T], error: Exception, again: Callable[[T], None]) -> None:
        """After a batch failed for good: each on its own, so that only the culprit hears of it."""
        if len(waiting) > 1 and not isinstance(error, Refusal):
            logger.warning("a batch failed, trying its %d commands one by one: %r", len(waiting), error)
            for one in waiting:
                again(one)
            return
        if not isinstance(error, Refusal):
            logger.error("%s cannot be stored", waiting[0], exc_info=error)
            self.note(error)
        for one in waiting:
            one.give_up(error)

    def note(self, error: BaseException) -> None:
        self.last_error = repr(error)


def close_connection() -> None:
    """Let this thread's next query open a new connection."""
    if not connection.in_atomic_block:
        connection.close()


def stopping() -> EngineBusy:
    """For what was not begun."""
    return EngineBusy("the engine is stopping: try again in a moment")


def interrupted() -> OutcomeUnknown:
    """For what was tried, and may have been committed without an answer."""
    return OutcomeUnknown("the engine stopped before it knew what became of this: look before you try again")


def _may_pass(error: Exception) -> bool:
    """Whether the same statements may succeed later: the server is away, or somebody holds a lock."""
    if connection.connection is None:
        return True  # it broke while this was going on, whatever the driver calls the error
    if not isinstance(error, DATABASE_AWAY):
        return False
    cause = error.__cause__
    # "No such table", "too many variables": SQLite calls operational what others call wrong.
    is_wrong = getattr(cause, "sqlite_errorcode", None) == sqlite3.SQLITE_ERROR
    # A statement that took longer than statement_timeout will again.
    return not is_wrong and getattr(cause, "pgcode", None) != QUERY_CANCELED
