"""Bodies that users send, and what they are answered."""

from typing import Any

from django.contrib.auth.validators import UnicodeUsernameValidator
from rest_framework import serializers

from users.inputs import EmailField, MoneyField, StrictSerializer, TextField, json_number, json_time
from users.models import LedgerEntry, User
from users.selectors import account_of

MAX_PASSWORD_LENGTH = 128
MAX_USERNAME_LENGTH = 150


class PasswordField(TextField):
    def __init__(self, **kwargs: Any) -> None:
        super().__init__(
            max_length=MAX_PASSWORD_LENGTH,
            trim_whitespace=False,
            style={"input_type": "password"},
            write_only=True,
            **kwargs,
        )


class SignUpInput(StrictSerializer):
    """POST users/"""

    username = TextField(max_length=MAX_USERNAME_LENGTH, validators=[UnicodeUsernameValidator()])
    password = PasswordField()
    email = EmailField(max_length=254)


class UserChangeInput(StrictSerializer):
    """PATCH users/<id>/"""

    email = EmailField(max_length=254, required=False)
    password = PasswordField(required=False)


class LogInInput(StrictSerializer):
    """POST auth/token/"""

    username = TextField(max_length=MAX_USERNAME_LENGTH)
    password = PasswordField()


class AmountInput(StrictSerializer):
    """POST users/<id>/deposit/ and withdraw/"""

    amount = MoneyField()


class TokenOut(serializers.Serializer):
    token = serializers.CharField()
    expiry = serializers.DateTimeField(allow_null=True)


class SignedUpOut(serializers.Serializer):
    id = serializers.IntegerField()
    username = serializers.CharField()
    email = serializers.EmailField()
    balance = serializers.FloatField()


class AccountOut(SignedUpOut):
    reserved = serializers.FloatField(help_text="The part of the balance that open buy orders hold.")
    available = serializers.FloatField()
    unsettled = serializers.FloatField(help_text="Beside the balance: of sales that have not settled yet.")


class LedgerEntryOut(serializers.Serializer):
    id = serializers.IntegerField()
    kind = serializers.ChoiceField(LedgerEntry.Kind.choices)
    amount = serializers.FloatField(help_text="Negative for cash that left the account.")
    balance = serializers.FloatField(help_text="The balance it left.")
    reference = serializers.CharField(help_text="What caused it: `<stock_id>:<sequence>` of a trade.")
    timestamp = serializers.DateTimeField()


def render_signed_up(user: User) -> dict[str, Any]:
    return {
        "id": user.pk,
        "username": user.username,
        "email": user.email,
        "balance": json_number(account_of(user).balance),
    }


def render_account(user: User) -> dict[str, Any]:
    account = account_of(user)
    return {
        **render_signed_up(user),
        "reserved": json_number(account.reserved),
        "available": json_number(account.balance - account.reserved),
        "unsettled": json_number(account.unsettled),
    }


def render_ledger_entry(entry: LedgerEntry) -> dict[str, Any]:
    return {
        "id": entry.pk,
        "kind": entry.kind,
        "amount": json_number(entry.amount),
        "balance": json_number(entry.balance_after),
        "reference": entry.reference,
        "timestamp": json_time(entry.created_at),
    }
