"""Tokens this process has checked a moment ago.

A token query costs about a millisecond, most of what a cheap request costs; a bot sends thousands with one
token. Only positive answers are kept, for a few seconds, at most `size` of them. What is revoked in this
process is forgotten at once; another process may trust it until its own few seconds are over.
"""

from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from threading import Lock
from typing import Any


@dataclass(frozen=True, slots=True)
class Entry:
    user: Any
    token: Any
    expiry: datetime | None
    trusted_until: float


class TokenCache:
    """Maps the digest of a token to what it stands for. Safe for threads."""

    def __init__(self, *, size: int = 10_000) -> None:
        self._size = size
        self._entries: OrderedDict[str, Entry] = OrderedDict()
        self._lock = Lock()
        # Counts evictions: what was looked up before one must not be stored after it.
        self.generation = 0

    def get(self, digest: str, *, monotonic: float, now: datetime) -> Entry | None:
        entry = self._entries.get(digest)
        if entry is None or entry.trusted_until <= monotonic or (entry.expiry and entry.expiry <= now):
            return None
        return entry

    def put(self, digest: str, entry: Entry, *, generation: int) -> None:
        """Keep `entry`, unless something was evicted since `generation` was read."""
        with self._lock:
            if generation != self.generation:
                return
            self._entries[digest] = entry
            self._entries.move_to_end(digest)
            while len(self._entries) > self._size:
                self._entries.popitem(last=False)

    def forget_token(self, digest: str) -> None:
        self._forget(lambda key, entry: key == digest)

    def forget_user(self, user_id: int) -> None:
        self._forget(lambda key, entry: entry.user.pk == user_id)

    def clear(self) -> None:
        self._forget(lambda key, entry: True)

    def _forget(self, matches: Callable[[str, Entry], bool]) -> None:
        with self._lock:
            self.generation += 1
            for digest in [key for key, entry in self._entries.items() if matches(key, entry)]:
                del self._entries[digest]


token_cache = TokenCache()
