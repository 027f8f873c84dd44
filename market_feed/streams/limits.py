"""How much one visitor may ask for: connections at a time, stocks on each, messages a second.

Each web process counts for itself. The figures are settings (`STREAM_...`).
"""

from collections import Counter
from collections.abc import Callable


class ConnectionCount:
    """The connections that each visitor has open now."""

    def __init__(self) -> None:
        self._open: Counter[str] = Counter()

    def enter(self, name: str, limit: int) -> bool:
        """Count one more of this name; False, and nothing counted, when it has `limit` already."""
        if self._open[name] >= limit:
            return False
        self._open[name] += 1
        return True

    def leave(self, name: str) -> None:
        self._open[name] -= 1
        if not self._open[name]:
            del self._open[name]

    def __len__(self) -> int:
        return len(self._open)


class MessageAllowance:
    """A bucket of messages that fills at `rate` a second, up to twice that.

    Who takes from an empty one runs into debt, and it takes until the debt is paid for messages to be taken
    again. The bucket is `overdrawn` when the debt is as large as the bucket.
    """

    __slots__ = ("_clock", "_filled_at", "_left", "_rate", "_size")

    def __init__(self, rate: float, clock: Callable[[], float]) -> None:
        self._rate = rate
        self._size = self._left = max(1.0, 2 * rate)
        self._clock = clock
        self._filled_at = clock()

    def take(self) -> bool:
        """Take one message; False when there was none left."""
        now = self._clock()
        self._left = min(self._size, self._left + self._rate * (now - self._filled_at)) - 1
        self._filled_at = now
        return self._left >= 0

    @property
    def is_overdrawn(self) -> bool:
        return self._left <= -self._size
