"""Counts what the feed drops and logs it sparingly: the first of a kind at once, then now and then."""

import logging
import time
from collections import Counter
from collections.abc import Callable

from market_feed import metrics

logger = logging.getLogger(__name__)

LOG_AGAIN_AFTER_S = 60.0
EXCERPT_BYTES = 160


class DropLog:
    """A flood of bad messages must fill neither the disk nor the operator's patience."""

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self.counts: Counter[str] = Counter()
        self._clock = clock
        self._logged_at: dict[str, float] = {}

    def add(self, kind: str, detail: str, payload: bytes = b"") -> None:
        """Take note of one dropped message."""
        self.counts[kind] += 1
        metrics.malformed.labels(kind).inc()
        now = self._clock()
        last = self._logged_at.get(kind)
        if last is None:
            logger.warning(
                "dropped a feed message (%s): %s; it was %r", kind, detail, payload[:EXCERPT_BYTES]
            )
        elif now - last >= LOG_AGAIN_AFTER_S:
            logger.warning("dropped %d feed messages (%s) so far", self.counts[kind], kind)
        else:
            return
        self._logged_at[kind] = now
