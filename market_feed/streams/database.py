"""The few threads in which a hub reads, each with a connection of its own."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from django.db import DEFAULT_DB_ALIAS, close_old_connections, connections

THREADS = 3

T = TypeVar("T")


class DatabaseThreads:
    def __init__(self) -> None:
        self.pool = ThreadPoolExecutor(THREADS, thread_name_prefix="streams", initializer=self._start)
        self._connections: list[Any] = []

    def run(self, function: Callable[..., T], *args: Any) -> T:
        """Call `function` on this thread's connection, replaced first when it is too old or broken."""
        close_old_connections()
        try:
            return function(*args)
        finally:
            close_old_connections()

    def close(self) -> None:
        self.pool.shutdown(wait=True, cancel_futures=True)
        for connection in self._connections:
            # Its thread is gone: nobody else uses it.
            connection.inc_thread_sharing()
            connection.close()

    def _start(self) -> None:
        self._connections.append(connections[DEFAULT_DB_ALIAS])
