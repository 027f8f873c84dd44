"""Paths that answer with and without their trailing slash.

A redirect would lose the body of a POST, so both spellings lead to the same view. `<user_id>` and the
like stand for what such an id can look like: anything else is simply an unknown path.
"""

import re
from typing import Any

from django.urls import URLPattern, re_path
from django.views import View

ID_PATTERNS = {
    "user_id": "me|[0-9]{1,19}",
    "trade_id": "[0-9]{1,19}",
    "stock_id": r"[A-Za-z0-9][A-Za-z0-9._-]{0,63}",
    "order_id": "[0-9a-fA-F]{8}-?(?:[0-9a-fA-F]{4}-?){3}[0-9a-fA-F]{12}",
}


def route(path: str, view: type[View], name: str, **initkwargs: Any) -> URLPattern:
    """`route("users/<user_id>/deposit", DepositView, "user-deposit")`."""
    pattern = re.sub(r"<(\w+)>", lambda match: f"(?P<{match[1]}>{ID_PATTERNS[match[1]]})", path)
    return re_path(rf"^{pattern}/?\Z", view.as_view(**initkwargs), name=name)
