"""Long lists, a piece at a time: each piece begins before the last row of the one above it."""

from dataclasses import dataclass
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest

from users.inputs import MAX_ID


@dataclass(frozen=True, slots=True)
class Piece:
    """Some rows, newest first. `older`: the id before which the next piece begins, None at the end."""

    rows: list[Any]
    older: int | None
    is_newest: bool


def older_than(request: HttpRequest, rows: QuerySet[Any], length: int) -> Piece:
    """Up to `length` of `rows`, which are in the order of their falling ids, before `?before=`."""
    text = request.GET.get("before", "")
    before = int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else None
    if before is not None:
        rows = rows.filter(pk__lt=min(before, MAX_ID))
    found = list(rows[: length + 1])
    has_more = len(found) > length
    shown = found[:length]
    return Piece(shown, shown[-1].pk if has_more else None, before is None)
