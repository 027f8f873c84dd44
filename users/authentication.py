"""Tokens in the `Authorization: Token <token>` header, and wherever else a client can put one."""

import time
from collections.abc import Collection
from copy import copy
from datetime import datetime

from django.conf import settings
from django.utils import timezone
from knox.auth import TokenAuthentication
from knox.crypto import hash_token
from knox.models import AuthToken
from rest_framework.exceptions import AuthenticationFailed

from users.models import User
from users.token_cache import Entry, token_cache

# What `issue_token` makes is 64 characters; no token is longer than its column's digest.
MAX_TOKEN_LENGTH = 128


class CachedTokenAuthentication(TokenAuthentication):
    """Knox's scheme, with one query per token and few seconds instead of two per request."""

    def authenticate_credentials(self, token: bytes) -> tuple[User, AuthToken]:
        entry = _check(token.decode("latin-1"))
        if entry is None:
            raise AuthenticationFailed("Invalid token.")
        # Copies: what one request changes or loads onto its user is not the next one's.
        return copy(entry.user), entry.token


def authenticate_token(token: str) -> User | None:
    """The active user whose valid token this is: for sockets, which have no such header."""
    entry = _check(token)
    return None if entry is None else copy(entry.user)


def trusted_user(token: str) -> User | None:
    """The user of a token that was checked a moment ago; None says nothing. Never asks the database."""
    digest = token_digest(token)
    entry = digest and token_cache.get(digest, monotonic=time.monotonic(), now=timezone.now())
    return copy(entry.user) if entry else None


def valid_digests(digests: Collection[str], *, now: datetime) -> set[str]:
    """Those whose tokens are still good, past the cache: not revoked, not over, of an active user."""
    rows = AuthToken.objects.filter(digest__in=digests, user__is_active=True)
    return {
        digest
        for digest, expiry in rows.order_by().values_list("digest", "expiry")
        if expiry is None or expiry > now
    }


def _check(token: str) -> Entry | None:
    digest = token_digest(token)
    if digest is None:
        return None
    now = timezone.now()
    entry = token_cache.get(digest, monotonic=time.monotonic(), now=now)
    if entry is not None:
        return entry
    generation = token_cache.generation
    row = AuthToken.objects.select_related("user").filter(digest=digest, user__is_active=True).first()
    if row is None or (row.expiry is not None and row.expiry <= now):
        return None
    entry = Entry(row.user, row, row.expiry, time.monotonic() + settings.TOKEN_CACHE_S)
    token_cache.put(digest, entry, generation=generation)
    return entry


def token_digest(token: str) -> str | None:
    """What is stored of a token; None for what cannot be one."""
    return hash_token(token) if token.isascii() and len(token) <= MAX_TOKEN_LENGTH else None
