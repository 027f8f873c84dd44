"""Who may listen: the page a browser connects from, the user behind a connection, and whether still.

Cookies travel with a connection from any page, so a session counts only for our own pages: their Origin
must name the host that was asked, or be trusted by setting. A token is put there on purpose, and bots send
no Origin at all.
"""

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any
from urllib.parse import SplitResult, parse_qs, urlsplit

from django.conf import settings
from django.contrib.auth import get_user
from django.contrib.sessions.backends.base import SessionBase
from django.http import HttpRequest
from django.http.cookie import parse_cookie
from django.http.request import validate_host
from django.utils import timezone
from django.utils.http import is_same_domain
from django.utils.module_loading import import_string

from users.authentication import authenticate_token, token_digest, valid_digests
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


def header_list(scope: dict[str, Any], name: bytes) -> list[str]:
    """The parts of a header that may be given several times, or with commas."""
    values = [value.decode("latin1") for key, value in scope.get("headers", ()) if key == name]
    return [part.strip() for part in ",".join(values).split(",")]


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


@dataclass(frozen=True, slots=True)
class Visitor:
    """Who connects: a user, by a token or a session, or an address that nobody is known behind."""

    address: str
    user_id: int | None = None
    token_digest: str = ""
    session_key: str = ""
    session_hash: str = ""

    @property
    def name(self) -> str:
        """Whose connections are counted together."""
        return f"address {self.address}" if self.user_id is None else f"user {self.user_id}"


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


def visitor_of(scope: dict[str, Any]) -> Visitor:
    """Who is behind a connection, and how to find out later whether they still are. Queries."""
    address, user = client_address(scope), connected_user(scope)
    if user is None:
        return Visitor(address)
    if (token := _token(scope)) is not None:
        return Visitor(address, user.pk, token_digest=token_digest(token) or "")
    session_key = _cookies(scope)[settings.SESSION_COOKIE_NAME]
    return Visitor(address, user.pk, session_key=session_key, session_hash=user.get_session_auth_hash())


def gives_credentials(scope: dict[str, Any]) -> bool:
    """Whether there is anything to look up about who connects."""
    return _token(scope) is not None or (
        origin_is_ours(scope) and settings.SESSION_COOKIE_NAME in _cookies(scope)
    )


def client_address(scope: dict[str, Any]) -> str:
    """The address that a connection comes from, as REST's throttles see it: behind `NUM_PROXIES`."""
    forwarded = [part for part in header_list(scope, b"x-forwarded-for") if part]
    if settings.NUM_PROXIES and forwarded:
        return forwarded[-min(settings.NUM_PROXIES, len(forwarded))]
    client = scope.get("client") or ("",)
    return str(client[0])


def still_welcome(visitors: Collection[Visitor]) -> set[Visitor]:
    """Those of these users whose token or session is still good. Three queries, however many they are."""
    tokens = valid_digests({one.token_digest for one in visitors if one.token_digest}, now=timezone.now())
    sessions = _live_sessions({one.session_key for one in visitors if one.session_key})
    users = User.objects.in_bulk([one.user_id for one in visitors if one.session_key])
    # A new password ends the sessions of the old one.
    hashes = {(user.pk, user.get_session_auth_hash()) for user in users.values() if user.is_active}
    return {
        one
        for one in visitors
        if one.token_digest in tokens
        or (one.session_key in sessions and (one.user_id, one.session_hash) in hashes)
    }


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
    return _session_store()(_cookies(scope).get(settings.SESSION_COOKIE_NAME))


def _live_sessions(keys: Collection[str]) -> set[str]:
    sessions = _session_store().get_model_class().objects.filter(expire_date__gt=timezone.now())
    return set(sessions.filter(session_key__in=keys).values_list("session_key", flat=True))


def _session_store() -> Any:
    return import_string(f"{settings.SESSION_ENGINE}.SessionStore")


def _cookies(scope: dict[str, Any]) -> dict[str, str]:
    return parse_cookie(header(scope, b"cookie") or "")


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
