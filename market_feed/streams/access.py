"""Who may listen: the page a browser connects from, and the user behind a connection.

Cookies travel with a connection from any page, so a session counts only for our own pages: their Origin
must name the host that was asked, or be trusted by setting. A token is put there on purpose, and bots send
no Origin at all.
"""

from typing import Any
from urllib.parse import SplitResult, parse_qs, urlsplit

from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest
from django.http.cookie import parse_cookie
from django.http.request import validate_host
from django.utils.http import is_same_domain
from django.utils.module_loading import import_string

from users.authentication import authenticate_token
from users.models import User

# Offered as a subprotocol, followed by the token itself: browsers cannot set a header.
TOKEN_PROTOCOL = "token"  # noqa: S105


def query(scope: dict[str, Any]) -> dict[str, list[str]]:
    """The parameters of the connection's URL. ValueError when there are absurdly many."""
    text = scope.get("query_string", b"").decode("latin1")
    return parse_qs(text, keep_blank_values=True, max_num_fields=1_000)


def header(scope: dict[str, Any], name: bytes) -> str | None:
    for key, value in scope.get("headers", ()):
        if key == name:
            return value.decode("latin1")
    return None


def origin_is_allowed(scope: dict[str, Any]) -> bool:
    """Whether a page may connect at all. What sends no Origin is no page."""
    origin = _origin(scope)
    if origin is None:
        return True
    host = origin.hostname or ""
    name = f"[{host}]" if ":" in host else host
    return _is_trusted(origin) or (bool(name) and validate_host(name, settings.ALLOWED_HOSTS))


def origin_is_ours(scope: dict[str, Any]) -> bool:
    """Whether the connection comes from a page of this very host, or of one trusted by setting."""
    origin = _origin(scope)
    if origin is None:
        return False
    return _is_trusted(origin) or (
        origin_is_allowed(scope) and origin.netloc == (header(scope, b"host") or "").lower()
    )


def connected_user(scope: dict[str, Any]) -> User | None:
    """The user behind a connection: by token (URL, subprotocol or header), else by session. Queries."""
    if (token := _token(scope)) is not None:
        return authenticate_token(token)
    if not origin_is_ours(scope):
        return None
    request = HttpRequest()
    request.session = _session(scope)
    user = get_user(request)
    return user if isinstance(user, User) else None


def chosen_protocol(scope: dict[str, Any]) -> str | None:
    """The subprotocol to accept with: a browser that offered some gives up when none is chosen."""
    offered = scope.get("subprotocols") or [None]
    return TOKEN_PROTOCOL if TOKEN_PROTOCOL in offered else offered[0]


def _token(scope: dict[str, Any]) -> str | None:
    if tokens := query(scope).get("token"):
        return tokens[0]
    if offered := [name for name in scope.get("subprotocols", ()) if name != TOKEN_PROTOCOL]:
        return offered[0]
    kind, _, token = (header(scope, b"authorization") or "").partition(" ")
    return token.strip() if kind.lower() == TOKEN_PROTOCOL else None


def _session(scope: dict[str, Any]) -> SessionBase:
    cookies = parse_cookie(header(scope, b"cookie") or "")
    store = import_string(f"{settings.SESSION_ENGINE}.SessionStore")
    return store(cookies.get(settings.SESSION_COOKIE_NAME))


def _origin(scope: dict[str, Any]) -> SplitResult | None:
    text = header(scope, b"origin")
    if text is None:
        return None
    try:
        origin = urlsplit(text.lower())
        origin.port  # noqa: B018 - raises for a port that is no number
    except ValueError:
        return SplitResult("", "", "", "", "")
    return origin


def _is_trusted(origin: SplitResult) -> bool:
    for trusted in settings.CSRF_TRUSTED_ORIGINS:
        pattern = urlsplit(trusted.lower())
        if origin.scheme != pattern.scheme:
            continue
        if origin.netloc == pattern.netloc:
            return True
        if pattern.netloc.startswith("*.") and is_same_domain(origin.netloc, pattern.netloc[1:]):
            return True
    return False
