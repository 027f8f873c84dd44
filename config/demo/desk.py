"""How a house bot reaches the market: it reads rows, and trades through the engine as any user does.

A refusal is an answer, not an error: it is counted and the bot goes on. Only the bots' thread comes here.
"""

from collections import Counter, deque
from collections.abc import Iterable, Sequence
from concurrent.futures import Future
from typing import Any, Protocol
from uuid import UUID

from config.demo.quoting import Resting, StockView
from trade.services.order_rules import NewOrder
from users.exceptions import Refusal
from users.rows import fetch_rows, read_uuid

# A match takes milliseconds. A bot that waits longer than this would rather look again.
ANSWER_TIMEOUT_S = 10.0


class Engine(Protocol):
    """The part of the engine's face that bots use."""

    def submit_order(self, new_order: NewOrder) -> "Future[Any]": ...

    def cancel_order(self, order_id: UUID, user_id: int | None) -> Any: ...


class Desk:
    """Reads and trades for the bots, and counts what they did."""

    def __init__(self, engine: Engine) -> None:
        self._engine = engine
        self.placed = self.cancelled = 0
        self.refused: Counter[str] = Counter()

    def views(self) -> dict[str, StockView]:
        """The stocks as the outside market quotes them; without those that have no price or are halted."""
        rows = fetch_rows(
            "SELECT stock_id, quote_price, price_increment, lot_size, quote_bid_quantity, quote_ask_quantity "
            "FROM stocks_stock WHERE status = 'open' AND quote_price IS NOT NULL"
        )
        return {row[0]: StockView(*row) for row in rows}

    def resting(self, user_id: int, stock_id: str) -> list[Resting]:
        """The user's limit orders in the book of one stock."""
        # By the partial index of open orders: literals let the planner see that it serves, and the sum keeps
        # it from going through all orders that the user ever placed.
        rows = fetch_rows(
            "SELECT order_id, side, limit_price, remaining_quantity FROM trade_order WHERE stock_id = %s "
            "AND side IN ('buy', 'sell') AND remaining_quantity > 0 AND user_id + 0 = %s AND type = 'limit'",
            [stock_id, user_id],
        )
        return [Resting(read_uuid(order_id), *rest) for order_id, *rest in rows]

    def open_order_ids(self, user_id: int) -> list[str]:
        """All of the user's open orders, oldest first. Reads much: for the start only."""
        rows = fetch_rows(
            "SELECT order_id FROM trade_order WHERE user_id = %s AND remaining_quantity > 0 ORDER BY created_at",
            [user_id],
        )
        return [read_uuid(order_id) for (order_id,) in rows]

    def shares(self, user_id: int, stock_id: str) -> int:
        """How many shares the user holds, reserved ones included."""
        rows = fetch_rows(
            "SELECT quantity FROM stocks_holding WHERE user_id = %s AND stock_id = %s", [user_id, stock_id]
        )
        return rows[0][0] if rows else 0

    def free_cash(self, user_id: int) -> int:
        """Units that the user could still reserve."""
        rows = fetch_rows("SELECT balance - reserved FROM users_cashaccount WHERE user_id = %s", [user_id])
        return rows[0][0] if rows else 0

    def place(self, orders: Sequence[NewOrder]) -> list[str]:
        """Place orders together; the ids of those that were taken."""
        futures = []
        for order in orders:
            try:
                futures.append(self._engine.submit_order(order))
            except Refusal as refusal:
                self.refused[refusal.code] += 1
        taken = []
        for future in futures:
            try:
                taken.append(future.result(ANSWER_TIMEOUT_S).order_id)
            except Refusal as refusal:
                self.refused[refusal.code] += 1
        self.placed += len(taken)
        return taken

    def cancel(self, user_id: int, order_ids: Iterable[str]) -> None:
        """Cancel orders. One that is finished by now is what was wanted."""
        for order_id in order_ids:
            try:
                self._engine.cancel_order(UUID(order_id), user_id)
                self.cancelled += 1
            except Refusal as refusal:
                self.refused[refusal.code] += 1


class OwnOrders:
    """The orders a bot may still have open: never more than `limit`."""

    def __init__(self, order_ids: Iterable[str], limit: int) -> None:
        self._order_ids = deque(order_ids)
        self._limit = limit

    def add(self, order_ids: Iterable[str]) -> None:
        self._order_ids.extend(order_ids)

    def take_excess(self) -> list[str]:
        """The oldest ones, to be cancelled before one more is placed."""
        excess = max(0, len(self._order_ids) - self._limit + 1)
        return [self._order_ids.popleft() for _ in range(excess)]
