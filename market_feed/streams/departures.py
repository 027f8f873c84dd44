"""Orders that end with the connection on which they were placed.

What is asked for here must happen although nobody waits for it any more: it outlives the connection, is tried
again while the database is away, and the server's end waits for it (`departures_done`).
"""

import asyncio
import logging
from collections.abc import Collection, Iterable
from concurrent.futures import Future
from contextlib import suppress
from uuid import UUID

from django.conf import settings

from trade.engine import awaited, get_engine
from trade.engine.commands import Cancel
from trade.selectors.orders import open_orders_among
from trade.services.refusals import OrderNotOpen, UnknownOrder

logger = logging.getLogger(__name__)

REASON = "disconnect"
# Orders asked about at once.
CHUNK = 500
# Finished orders are forgotten when there are so many more than at the last look.
FORGET_EVERY = 2_000
RETRY_DELAYS_S = (0.2, 0.5, 1.0, 2.0, 5.0, 10.0, 20.0)

_departures: set[asyncio.Task[None]] = set()


class OwnOrders:
    """The orders placed on one connection, of which the open ones are among those kept."""

    def __init__(self) -> None:
        self._order_ids: set[UUID] = set()
        self._forget_at = FORGET_EVERY

    def add(self, order_id: UUID) -> None:
        self._order_ids.add(order_id)
        if len(self._order_ids) >= self._forget_at:
            self._forget_at = len(self._order_ids) + FORGET_EVERY
            _spawn(self._forget_finished())

    def cancel_after(self, unanswered: Collection[asyncio.Task[None]]) -> None:
        """Cancel what is open once these requests are answered: they may still place something."""
        _spawn(self._cancel(unanswered))

    async def _forget_finished(self) -> None:
        known = list(self._order_ids)
        still_open = await awaited.in_thread(lambda: dict(_open(known)))
        self._order_ids.difference_update(order_id for order_id in known if order_id not in still_open)
        self._forget_at = len(self._order_ids) + FORGET_EVERY

    async def _cancel(self, unanswered: Collection[asyncio.Task[None]]) -> None:
        if unanswered:
            await asyncio.wait(unanswered)
        order_ids = list(self._order_ids)
        for delay_s in RETRY_DELAYS_S:
            try:
                await awaited.in_thread(lambda: cancel_open(order_ids))
            except Exception as error:
                logger.warning("Orders of a connection that ended are still open, trying again: %s", error)
                await asyncio.sleep(delay_s)
            else:
                return
        logger.error("%d orders of a connection that ended may still be open", len(order_ids))


def cancel_open(order_ids: list[UUID]) -> None:
    """Cancel those of these orders that are open, and wait until it is done."""
    engine = get_engine()
    futures = [
        engine.submit(stock_id, Cancel(Future(), order_id.hex, REASON))
        for order_id, stock_id in _open(order_ids)
    ]
    for future in futures:
        # It may have traded meanwhile.
        with suppress(OrderNotOpen, UnknownOrder):
            future.result(settings.ORDER_ANSWER_TIMEOUT_S)


async def departures_done(timeout_s: float) -> None:
    """Return when nothing is left to cancel, or the time is over."""
    if _departures:
        await asyncio.wait(_departures, timeout=timeout_s)


def _open(order_ids: list[UUID]) -> Iterable[tuple[UUID, str]]:
    for start in range(0, len(order_ids), CHUNK):
        yield from open_orders_among(order_ids[start : start + CHUNK])


def _spawn(work: "asyncio._CoroutineLike[None]") -> None:
    task = asyncio.get_running_loop().create_task(work)
    _departures.add(task)
    task.add_done_callback(_done)


def _done(task: asyncio.Task[None]) -> None:
    _departures.discard(task)
    if not task.cancelled() and (error := task.exception()) is not None:
        logger.warning("The orders of a connection could not be looked at: %s", error)
