"""A stock's lane: batches of commands, run until they are stored or refused."""

import logging
from collections.abc import Sequence

from django.db import Error as DatabaseFailure
from django.utils import timezone

from trade.engine.batch import Command, Done, answer, run_batch
from trade.engine.books import Books
from trade.engine.trouble import Trouble, interrupted
from trade.services.settlement import StaleBook
from trade.signals import batch_committed

logger = logging.getLogger(__name__)

# A book just built from the database cannot be stale: more than this is a defect, not a race.
MAX_STALE = 3


class MatchStage:
    """MATCH, with the books of this process."""

    def __init__(self, *, max_price_ratio: int, defers_settlement: bool, trouble: Trouble) -> None:
        self.books = Books()
        self._max_price_ratio = max_price_ratio
        self._defers_settlement = defers_settlement
        self._trouble = trouble

    def run(self, stock_id: str, commands: Sequence[Command]) -> None:
        """Run one batch. Every command's future is done afterwards."""
        try:
            done = self._run_surely(stock_id, commands)
        except Exception as error:
            self.books.drop(stock_id)
            self._trouble.try_apart(commands, error, lambda command: self.run(stock_id, [command]))
            return
        _tell(done)

    def _run_surely(self, stock_id: str, commands: Sequence[Command]) -> Done:
        stale = 0
        for attempt in self._trouble.attempts():
            try:
                return run_batch(
                    books=self.books,
                    stock_id=stock_id,
                    commands=commands,
                    now=timezone.now(),
                    is_retry=attempt > 0,
                    max_price_ratio=self._max_price_ratio,
                    defers_settlement=self._defers_settlement,
                )
            except StaleBook as error:
                stale += 1
                if stale > MAX_STALE:
                    raise
                logger.info("the book of %s was stale: %s", stock_id, error)
            except DatabaseFailure as error:
                self._trouble.database_away(error, attempt)
            self.books.drop(stock_id)
        raise interrupted()


def _tell(done: Done) -> None:
    """Answer the callers, then the news."""
    for future, result in done.answers:
        answer(future, result)
    if done.news is not None:
        # Robust: a listener that fails is logged, and must not undo what is committed.
        batch_committed.send_robust(sender=MatchStage, batch=done.news)
