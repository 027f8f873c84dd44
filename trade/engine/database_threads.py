"""A few threads that ask the database for an event loop, each with a connection that stays open."""

import asyncio
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, TypeVar

from django.db import DEFAULT_DB_ALIAS, close_old_connections, connections

T = TypeVar("T")


class DatabaseThreads:
    """At most `count` threads; they start when they are needed."""

    def __init__(self, count: int, name: str) -> None:
        self._pool = ThreadPoolExecutor(count, thread_name_prefix=name, initializer=self._start)
        self._connections: list[Any] = []

    async def run(self, function: Callable[..., T], *args: Any) -> T:
        """What `function` returns, called in one of the threads."""
        return await asyncio.get_running_loop().run_in_executor(self._pool, connected, function, *args)

    def close(self) -> None:
        """End the threads once they have done what they are at, and their connections."""
        self._pool.shutdown(wait=True, cancel_futures=True)
        for connection in self._connections:
            # Its thread is gone: nobody else uses it.
            connection.inc_thread_sharing()
            connection.close()

    def _start(self) -> None:
        self._connections.append(connections[DEFAULT_DB_ALIAS])


def connected(function: Callable[..., T], *args: Any) -> T:
    """What `function` returns. A connection that is too old or broken is replaced first, as around a request."""
    close_old_connections()
    try:
        return function(*args)
    finally:
        close_old_connections()
