"""Cash under lock: what trading holds, releases and books.

Callers are in a transaction. They lock every account that they will touch in one call (in id order:
two settlements may share a pair of users), change the `LockedAccount`s, and write them once.
Amounts are units (ten-thousandths of the currency).
"""

from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime

from users.exceptions import Refusal
from users.models import CashAccount, LedgerEntry
from users.rows import Row, fetch_rows, insert_rows, lock_clause, marks, update_rows


class InsufficientFunds(Refusal):
    """The account cannot hold or pay this much."""

    code = "insufficient_funds"


@dataclass(slots=True)
class LockedAccount:
    """A cash account whose row is locked by this transaction."""

    user_id: int
    balance: int
    reserved: int
    unsettled: int = 0

    @property
    def available(self) -> int:
        return self.balance - self.reserved

    def hold(self, amount: int) -> None:
        """Reserve `amount`. InsufficientFunds when it is not available."""
        if amount > self.available:
            raise InsufficientFunds("you dont have the fund to place this order")
        self.reserved += amount

    def release(self, amount: int) -> None:
        """Free `amount` of what is reserved."""
        assert 0 <= amount <= self.reserved, f"releasing {amount} of {self.reserved}"
        self.reserved -= amount

    def defer(self, amount: int) -> None:
        """Keep what is earned beside the balance, until `settle`."""
        self.unsettled += amount

    def settle(self, amount: int) -> None:
        """Take `amount` off what is unsettled: the caller books it."""
        assert 0 <= amount <= self.unsettled, f"settling {amount} of {self.unsettled}"
        self.unsettled -= amount


@dataclass(frozen=True, slots=True)
class CashMovement:
    """One line for the ledger. `reference` names its cause, `<stock_id>:<sequence>` for a trade."""

    user_id: int
    kind: str
    amount: int
    reference: str


def lock_accounts(user_ids: Iterable[int]) -> dict[int, LockedAccount]:
    """The accounts of these users, locked in id order.

    A user who has none yet gets an empty one; users that do not exist are left out.
    """
    wanted = sorted(set(user_ids))
    accounts = _lock_existing(wanted)
    missing = [user_id for user_id in wanted if user_id not in accounts]
    if missing and _open_accounts(missing):
        accounts = _lock_existing(wanted)
    return accounts


def write_accounts(accounts: Iterable[LockedAccount]) -> None:
    """Store what locked accounts have become."""
    rows = [(account.user_id, account.balance, account.reserved, account.unsettled) for account in accounts]
    update_rows(CashAccount, ["user_id"], ["balance", "reserved", "unsettled"], rows)


def book_movements(
    accounts: dict[int, LockedAccount], movements: Iterable[CashMovement], *, now: datetime
) -> None:
    """Apply signed movements to locked accounts and write their ledger lines, with running balance."""
    insert_rows(LedgerEntry, LEDGER_COLUMNS, booked(accounts, movements, now))


LEDGER_COLUMNS = ("account_id", "kind", "amount", "balance_after", "reference", "created_at")


def booked(accounts: dict[int, LockedAccount], movements: Iterable[CashMovement], now: datetime) -> list[Row]:
    """Apply signed movements to the accounts; their ledger lines, with the running balance."""
    rows: list[Row] = []
    for movement in movements:
        account = accounts[movement.user_id]
        account.balance += movement.amount
        rows.append(
            (movement.user_id, movement.kind, movement.amount, account.balance, movement.reference, now)
        )
    return rows


def _lock_existing(user_ids: list[int]) -> dict[int, LockedAccount]:
    if not user_ids:
        return {}
    rows = fetch_rows(
        "SELECT user_id, balance, reserved, unsettled FROM users_cashaccount "
        f"WHERE user_id IN ({marks(len(user_ids))}) ORDER BY user_id {lock_clause()}",
        user_ids,
    )
    return {row[0]: LockedAccount(*row) for row in rows}


def _open_accounts(user_ids: list[int]) -> bool:
    """Open empty accounts for those that exist as users. True when there was one."""
    known = fetch_rows(f"SELECT id FROM users_user WHERE id IN ({marks(len(user_ids))})", user_ids)
    CashAccount.objects.bulk_create(
        [CashAccount(user_id=user_id) for (user_id,) in known], ignore_conflicts=True
    )
    return bool(known)
