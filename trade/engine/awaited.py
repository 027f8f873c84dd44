"""The engine's calls for an event loop: the loop goes on while they wait, and placing needs no thread.

They return and raise what the calls of the same name on `MarketEngine` do. Who stops waiting (a client that
went away) stops nothing: the order is placed all the same.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from typing import TypeVar
from uuid import UUID
from weakref import WeakKeyDictionary

from django.conf import settings

from trade.engine.commands import OrderState
from trade.engine.entry import Placement
from trade.engine.gateway import get_engine
from trade.models import Order
from trade.services.order_rules import NewOrder
from users.exceptions import Refusal

T = TypeVar("T")


async def place_order(new_order: NewOrder) -> Order:
    """Reserve and match one order; the order as it then is, or the Refusal as an exception."""
    (result,) = await place_orders([new_order])
    if isinstance(result, Refusal):
        raise result
    return result


async def place_orders(new_orders: Sequence[NewOrder]) -> list[Order | Refusal]:
    """As `place_order` for many, each on its own, in the same sequence."""
    if not new_orders:
        return []
    engine = get_engine()
    placements = engine.submit_orders(new_orders)
    await _answered(placements, settings.ORDER_ANSWER_TIMEOUT_S)
    if all(_is_at_hand(placement) for placement in placements):
        return engine.outcomes(placements, timeout_s=0)
    return await in_thread(lambda: engine.outcomes(placements, timeout_s=0))


async def replace_order(
    order_id: UUID, user_id: int, *, price: int | None = None, quantity: int | None = None
) -> Order:
    """Give an open order a new price (units) or total quantity; the order as it then is."""
    return await in_thread(
        lambda: get_engine().replace_order(order_id, user_id, price=price, quantity=quantity)
    )


async def cancel_order(order_id: UUID, user_id: int | None = None) -> Order:
    """Cancel one order (of that user, if given)."""
    return await in_thread(lambda: get_engine().cancel_order(order_id, user_id))


async def in_thread(function: Callable[[], T]) -> T:
    """What `function` returns, called in a thread of the engine's that may ask the database."""
    return await get_engine().callers.run(function)


class _Answers:
    """Counts the answers that one caller still waits for. Belongs to the loop's thread."""

    __slots__ = ("all_there", "missing")

    def __init__(self, missing: int, all_there: "asyncio.Future[None]") -> None:
        self.missing = missing
        self.all_there = all_there

    def one_more(self) -> None:
        self.missing -= 1
        if not self.missing and not self.all_there.done():
            self.all_there.set_result(None)


class _Bell:
    """Tells the callers in one loop of their answers, from any thread.

    A batch answers many orders in a row: they share one call into the loop. Each such call lets go of the
    interpreter, and a thread that does so for every order waits long to get it back.
    """

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._answered: deque[_Answers] = deque()
        self._has_rung = False

    def ring(self, answers: _Answers) -> None:
        self._answered.append(answers)
        if not self._has_rung:
            self._has_rung = True
            # A loop that was closed has nobody left who waits.
            with suppress(RuntimeError):
                self._loop.call_soon_threadsafe(self._tell)

    def _tell(self) -> None:
        # First: what is added from here on is either seen below or rung for again.
        self._has_rung = False
        while self._answered:
            self._answered.popleft().one_more()


_bells: WeakKeyDictionary[asyncio.AbstractEventLoop, _Bell] = WeakKeyDictionary()


async def _answered(placements: Sequence[Placement], timeout_s: float) -> None:
    """Return when all are answered, or the time is over."""
    loop = asyncio.get_running_loop()
    bell = _bells.get(loop)
    if bell is None:
        bell = _bells[loop] = _Bell(loop)
    answers = _Answers(len(placements), loop.create_future())
    ring = partial(_ring, bell, answers)
    for placement in placements:
        placement.future.add_done_callback(ring)
    timer = loop.call_later(timeout_s, _give_up, answers.all_there)
    try:
        await answers.all_there
    finally:
        timer.cancel()


def _ring(bell: _Bell, answers: _Answers, _: object) -> None:
    bell.ring(answers)


def _give_up(all_there: "asyncio.Future[None]") -> None:
    if not all_there.done():
        all_there.set_result(None)


def _is_at_hand(placement: Placement) -> bool:
    """Whether the outcome is known without asking the database."""
    future = placement.future
    return future.done() and (future.exception() is not None or isinstance(future.result(), OrderState))
