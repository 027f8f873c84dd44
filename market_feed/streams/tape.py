"""The trades of one stock, put in order once, however the news of them arrives.

Trades are known by their sequences, which rise but have holes (ticks and order events have numbers too), so
a hole says nothing. What says whether one is missing is the sequence of the trade before a batch: a batch
fits when everything up to that trade has been delivered. One that does not fit waits in `_ahead`, and what
is missing is read from the database, where the trades of a stock appear in the order of their sequences.
"""

from collections.abc import Sequence
from typing import Protocol

# Trades of batches that wait for an earlier one. Beyond that they are forgotten, and read again later.
MAX_AHEAD = 2_000


class Numbered(Protocol):
    """What a tape orders: a trade, or another event that has a sequence."""

    @property
    def sequence(self) -> int: ...


class TradeTape:
    """`delivered` is the sequence of the last trade given out, `known` that of the newest one heard of."""

    __slots__ = ("delivered", "known", "_ahead", "_ahead_count")

    def __init__(self, delivered: int) -> None:
        self.delivered = delivered
        self.known = delivered
        self._ahead: dict[int, Sequence[Numbered]] = {}
        self._ahead_count = 0

    @property
    def has_gap(self) -> bool:
        return self.known > self.delivered

    def note(self, trade_sequence: int) -> None:
        """There is a trade with this sequence, wherever it is."""
        self.known = max(self.known, trade_sequence)

    def skip_to(self, trade_sequence: int) -> None:
        """Nobody listens: go on from here without giving anything out."""
        self.note(trade_sequence)
        self.delivered = self.known
        self._forget_ahead()

    def offer(self, previous: int, trades: Sequence[Numbered]) -> list[Numbered]:
        """What may be delivered now that these trades, the first after `previous`, are known."""
        if not trades or trades[-1].sequence <= self.delivered:
            return []
        self.note(trades[-1].sequence)
        if previous > self.delivered:
            self._keep_ahead(previous, trades)
            return []
        return [*self._take(trades), *self._take_ahead()]

    def fill(self, trades: Sequence[Numbered]) -> list[Numbered]:
        """What may be delivered now that these, the next ones, were read from the database."""
        return [*self._take(trades), *self._take_ahead()]

    def _take(self, trades: Sequence[Numbered]) -> Sequence[Numbered]:
        if not trades or trades[-1].sequence <= self.delivered:
            return ()
        if trades[0].sequence <= self.delivered:
            trades = [trade for trade in trades if trade.sequence > self.delivered]
        self.delivered = trades[-1].sequence
        self.note(self.delivered)
        return trades

    def _keep_ahead(self, previous: int, trades: Sequence[Numbered]) -> None:
        if previous not in self._ahead and self._ahead_count + len(trades) <= MAX_AHEAD:
            self._ahead[previous] = trades
            self._ahead_count += len(trades)

    def _take_ahead(self) -> list[Numbered]:
        taken: list[Numbered] = []
        for previous in sorted(self._ahead):
            if previous > self.delivered:
                break
            trades = self._ahead.pop(previous)
            self._ahead_count -= len(trades)
            taken += self._take(trades)
        return taken

    def _forget_ahead(self) -> None:
        self._ahead.clear()
        self._ahead_count = 0
