"""The entry lane: everything that has to be paid for before it may come to a stock's lane.

Orders that wait here are reserved together, many users' in one transaction. A basket is a transaction of
its own, all of its orders or none; so is a change of an order that may need more.
"""

from collections import Counter
from collections.abc import Callable, Sequence
from concurrent.futures import Future
from dataclasses import dataclass
from decimal import Decimal
from typing import Any

from django.db import Error as DatabaseFailure
from django.utils import timezone

from trade.engine.batch import answer
from trade.engine.commands import Enter, Recover, Replace
from trade.engine.trouble import T, Trouble, interrupted
from trade.services.order_rules import NewOrder
from trade.services.refusals import EngineBusy
from trade.services.replacement import Change, HeldChange, hold_for_change
from trade.services.reservation import (
    Reservation,
    Reserved,
    new_order_id,
    reserve_basket,
    reserve_orders,
)
from users.exceptions import Refusal


@dataclass(slots=True)
class Placement:
    """An order on its way in. The future's result has an `order_id`."""

    order_id: str
    new_order: NewOrder
    future: "Future[Any]"

    @classmethod
    def of(cls, new_order: NewOrder) -> "Placement":
        return cls(new_order_id(timezone.now()), new_order, Future())

    def give_up(self, error: Exception) -> None:
        """Answer that nothing was stored."""
        answer(self.future, error)


@dataclass(slots=True)
class Basket:
    """Orders that come in all or none. The future is done, or fails, when that is decided."""

    placements: list[Placement]
    future: "Future[Any]"

    def give_up(self, error: Exception) -> None:
        """Answer that nothing was stored."""
        answer(self.future, error)


@dataclass(slots=True)
class ChangeRequest:
    """A change of an order on its way in."""

    change: Change
    future: "Future[Any]"

    def give_up(self, error: Exception) -> None:
        """Answer that nothing was changed."""
        answer(self.future, error)


EntryItem = Placement | Basket | ChangeRequest


class BasketRefused(Refusal):
    """One leg of a basket was refused, so none was stored. The code is that of the leg's refusal."""

    def __init__(self, leg: int, refusal: Refusal) -> None:
        field = f"{leg}.{refusal.field}" if refusal.field else f"{leg}"
        super().__init__(f"order {leg}: {refusal.detail}", field=field)
        self.code = refusal.code
        self.status = 409 if refusal.status == 409 else 400
        self.leg = leg


class EntryStage:
    """RESERVE. `put` queues a command in a stock's lane (`Lanes.put`)."""

    def __init__(self, *, collar: Decimal, put: Callable[..., None], trouble: Trouble) -> None:
        # Orders whose match waits in a lane of this engine: not left behind, however long it takes.
        self.entering: set[str] = set()
        # Orders that were not taken, by the code of their refusal.
        self.refused: Counter[str] = Counter()
        self._collar = collar
        self._put = put
        self._trouble = trouble

    def run(self, items: Sequence[EntryItem]) -> None:
        """Reserve, and pass on to the stocks' lanes. Every item's future is, or will be, done."""
        items = [item for item in items if item.future.set_running_or_notify_cancel()]
        if placements := [item for item in items if isinstance(item, Placement)]:
            self._run_placements(placements, takes_next=len(placements) == len(items))
        for item in items:
            if isinstance(item, Basket):
                self._alone(item, self._run_basket)
            elif isinstance(item, ChangeRequest):
                self._alone(item, self._run_change)

    def _alone(self, item: T, work: Callable[[T], None]) -> None:
        try:
            work(item)
        except Exception as error:
            self._trouble.try_apart([item], error, work)

    # --- Orders -------------------------------------------------------------------------------------

    def _run_placements(self, placements: list[Placement], *, takes_next: bool = False) -> None:
        try:
            reservations = self._reserve(placements, reserve_orders)
        except Exception as error:
            self._trouble.try_apart(placements, error, lambda placement: self._run_placements([placement]))
            return
        for placement, reservation in zip(placements, reservations, strict=True):
            self._pass_on(placement, reservation, takes_next=takes_next)

    def _reserve(
        self, placements: Sequence[Placement], reserve: Callable[..., list[Reservation]]
    ) -> list[Reservation]:
        orders = [(item.order_id, item.new_order) for item in placements]
        for attempt in self._trouble.attempts():
            try:
                return reserve(orders=orders, collar=self._collar, now=timezone.now(), is_retry=attempt > 0)
            except DatabaseFailure as error:
                self._trouble.database_away(error, attempt)
        raise interrupted()

    def _pass_on(self, placement: Placement, reservation: Reservation, *, takes_next: bool = False) -> None:
        if isinstance(reservation, Reserved):
            enter = Enter(placement.future, reservation)
            stock_id = placement.new_order.stock_id
            self.let_in(stock_id, reservation.order_id, enter, takes_next=takes_next)
        else:
            if isinstance(reservation, Refusal):
                self.refused[reservation.code] += 1
            answer(placement.future, reservation)

    def let_in(
        self, stock_id: str, order_id: str, command: Enter | Recover, *, takes_next: bool = False
    ) -> None:
        """Queue an order for its match, and remember until then that it is on its way."""
        self.entering.add(order_id)
        command.future.add_done_callback(lambda _: self.entering.discard(order_id))
        try:
            self._put(stock_id, command, takes_next=takes_next)
        except EngineBusy as busy:
            command.give_up(busy)

    # --- Baskets and changes ------------------------------------------------------------------------

    def _run_basket(self, basket: Basket) -> None:
        reservations = self._reserve(basket.placements, reserve_basket)
        for leg, reservation in enumerate(reservations):
            if isinstance(reservation, Refusal):
                self.refused[reservation.code] += 1
                raise BasketRefused(leg, reservation)
        for placement, reservation in zip(basket.placements, reservations, strict=True):
            self._pass_on(placement, reservation)
        basket.future.set_result(None)

    def _run_change(self, request: ChangeRequest) -> None:
        held = self._hold(request.change)
        # Refused now, what is held is freed by the sweep.
        self._put(held.stock_id, Replace(request.future, held))

    def _hold(self, change: Change) -> HeldChange:
        for attempt in self._trouble.attempts():
            try:
                return hold_for_change(change, now=timezone.now())
            except DatabaseFailure as error:
                self._trouble.database_away(error, attempt)
        raise interrupted()
