"""Shares under lock: what trading holds, releases and moves.

As with cash (`users.services.cash`): lock all in one call, in id order, change, write once. Accounts are
locked before holdings, everywhere.
"""

from collections.abc import Iterable
from dataclasses import dataclass

from stocks.models import Holding
from users.exceptions import Refusal
from users.rows import fetch_rows, lock_clause, update_rows

HoldingKey = tuple[int, str]


class InsufficientShares(Refusal):
    """The user does not have this many shares free."""

    code = "insufficient_shares"


@dataclass(slots=True)
class LockedHolding:
    """A holding whose row is locked by this transaction. `cost` is in units, of the unsettled shares too."""

    holding_id: int
    quantity: int
    reserved: int
    cost: int
    unsettled: int = 0

    @property
    def available(self) -> int:
        return self.quantity - self.reserved

    def hold(self, quantity: int) -> None:
        """Reserve shares. InsufficientShares when they are not available."""
        if quantity > self.available:
            raise InsufficientShares("you dont have enough shares to place this order")
        self.reserved += quantity

    def release(self, quantity: int) -> None:
        """Free reserved shares."""
        assert 0 <= quantity <= self.reserved, f"releasing {quantity} of {self.reserved}"
        self.reserved -= quantity

    def buy(self, quantity: int, value: int) -> None:
        """Add shares that cost `value` units in all."""
        self.quantity += quantity
        self.cost += value

    def buy_unsettled(self, quantity: int, value: int) -> None:
        """As `buy`; the shares are not for sale before `settle`."""
        self.unsettled += quantity
        self.cost += value

    def settle(self, quantity: int) -> None:
        """Make unsettled shares free ones. Their cost counts from the day they were bought."""
        assert 0 <= quantity <= self.unsettled, f"settling {quantity} of {self.unsettled}"
        self.unsettled -= quantity
        self.quantity += quantity

    def sell(self, quantity: int) -> None:
        """Take shares away, and their part of the cost (average cost, rounded down)."""
        self.cost -= self.cost * quantity // (self.quantity + self.unsettled)
        self.quantity -= quantity


def lock_holdings(keys: Iterable[HoldingKey], *, create: bool = False) -> dict[HoldingKey, LockedHolding]:
    """The holdings of these (user_id, stock_id) pairs, locked in id order; missing ones made if `create`."""
    wanted = set(keys)
    if not wanted:
        return {}
    found = _lock_existing(wanted)
    if create and len(found) < len(wanted):
        missing = [
            Holding(user_id=user_id, stock_id=stock_id) for user_id, stock_id in sorted(wanted - set(found))
        ]
        Holding.objects.bulk_create(missing, ignore_conflicts=True)
        found = _lock_existing(wanted)
    return found


def write_holdings(holdings: Iterable[LockedHolding]) -> None:
    """Store what locked holdings have become."""
    rows = [(item.holding_id, item.quantity, item.reserved, item.cost, item.unsettled) for item in holdings]
    update_rows(Holding, ["id"], ["quantity", "reserved", "cost", "unsettled"], rows)


def _lock_existing(keys: set[HoldingKey]) -> dict[HoldingKey, LockedHolding]:
    pairs = ", ".join(["(%s, %s)"] * len(keys))
    rows = fetch_rows(
        # Not `IN (VALUES ...)`: for that SQLite reads the whole table.
        f"WITH wanted (user_id, stock_id) AS (VALUES {pairs}) "
        "SELECT id, user_id, stock_id, quantity, reserved, cost, unsettled "
        f"FROM wanted JOIN stocks_holding USING (user_id, stock_id) ORDER BY id {lock_clause()}",
        [value for key in keys for value in key],
    )
    return {
        (user_id, stock_id): LockedHolding(holding_id, *amounts)
        for holding_id, user_id, stock_id, *amounts in rows
    }
