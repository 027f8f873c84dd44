"""Money and prices: whole ten-thousandths in the database, `Decimal` in Python.

One *unit* is 0.0001 of the currency. A `DecimalField` is a float underneath on SQLite and loses digits;
a BIGINT does not. Rules and hot paths work on units (`int`), people and JSON see `Decimal`.
"""

from decimal import Decimal
from typing import Any

from django.core.exceptions import ValidationError
from django.db import models
from django.db.models.expressions import Combinable

DECIMAL_PLACES = 4
SCALE = 10**DECIMAL_PLACES

# Fifteen significant digits: the most that every JSON reader's double shows exactly.
MAX_MONEY_UNITS = 10**15 - 1
MAX_MONEY = Decimal(MAX_MONEY_UNITS).scaleb(-DECIMAL_PLACES)
MAX_PRICE = Decimal(1_000_000)
MAX_PRICE_UNITS = int(MAX_PRICE) * SCALE
# The most shares in one order: with the highest price the value still fits in a BIGINT of units.
MAX_QUANTITY = 100_000_000


def to_units(value: Decimal | int) -> int:
    """The whole number of ten-thousandths in `value`. ValueError when it is not whole, or not finite."""
    if isinstance(value, bool) or not isinstance(value, Decimal | int):
        raise ValueError(f"{value!r} is not a Decimal or an int")
    if isinstance(value, int):
        return value * SCALE
    if not value.is_finite() or value.adjusted() > 18:
        raise ValueError(f"{value} is out of range")
    units = value.scaleb(DECIMAL_PLACES)
    if units != (whole := int(units)):
        raise ValueError(f"{value} has more than {DECIMAL_PLACES} decimal places")
    return whole


def from_units(units: int) -> Decimal:
    """The exact `Decimal` of a number of ten-thousandths."""
    return Decimal(units).scaleb(-DECIMAL_PLACES)


class FixedPointField(models.BigIntegerField):
    """A `Decimal` with four places, stored as a BIGINT of ten-thousandths.

    Takes `Decimal`, `int` and decimal text; a `float` is refused, because it has already lost digits.
    A value with more than four decimal places is refused, never rounded.
    """

    description = "exact decimal number with four places"
    # For the type checker: what the attribute takes, what it gives, what a lookup takes.
    _pyi_private_set_type: Decimal | int | str | Combinable  # type: ignore[assignment]
    _pyi_private_get_type: Decimal  # type: ignore[assignment]
    _pyi_lookup_exact_type: Decimal | int | str  # type: ignore[assignment]
    default_error_messages = {"inexact": "“%(value)s” is not a decimal number with at most four places."}

    def from_db_value(self, value: int | None, *_: Any) -> Decimal | None:
        return None if value is None else from_units(int(value))

    def to_python(self, value: Any) -> Decimal | None:
        if value is None or value == "":
            return None
        try:
            if isinstance(value, str):
                value = Decimal(value.strip())
            return from_units(to_units(value))
        except (ValueError, ArithmeticError):
            raise ValidationError(
                self.error_messages["inexact"], code="inexact", params={"value": value}
            ) from None

    def get_prep_value(self, value: Any) -> Any:
        if value is None or hasattr(value, "resolve_expression"):
            return value
        python_value = self.to_python(value)
        return None if python_value is None else to_units(python_value)

    def get_db_prep_value(self, value: Any, connection: Any, prepared: bool = False) -> Any:
        return value if prepared else self.get_prep_value(value)

    def value_to_string(self, obj: models.Model) -> str:
        value = self.value_from_object(obj)
        return "" if value is None else str(value)

    def formfield(self, **kwargs: Any) -> Any:
        from django import forms

        return models.Field.formfield(
            self,
            **{
                "form_class": forms.DecimalField,
                "decimal_places": DECIMAL_PLACES,
                "max_digits": 19,
                **kwargs,
            },
        )
