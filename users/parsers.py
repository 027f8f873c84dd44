"""JSON as the standard has it, and exact: every fraction is a `Decimal`, never a float.

Refused here, before any rule sees it: NaN and Infinity, text that is not UTF-8, nesting that would exhaust
the stack, numbers no column can hold, a name given twice, and characters no database can store.
"""

import json
import re
from decimal import Decimal
from typing import IO, Any, NoReturn

from rest_framework.exceptions import ParseError
from rest_framework.parsers import JSONParser
from rest_framework.renderers import JSONRenderer

from users.inputs import MAX_NUMBER_LENGTH, exact_decimal

MAX_DEPTH = 32

# Possessive, and content with an open end: it never backtracks, whatever is thrown at it.
_STRING = re.compile(r'"(?:[^"\\]|\\.)*+"?', re.DOTALL)
_BRACKET = re.compile(r"[\[\]{}]")
# NUL and halves of surrogate pairs can only come escaped: a raw one is not JSON, or not UTF-8.
_SUSPECT_ESCAPE = re.compile(r"\\u(0000|d[89a-f])", re.IGNORECASE)
_UNSTORABLE = re.compile("[\x00\ud800-\udfff]")


class StrictJSONParser(JSONParser):
    """Parses a JSON body, or refuses it with 400."""

    renderer_class = JSONRenderer

    def parse(self, stream: IO[bytes], media_type: str | None = None, parser_context: Any = None) -> Any:
        return parse_body(stream.read())


def parse_body(body: bytes) -> Any:
    """The value of a JSON body. `ParseError` when it is not UTF-8, or as `strict_loads`."""
    try:
        text = body.decode("utf-8-sig")
    except UnicodeDecodeError:
        raise ParseError("The body is not UTF-8.") from None
    return strict_loads(text)


def strict_loads(text: str) -> Any:
    """The value of a JSON text. `ParseError` for anything that is not strictly JSON, or not storable."""
    if _depth_exceeds(text, MAX_DEPTH):
        raise ParseError(f"The JSON is nested deeper than {MAX_DEPTH} levels.")
    try:
        value = json.loads(
            text,
            parse_int=_whole_number,
            parse_float=_decimal,
            parse_constant=_refuse_constant,
            object_pairs_hook=_object,
        )
    except ValueError as error:
        raise ParseError(f"The body is not valid JSON: {error}") from None
    if _SUSPECT_ESCAPE.search(text):
        _refuse_unstorable(value)
    return value


def _depth_exceeds(text: str, limit: int) -> bool:
    """Whether brackets nest deeper than `limit`, found without recursion."""
    if text.count("[") + text.count("{") <= limit:
        return False
    depth = 0
    for bracket in _BRACKET.findall(_STRING.sub("", text)):
        depth += 1 if bracket in "[{" else -1
        if depth > limit:
            return True
    return False


def _whole_number(literal: str) -> int:
    _refuse_long(literal)
    return int(literal)


def _decimal(literal: str) -> Decimal:
    _refuse_long(literal)
    return exact_decimal(literal)


def _refuse_long(literal: str) -> None:
    if len(literal) > MAX_NUMBER_LENGTH:
        raise ParseError(f"A number has more than {MAX_NUMBER_LENGTH} digits.")


def _refuse_constant(literal: str) -> NoReturn:
    raise ParseError(f"{literal} is not a JSON number.")


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    # Which of two amounts would count? Nobody should have to guess.
    result = dict(pairs)
    if len(result) != len(pairs):
        raise ParseError("The body gives the same name twice.")
    return result


def _refuse_unstorable(value: Any) -> None:
    if isinstance(value, str) and _UNSTORABLE.search(value):
        raise ParseError("The body contains a character that cannot be stored.")
    if isinstance(value, dict):
        for name, item in value.items():
            _refuse_unstorable(name)
            _refuse_unstorable(item)
    if isinstance(value, list):
        for item in value:
            _refuse_unstorable(item)
