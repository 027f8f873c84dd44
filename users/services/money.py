"""Cash that comes in and goes out: every change is one ledger entry, booked under the account's row lock.

With an idempotency key a booking happens once, however often it is asked for: the key is looked up under
the lock, and is unique per account in the database. Deposits and withdrawals share the keys of an account.
A refused booking leaves no trace, and its key free.
"""

from datetime import datetime
from decimal import Decimal

from django.db import transaction

from users.exceptions import Refusal, UnknownUser
from users.fields import MAX_MONEY, MAX_MONEY_UNITS, from_units, to_units
from users.models import CashAccount, LedgerEntry
from users.services.cash import InsufficientFunds, LockedAccount, lock_accounts, write_accounts


class BalanceTooLarge(Refusal):
    """The account would hold more than can be shown exactly."""

    code = "balance_too_large"
    field = "amount"


class IdempotencyKeyReused(Refusal):
    """This key belongs to another booking of this account."""

    code = "idempotency_key_reused"
    status = 409
    field = "Idempotency-Key"


def deposit(
    *, user_id: int, amount: Decimal, idempotency_key: str | None = None, now: datetime
) -> CashAccount:
    """Pay `amount` in; the account as it is afterwards."""
    return _book(user_id, LedgerEntry.Kind.DEPOSIT, to_units(amount), idempotency_key, now)


def withdraw(
    *, user_id: int, amount: Decimal, idempotency_key: str | None = None, now: datetime
) -> CashAccount:
    """Pay `amount` out of what no open order holds; the account as it is afterwards."""
    return _book(user_id, LedgerEntry.Kind.WITHDRAWAL, -to_units(amount), idempotency_key, now)


def book_opening_balance(*, user_id: int, amount: Decimal, now: datetime) -> CashAccount:
    """Open the account of a new user with `amount`, which may be zero."""
    return _book(user_id, LedgerEntry.Kind.OPENING, to_units(amount), None, now)


def _book(
    user_id: int, kind: LedgerEntry.Kind, amount: int, idempotency_key: str | None, now: datetime
) -> CashAccount:
    """Book signed units. Nothing happens when this key has booked the same before."""
    with transaction.atomic():
        account = lock_accounts([user_id]).get(user_id)
        if account is None:
            raise UnknownUser(f"there is no user {user_id}")
        if amount and not _is_booked(account, kind, amount, idempotency_key):
            _move(account, amount)
            write_accounts([account])
            LedgerEntry.objects.create(
                account_id=user_id,
                kind=kind,
                amount=from_units(amount),
                balance_after=from_units(account.balance),
                idempotency_key=idempotency_key,
                created_at=now,
            )
    return CashAccount(
        user_id=user_id,
        balance=from_units(account.balance),
        reserved=from_units(account.reserved),
        unsettled=from_units(account.unsettled),
    )


def _is_booked(account: LockedAccount, kind: LedgerEntry.Kind, amount: int, key: str | None) -> bool:
    if key is None:
        return False
    entry = LedgerEntry.objects.filter(account_id=account.user_id, idempotency_key=key).first()
    if entry is not None and (entry.kind, entry.amount) != (kind, from_units(amount)):
        raise IdempotencyKeyReused("this Idempotency-Key belongs to another booking")
    return entry is not None


def _move(account: LockedAccount, amount: int) -> None:
    if -amount > account.available:
        raise InsufficientFunds("you dont have the fund to withdraw", field="amount")
    if account.balance + amount > MAX_MONEY_UNITS:
        raise BalanceTooLarge(f"a balance can be at most {MAX_MONEY}")
    account.balance += amount
