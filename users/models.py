"""Who trades and what cash they have.

A `CashAccount` is the running total of its `LedgerEntry` rows: `balance` equals the newest entry's
`balance_after`, at every commit. `reserved` is the part of the balance that open buy orders hold.
`unsettled` lies beside the balance: proceeds of sales that have not settled, and are not in the ledger yet.
"""

from decimal import Decimal

from django.contrib.auth.models import AbstractUser
from django.db import models
from django.db.models import F, Q
from django.db.models.functions import Lower

from users.fields import FixedPointField


class User(AbstractUser):
    """A person or a bot that trades. Deactivated, never deleted: the books stay."""

    class Meta:
        ordering = ["id"]
        constraints = [
            # "Ann" and "ann" would be taken for one another.
            models.UniqueConstraint(
                Lower("username"),
                name="user_username_any_case",
                violation_error_message="A user with that username already exists.",
            )
        ]


class CashAccount(models.Model):
    """One user's cash. Written under its row lock, by `users.services` only."""

    user = models.OneToOneField(User, on_delete=models.PROTECT, primary_key=True, related_name="account")
    balance = FixedPointField(default=Decimal(0))
    reserved = FixedPointField(default=Decimal(0))
    unsettled = FixedPointField(default=Decimal(0))

    class Meta:
        constraints = [
            models.CheckConstraint(
                name="cash_reserved_within_balance",
                condition=Q(reserved__gte=0, reserved__lte=F("balance")),
            ),
            models.CheckConstraint(name="cash_unsettled_not_negative", condition=Q(unsettled__gte=0)),
        ]

    def __str__(self) -> str:
        return f"account of {self.user_id}"


class LedgerEntry(models.Model):
    """One signed cash movement and the balance it left. Never changed, never deleted."""

    class Kind(models.TextChoices):
        OPENING = "opening"
        DEPOSIT = "deposit"
        WITHDRAWAL = "withdrawal"
        TRADE = "trade"
        FEE = "fee"

    account = models.ForeignKey(CashAccount, on_delete=models.PROTECT, related_name="entries", db_index=False)
    kind = models.CharField(max_length=16, choices=Kind)
    amount = FixedPointField()
    balance_after = FixedPointField()
    # What caused it, by its natural key: "<stock_id>:<sequence>" of the trade, empty for deposits.
    reference = models.CharField(max_length=96, blank=True, default="")
    idempotency_key = models.CharField(max_length=128, null=True, blank=True)
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["-id"]
        verbose_name_plural = "ledger entries"
        indexes = [
            models.Index(fields=["account", "-id"], name="ledger_account_newest"),
            # What users brought and took: few rows among those of trades, which do not pay for it.
            models.Index(
                fields=["account"],
                name="ledger_transfers",
                condition=Q(kind__in=["opening", "deposit", "withdrawal"]),
            ),
        ]
        constraints = [
            models.CheckConstraint(name="ledger_balance_not_negative", condition=Q(balance_after__gte=0)),
            models.CheckConstraint(name="ledger_amount_not_zero", condition=~Q(amount=0)),
            models.UniqueConstraint(
                name="ledger_idempotency_key_unique",
                fields=["account", "idempotency_key"],
                condition=Q(idempotency_key__isnull=False),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.kind} {self.amount}"
