"""What may come in from outside, and how numbers go out.

The fields here are stricter than those of Django REST Framework, which take booleans, full-width digits,
"1_000", NaN and 10^400. Each rule that an input can break has its own stable code. Money and prices go out
as JSON numbers: fifteen significant digits are the most a double shows exactly, and no amount has more.
"""

import re
from collections.abc import Mapping
from datetime import UTC, datetime, time, timedelta
from decimal import Decimal
from functools import cache
from typing import Any

from django.http import QueryDict
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import extend_schema_field
from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.serializers import as_serializer_error

from users.fields import DECIMAL_PLACES, MAX_MONEY, MAX_PRICE, MAX_QUANTITY, SCALE

# No number that fits a column is longer; what is longer is not worth reading.
MAX_NUMBER_LENGTH = 64
MAX_NAME_ECHOED = 64
MAX_UNKNOWN_FIELDS_NAMED = 10
MAX_ID = 2**63 - 1

_DECIMAL_TEXT = re.compile(r"-?[0-9]+(\.[0-9]+)?([eE][+-]?[0-9]+)?\Z", re.ASCII)
_NOT_FINITE_TEXT = re.compile(r"[+-]?(s?nan|inf|infinity)\Z", re.ASCII | re.IGNORECASE)
_WHOLE_TEXT = re.compile(r"-?[0-9]+\Z", re.ASCII)
# A "+" that a client forgot to encode arrives as a space: "04:00:00 02:00" is an offset, too.
_MOMENT = re.compile(
    r"([0-9]{4})-([0-9]{2})-([0-9]{2})"
    r"(?:[T ]([0-9]{2}):([0-9]{2})(?::([0-9]{2})(?:\.([0-9]{1,6}))?)?(Z|[+ -][0-9]{2}:?[0-9]{2})?)?\Z",
    re.ASCII,
)


def json_number(value: Decimal) -> float:
    """The double that prints as exactly this amount."""
    return float(value)


def json_units(units: int) -> float:
    """The double that prints as exactly this number of ten-thousandths."""
    return units / SCALE


class _NumberField(serializers.Field):
    """What all number fields share: range, sign, and the order in which the rules are checked."""

    default_error_messages = {
        "not_a_number": "Give a number or a decimal string, such as 100.5.",
        "not_finite": "NaN and Infinity are not amounts.",
        "not_positive": "Give a number greater than zero.",
        "zero": "Zero is not allowed.",
        "too_large": "Give a number of at most {limit}.",
        "too_small": "Give a number of at least -{limit}.",
    }

    def __init__(self, *, limit: Decimal | int, signed: bool = False, **kwargs: Any) -> None:
        self.limit = limit
        self.signed = signed
        super().__init__(**kwargs)

    def check_range(self, value: Decimal | int) -> None:
        if value == 0:
            self.fail("zero" if self.signed else "not_positive")
        if value < 0 and not self.signed:
            self.fail("not_positive")
        if value > self.limit:
            self.fail("too_large", limit=self.limit)
        if value < -self.limit:
            self.fail("too_small", limit=self.limit)

    def to_representation(self, value: Decimal | int) -> Decimal | int:
        """Nothing is answered through these fields: this shows a default in the schema."""
        return value


@extend_schema_field(OpenApiTypes.DOUBLE)
class MoneyField(_NumberField):
    """An exact amount with at most four decimals, greater than zero, at most `limit`."""

    default_error_messages = {
        "too_many_decimals": f"Give at most {DECIMAL_PLACES} decimal places.",
    }

    def __init__(self, *, limit: Decimal = MAX_MONEY, **kwargs: Any) -> None:
        super().__init__(limit=limit, **kwargs)

    def to_internal_value(self, data: Any) -> Decimal:
        value = self._decimal(data)
        if not value.is_finite():
            self.fail("not_finite")
        self.check_range(value)
        # Only now: a number out of range may have more digits than can be quantized.
        if value != value.quantize(Decimal(1).scaleb(-DECIMAL_PLACES)):
            self.fail("too_many_decimals")
        return value

    def _decimal(self, data: Any) -> Decimal:
        if isinstance(data, bool):
            self.fail("not_a_number")
        if isinstance(data, Decimal | int):
            return Decimal(data)
        text = repr(data) if isinstance(data, float) else data
        if not isinstance(text, str):
            self.fail("not_a_number")
        if _NOT_FINITE_TEXT.match(text):
            self.fail("not_finite")
        if len(text) > MAX_NUMBER_LENGTH or not _DECIMAL_TEXT.match(text):
            self.fail("not_a_number")
        return exact_decimal(text)


class PriceField(MoneyField):
    """A price per share. Whether it lies on the stock's price increment is the stock's to say."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(limit=MAX_PRICE, **kwargs)


@extend_schema_field(OpenApiTypes.INT64)
class QuantityField(_NumberField):
    """A whole number of shares, greater than zero; `signed` takes negative ones, too."""

    default_error_messages = {"not_a_whole_number": "Give a whole number, such as 100."}

    def __init__(self, *, limit: int = MAX_QUANTITY, **kwargs: Any) -> None:
        super().__init__(limit=limit, **kwargs)

    def to_internal_value(self, data: Any) -> int:
        if isinstance(data, str) and len(data) <= MAX_NUMBER_LENGTH and _WHOLE_TEXT.match(data):
            data = int(data)
        if isinstance(data, bool) or not isinstance(data, int):
            self.fail("not_a_whole_number")
        self.check_range(data)
        return data


class TextField(serializers.CharField):
    """Text, and nothing that would have to be made text first."""

    def to_internal_value(self, data: Any) -> str:
        if not isinstance(data, str):
            self.fail("invalid")
        return super().to_internal_value(data)


class EmailField(TextField, serializers.EmailField):
    pass


@extend_schema_field(OpenApiTypes.DATETIME)
class MomentField(serializers.Field):
    """A moment in UTC from ISO 8601, or from a date alone; without a zone it is UTC.

    A date alone means its first microsecond, or with `whole_day` its last: `to_date` is inclusive.
    """

    default_error_messages = {
        "not_a_date": "Give a date or time such as 2022-12-05 or 2022-12-05T04:00:00Z.",
    }

    def __init__(self, *, whole_day: bool = False, **kwargs: Any) -> None:
        self.whole_day = whole_day
        super().__init__(**kwargs)

    def to_internal_value(self, data: Any) -> datetime:
        match = _MOMENT.match(data) if isinstance(data, str) else None
        if match is None:
            self.fail("not_a_date")
        try:
            return self._moment(match)
        except (ValueError, OverflowError):
            self.fail("not_a_date")

    def _moment(self, match: re.Match[str]) -> datetime:
        *numbers, fraction, zone = match.groups()
        year, month, day, hour, minute, second = (int(number or 0) for number in numbers)
        date = datetime(year, month, day, tzinfo=UTC)
        if match[4] is None:
            return datetime.combine(date, time.max, UTC) if self.whole_day else date
        micros = int((fraction or "").ljust(6, "0"))
        return date.replace(hour=hour, minute=minute, second=second, microsecond=micros) - _offset(zone)


def json_time(value: datetime) -> str:
    """ISO 8601 in UTC, with "Z"."""
    return value.astimezone(UTC).isoformat().replace("+00:00", "Z")


def _offset(zone: str | None) -> timedelta:
    if zone is None or zone == "Z":
        return timedelta(0)
    hours, minutes = int(zone[1:3]), int(zone[-2:])
    if hours > 23 or minutes > 59:
        raise ValueError(zone)
    return timedelta(hours=hours, minutes=minutes) * (-1 if zone[0] == "-" else 1)


def exact_decimal(text: str) -> Decimal:
    """The decimal that `text` spells; an exponent beyond all measure is cut to one that is merely absurd."""
    mantissa, _, exponent = text.lower().partition("e")
    if len(exponent) > 6:
        exponent = "-99999" if exponent.startswith("-") else "99999"
    return Decimal(f"{mantissa}e{exponent}" if exponent else mantissa)


class StrictSerializer(serializers.Serializer):
    """A body with the fields it names and no others."""

    default_error_messages = {"unknown_field": "This field is not known here."}

    def to_internal_value(self, data: Any) -> Any:
        if isinstance(data, Mapping | QueryDict):
            self._refuse_unknown(data)
        return super().to_internal_value(data)

    def _refuse_unknown(self, data: Mapping[str, Any]) -> None:
        known = {name for name, field in self.fields.items() if not field.read_only}
        unknown = [name for name in data if name not in known]
        if unknown:
            detail = ErrorDetail(str(self.error_messages["unknown_field"]), code="unknown_field")
            raise ValidationError(
                {name[:MAX_NAME_ECHOED]: [detail] for name in unknown[:MAX_UNKNOWN_FIELDS_NAMED]}
            )


class RangeQuery(serializers.Serializer):
    """`from_date` and `to_date` of a query: both inclusive, either may stand alone or be empty."""

    default_error_messages = {"range_reversed": "from_date is after to_date."}

    from_date = MomentField(required=False, help_text="From this moment on; a date alone is its beginning.")
    to_date = MomentField(
        required=False, whole_day=True, help_text="Up to and with it; a date alone is the whole day."
    )

    def to_internal_value(self, data: Any) -> Any:
        return super().to_internal_value({name: value for name, value in data.items() if value != ""})

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "from_date" in attrs and "to_date" in attrs and attrs["from_date"] > attrs["to_date"]:
            raise ValidationError(
                {
                    "from_date": [
                        ErrorDetail(str(self.error_messages["range_reversed"]), code="range_reversed")
                    ]
                }
            )
        return attrs


def validated(serializer_class: type[serializers.Serializer], data: Any) -> dict[str, Any]:
    """The clean data of a body or a query, or a `ValidationError` that names every field at fault."""
    try:
        return _shared(serializer_class).run_validation(data)
    except ValidationError as error:
        # A body that is no object at all is nobody's field: said under a name of its own.
        raise ValidationError(as_serializer_error(error)) from None


@cache
def _shared(serializer_class: type[serializers.Serializer]) -> serializers.Serializer:
    # A serializer copies all of its fields when it is made, which takes longer than to validate a body.
    # `run_validation` leaves nothing behind on it, so one serves every call of every thread.
    return serializer_class()


def date_range(query: Mapping[str, Any]) -> tuple[datetime | None, datetime | None]:
    """The inclusive `from_date` and `to_date` of a query; None where it has no end."""
    values = validated(RangeQuery, query)
    return values.get("from_date"), values.get("to_date")
