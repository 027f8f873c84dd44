"""Feed messages, decoded once, here: inside, only checked ticks exist.

A payload is at most `MAX_PAYLOAD_BYTES` of JSON in UTF-8: one object with `stock_id`, `price` (number or
text), `availability` (whole number), `timestamp` (ISO 8601; UTC when it has no zone) and, if it likes,
`name`. Fields beyond these are ignored. Anything else is a `MalformedMessage`, never another exception.

No float touches a price: the digits of the message are turned into whole units, and a price that is
finer than the stock's increment goes to the nearest multiple (ties to the even one).
"""

import json
import re
import unicodedata
from collections.abc import Callable
from datetime import UTC, datetime
from functools import lru_cache
from typing import Any

from stocks.models import STOCK_ID_PATTERN
from stocks.services.ticks import FeedTick
from users.fields import MAX_PRICE_UNITS, MAX_QUANTITY, SCALE

MAX_PAYLOAD_BYTES = 4_096
MAX_NAME_LENGTH = 100
# Ticks are market data of machines: before this, a clock was wrong.
EARLIEST = datetime(1970, 1, 1, tzinfo=UTC)

IncrementOf = Callable[[str, str], int]

_STOCK_ID = re.compile(STOCK_ID_PATTERN)
_PRICE = re.compile(r"(-?)([0-9]+)(?:\.([0-9]+))?(?:[eE]([+-]?[0-9]{1,4}))?\Z")


class MalformedMessage(Exception):
    """A payload that is no tick. `kind` is a stable word for counting, `detail` says what was wrong."""

    def __init__(self, kind: str, detail: str) -> None:
        super().__init__(f"{kind}: {detail}")
        self.kind = kind
        self.detail = detail


def decode_tick(payload: bytes, *, latest: datetime, increment_of: IncrementOf) -> FeedTick:
    """The tick in a payload. MalformedMessage when there is none, or it is later than `latest`.

    `increment_of(stock_id, name)` is the stock's price increment in units; it is asked last, when the
    rest is known to be good, and may itself raise MalformedMessage for a stock that is not wanted.
    """
    fields = _parse(payload)
    try:
        stock_id = fields["stock_id"]
        price = fields["price"]
        availability = fields["availability"]
        timestamp = fields["timestamp"]
    except KeyError as error:
        raise MalformedMessage("missing_field", f"{error.args[0]} is missing") from None
    name = _checked_name(fields.get("name"), _checked_stock_id(stock_id))
    _check_availability(availability)
    moment = _read_timestamp(timestamp, latest)
    numerator, denominator = _read_price(price)
    units = _round_to(increment_of(stock_id, name), numerator, denominator)
    return FeedTick(stock_id, units, availability, moment, name)


# --- JSON ---------------------------------------------------------------------------------------------


class _Number(str):
    """The digits of a JSON number that is not a whole one, untouched."""

    __slots__ = ()


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    fields = dict(pairs)
    if len(fields) != len(pairs):
        # Two readers could see two different ticks in it.
        raise MalformedMessage("duplicate_field", "a field is there twice")
    return fields


_decode_json = json.JSONDecoder(
    parse_float=_Number, parse_constant=_Number, object_pairs_hook=_object
).raw_decode


def _parse(payload: bytes) -> dict[str, Any]:
    if len(payload) > MAX_PAYLOAD_BYTES:
        raise MalformedMessage("too_large", f"{len(payload)} bytes")
    try:
        text = payload.decode().strip(" \t\r\n")
        value, end = _decode_json(text)
    except (ValueError, RecursionError) as error:
        raise MalformedMessage("not_json", str(error)) from None
    if end != len(text):
        raise MalformedMessage("not_json", "more after the value")
    if type(value) is not dict:
        raise MalformedMessage("not_an_object", f"a {type(value).__name__}")
    return value


# --- Fields -------------------------------------------------------------------------------------------


def _checked_stock_id(stock_id: Any) -> str:
    if type(stock_id) is not str:
        raise MalformedMessage("wrong_type", "stock_id is not a text")
    if not _STOCK_ID.match(stock_id):
        raise MalformedMessage("bad_stock_id", repr(stock_id[:80]))
    return stock_id


def _checked_name(name: Any, stock_id: str) -> str:
    if name is None:
        return stock_id
    if type(name) is not str:
        raise MalformedMessage("wrong_type", "name is not a text")
    return clean_name(name) or stock_id


@lru_cache(maxsize=4_096)
def clean_name(name: str) -> str:
    """A name that is safe to show: no markup, nothing invisible, at most 100 characters; maybe empty."""
    visible = "".join(char for char in name if char not in "<>" and unicodedata.category(char)[0] != "C")
    return visible.strip()[:MAX_NAME_LENGTH].rstrip()


def _check_availability(availability: Any) -> None:
    if type(availability) is not int:
        kind = "bad_availability" if isinstance(availability, _Number) else "wrong_type"
        raise MalformedMessage(kind, "availability is not a whole number")
    if availability < 0:
        raise MalformedMessage("negative_availability", str(availability)[:80])
    if availability > MAX_QUANTITY:
        raise MalformedMessage("availability_too_large", str(availability)[:80])


def _read_timestamp(timestamp: Any, latest: datetime) -> datetime:
    if type(timestamp) is not str:
        raise MalformedMessage("wrong_type", "timestamp is not a text")
    try:
        moment = datetime.fromisoformat(timestamp)
        moment = moment.replace(tzinfo=UTC) if moment.tzinfo is None else moment.astimezone(UTC)
    except (ValueError, OverflowError):
        raise MalformedMessage("bad_timestamp", repr(timestamp[:80])) from None
    if moment < EARLIEST:
        raise MalformedMessage("bad_timestamp", repr(timestamp[:80]))
    if moment > latest:
        raise MalformedMessage("future_timestamp", repr(timestamp[:80]))
    return moment


def _read_price(price: Any) -> tuple[int, int]:
    """The price in units as an exact fraction, within the limits of a price."""
    if type(price) is int:
        numerator, denominator = price * SCALE, 1
    elif isinstance(price, str):
        numerator, denominator = _read_decimal(price)
    else:
        raise MalformedMessage("wrong_type", "price is neither a number nor a text")
    if numerator <= 0:
        raise MalformedMessage("price_not_positive", str(price)[:80])
    if numerator > MAX_PRICE_UNITS * denominator:
        raise MalformedMessage("price_too_large", str(price)[:80])
    return numerator, denominator


def _read_decimal(text: str) -> tuple[int, int]:
    match = _PRICE.match(text)
    if match is None:
        raise MalformedMessage("bad_price", repr(text[:80]))
    sign, whole, fraction, exponent = match.groups()
    digits = int(whole + fraction) if fraction else int(whole)
    power = int(exponent or 0) - len(fraction or "")
    numerator = digits * SCALE * 10 ** max(power, 0)
    return (-numerator if sign else numerator), 10 ** max(-power, 0)


def _round_to(increment: int, numerator: int, denominator: int) -> int:
    divisor = increment * denominator
    steps, rest = divmod(numerator, divisor)
    if 2 * rest > divisor or (2 * rest == divisor and steps % 2):
        steps += 1
    units = steps * increment
    if not 0 < units <= MAX_PRICE_UNITS:
        raise MalformedMessage("price_not_positive" if units == 0 else "price_too_large", "after rounding")
    return units
