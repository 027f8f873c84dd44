"""Tokens: many per user, stored as digests, valid until they expire or are revoked."""

from datetime import datetime

from django.db import transaction
from knox.models import AuthToken

from users.models import User
from users.token_cache import token_cache


def issue_token(*, user: User, now: datetime) -> tuple[str, datetime | None]:
    """A new token and when it expires. The text is nowhere else: only its digest is stored."""
    AuthToken.objects.filter(user=user, expiry__lte=now).delete()
    row, token = AuthToken.objects.create(user)
    return token, row.expiry


def revoke_token(*, digest: str) -> None:
    """End one token."""
    AuthToken.objects.filter(digest=digest).delete()
    token_cache.forget_token(digest)


def revoke_tokens(*, user_id: int, keep: str | None = None) -> None:
    """End all tokens of a user, but the one with the digest `keep`."""
    AuthToken.objects.filter(user_id=user_id).exclude(digest=keep).delete()
    token_cache.forget_user(user_id)
    # Once more when others can see it: a request under way may have stored its old answer again.
    transaction.on_commit(lambda: token_cache.forget_user(user_id))
