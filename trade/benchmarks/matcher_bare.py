"""The limit beside which the matcher is measured: a book that knows limit and cancel, and nothing else.

A heap of prices and a dictionary of queues a side, and orders that are lists of two. No users, no events, no
levels to show; a cancelled order stays where it was until a trade comes by. Much less than this is no order book.
"""

from collections import deque
from heapq import heappop, heappush

BareTrade = tuple[int, int]


class BareBook:
    """Trades are appended to `trades` as (price, quantity)."""

    __slots__ = ("orders", "sides", "trades")

    def __init__(self) -> None:
        # By side: keys with the best price first, and the queue of each key. A bid's key is its price negated.
        self.sides: dict[int, tuple[list[int], dict[int, deque[list]]]] = {1: ([], {}), -1: ([], {})}
        # [order id, open quantity], by order id.
        self.orders: dict[str, list] = {}
        self.trades: list[BareTrade] = []

    def limit(self, order_id: str, side: int, price: int, quantity: int) -> None:
        worst = side * price
        keys, queues = self.sides[-side]
        while keys and (key := keys[0]) <= worst:
            queue = queues[key]
            while queue:
                maker = queue[0]
                available = maker[1]
                if quantity < available:
                    maker[1] = available - quantity
                    self.trades.append((side * key, quantity))
                    return
                queue.popleft()
                if available:
                    del self.orders[maker[0]]
                    self.trades.append((side * key, available))
                    quantity -= available
                    if not quantity:
                        return
            heappop(keys)
            del queues[key]
        keys, queues = self.sides[side]
        order = self.orders[order_id] = [order_id, quantity]
        if -worst in queues:
            queues[-worst].append(order)
        else:
            queues[-worst] = deque((order,))
            heappush(keys, -worst)

    def cancel(self, order_id: str) -> None:
        self.orders.pop(order_id)[1] = 0
