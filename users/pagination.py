"""Pages for lists that a person leafs through, cursors for histories that grow while they are read."""

import base64
import binascii
import re
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any

from django.db.models import Q, QuerySet
from rest_framework.exceptions import ErrorDetail, ValidationError
from rest_framework.pagination import BasePagination, PageNumberPagination
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.utils.urls import replace_query_param
from rest_framework.views import APIView

DEFAULT_PAGE_SIZE = 50
MAX_PAGE_SIZE = 500

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND = timedelta(microseconds=1)
_POSITIVE = re.compile(r"0*[1-9][0-9]{0,17}\Z", re.ASCII)
_CURSOR = re.compile(r"([on])(-?[0-9]{1,18})\.([0-9]{1,19})\Z", re.ASCII)


def positive_parameter(request: Request, name: str) -> int | None:
    """A whole number above zero from the query; None when it is not given."""
    text = request.query_params.get(name, "")
    if text == "":
        return None
    if not _POSITIVE.match(text):
        detail = ErrorDetail("Give a whole number of at least 1.", code="not_a_whole_number")
        raise ValidationError({name: [detail]})
    return int(text)


def page_size_of(request: Request) -> int:
    return min(positive_parameter(request, "page_size") or DEFAULT_PAGE_SIZE, MAX_PAGE_SIZE)


class PageNumbers(PageNumberPagination):
    """`page` and `page_size`; a page beyond the last is 404, as everywhere in this framework."""

    page_size = DEFAULT_PAGE_SIZE
    max_page_size = MAX_PAGE_SIZE
    page_size_query_param = "page_size"

    def get_page_size(self, request: Request) -> int:
        return page_size_of(request)

    def get_page_number(self, request: Request, paginator: Any) -> int:
        if request.query_params.get(self.page_query_param) in self.last_page_strings:
            return paginator.num_pages
        return positive_parameter(request, self.page_query_param) or 1


@dataclass(frozen=True, slots=True)
class Cursor:
    """A place between two rows: the page lies on its older or its newer side."""

    newer: bool
    moment: datetime
    row_id: int

    def encode(self) -> str:
        micros = (self.moment - _EPOCH) // _MICROSECOND
        text = f"{'n' if self.newer else 'o'}{micros}.{self.row_id}"
        return base64.urlsafe_b64encode(text.encode()).decode().rstrip("=")

    @classmethod
    def decode(cls, text: str) -> "Cursor":
        """The cursor of `text`; ValueError for anything that `encode` did not write."""
        try:
            plain = base64.urlsafe_b64decode(text + "=" * (-len(text) % 4)).decode("ascii")
            match = _CURSOR.match(plain)
            if match is None or int(match[3]) >= 2**63:
                raise ValueError(text)
            return cls(match[1] == "n", _EPOCH + int(match[2]) * _MICROSECOND, int(match[3]))
        except (binascii.Error, UnicodeError, OverflowError) as error:
            raise ValueError(text) from error


class TimeCursor(BasePagination):
    """Newest first by (`time_field`, `id_field`), a stable walk however many rows arrive meanwhile.

    It never counts and never skips: a page costs the same at the end of a million rows as at the beginning.
    """

    time_field = "timestamp"
    id_field = "id"

    def paginate_queryset(self, queryset: Any, request: Request, view: APIView | None = None) -> list[Any]:
        self.url = request.build_absolute_uri()
        cursor = self._cursor_of(request)
        size = page_size_of(request)
        newer = cursor is not None and cursor.newer
        rows = list(self._from(queryset, cursor)[: size + 1])
        more = len(rows) > size
        rows = rows[:size]
        if newer:
            rows.reverse()
        # On the side we came from there is at least the row that the cursor was made of.
        self.has_newer = more if newer else cursor is not None
        self.has_older = more if not newer else True
        # A page without rows (they were deleted, or the filter has changed) leads nowhere.
        self.newest = self._at(rows[0], newer=True) if rows else None
        self.oldest = self._at(rows[-1], newer=False) if rows else None
        return rows

    def _from(self, queryset: QuerySet, cursor: Cursor | None) -> QuerySet:
        newer = cursor is not None and cursor.newer
        sign = "" if newer else "-"
        queryset = queryset.order_by(f"{sign}{self.time_field}", f"{sign}{self.id_field}")
        if cursor is None:
            return queryset
        beyond = "gt" if newer else "lt"
        # The first condition is implied by the second; it is the one an index can use.
        return queryset.filter(**{f"{self.time_field}__{beyond}e": cursor.moment}).filter(
            Q(**{f"{self.time_field}__{beyond}": cursor.moment})
            | Q(**{f"{self.id_field}__{beyond}": cursor.row_id})
        )

    def _cursor_of(self, request: Request) -> Cursor | None:
        text = request.query_params.get("cursor", "")
        try:
            return Cursor.decode(text) if text else None
        except ValueError:
            detail = ErrorDetail("Give the cursor of a previous answer.", code="invalid_cursor")
            raise ValidationError({"cursor": [detail]}) from None

    def _at(self, row: Any, *, newer: bool) -> Cursor:
        return Cursor(newer, getattr(row, self.time_field), getattr(row, self.id_field))

    def get_paginated_response(self, data: Any) -> Response:
        return Response(
            {
                "next": self._link(self.oldest) if self.has_older else None,
                "previous": self._link(self.newest) if self.has_newer else None,
                "results": data,
            }
        )

    def _link(self, cursor: Cursor | None) -> str | None:
        return None if cursor is None else replace_query_param(self.url, "cursor", cursor.encode())

    def get_paginated_response_schema(self, schema: dict[str, Any]) -> dict[str, Any]:
        link = {"type": "string", "nullable": True, "format": "uri"}
        return {
            "type": "object",
            "required": ["next", "previous", "results"],
            "properties": {"next": link, "previous": link, "results": schema},
        }

    def get_schema_operation_parameters(self, view: APIView) -> list[dict[str, Any]]:
        def parameter(name: str, kind: str, text: str) -> dict[str, Any]:
            return {
                "name": name,
                "in": "query",
                "required": False,
                "description": text,
                "schema": {"type": kind},
            }

        return [
            parameter("cursor", "string", "Where to go on: the `cursor` of `next` or `previous`."),
            parameter("page_size", "integer", f"How many at once, at most {MAX_PAGE_SIZE}."),
        ]
