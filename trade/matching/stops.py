"""Stop orders, waiting for the last price to reach their stop.

A heap a side, the first to be reached on top: cancelling only marks the order, and the heap drops it when
it comes up, or with all others like it when they outnumber the living. So a price that reaches no stop costs
two comparisons.
"""

from collections.abc import Iterator
from heapq import heapify, heappop, heappush

from trade.matching.orders import BUY, SELL, Order

# Sweeping a heap is put off until this many dead orders are in it.
SWEEP_SLACK = 32


class Stops:
    """The waiting stop orders of both sides."""

    __slots__ = ("_heaps", "waiting")

    def __init__(self) -> None:
        self._heaps: dict[int, list[tuple[int, int, Order]]] = {BUY: [], SELL: []}
        self.waiting = 0

    def add(self, order: Order) -> None:
        order.is_stopped = True
        self.waiting += 1
        heappush(self._heaps[order.side], (order.side * order.stop_price, order.priority, order))

    def remove(self, order: Order) -> None:
        order.is_stopped = False
        self.waiting -= 1
        heap = self._heaps[order.side]
        if len(heap) > 2 * self.waiting + SWEEP_SLACK:
            heap[:] = [entry for entry in heap if entry[2].is_stopped]
            heapify(heap)

    def take_reached(self, last_price: int) -> list[Order]:
        """Take out the orders whose stop `last_price` reaches, by the time of their entry."""
        if not self.waiting:
            return []
        reached = [order for side in (BUY, SELL) for order in self._pop_reached(side, last_price)]
        reached.sort(key=lambda order: order.priority)
        return reached

    def _pop_reached(self, side: int, last_price: int) -> list[Order]:
        heap, reached = self._heaps[side], []
        while heap and (not heap[0][2].is_stopped or heap[0][0] <= side * last_price):
            order = heappop(heap)[2]
            if order.is_stopped:
                self.remove(order)
                reached.append(order)
        return reached

    def __len__(self) -> int:
        return self.waiting

    def __iter__(self) -> Iterator[Order]:
        """The waiting orders of both sides, in no order that matters."""
        return (order for heap in self._heaps.values() for _, _, order in heap if order.is_stopped)
