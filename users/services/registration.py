"""Who is a user: signing up, changing one's data, leaving.

User names are unique whatever their case ("Ann" and "ann" would be taken for one another). Addresses need
not be: nothing is looked up by them, and the bots of one owner share one.
"""

from datetime import datetime

from django.conf import settings
from django.contrib.auth.password_validation import validate_password
from django.core.exceptions import ValidationError
from django.db import IntegrityError, transaction

from users.exceptions import Refusal, UnknownUser
from users.models import User
from users.services.money import book_opening_balance
from users.services.tokens import revoke_tokens


class UsernameTaken(Refusal):
    """There is a user of that name, in whatever case."""

    code = "username_taken"
    field = "username"


class RefusedPassword(Refusal):
    """The password breaks a rule of AUTH_PASSWORD_VALIDATORS; `code` names the first one it broke."""

    field = "password"

    def __init__(self, error: ValidationError) -> None:
        super().__init__(" ".join(error.messages))
        self.code = error.error_list[0].code or "password_refused"


def register_user(*, username: str, password: str, email: str, now: datetime) -> User:
    """A new user with an account, which opens with the setting STARTING_BALANCE."""
    user = User(username=User.normalize_username(username), email=email, date_joined=now)
    _set_password(user, password)
    with transaction.atomic():
        _insert(user)
        user.account = book_opening_balance(user_id=user.pk, amount=settings.STARTING_BALANCE, now=now)
    return user


def update_user(
    *, user_id: int, email: str | None = None, password: str | None = None, keep_token: str | None = None
) -> User:
    """Change what is given. A new password ends every token but the one of digest `keep_token`."""
    with transaction.atomic():
        user = _locked(user_id)
        if email is not None:
            user.email = email
        if password is not None:
            _set_password(user, password)
            revoke_tokens(user_id=user_id, keep=keep_token)
        user.save(update_fields=["email", "password"])
    return user


def deactivate_user(*, user_id: int) -> None:
    """The user can no longer log in, and every token ends. The books stay."""
    with transaction.atomic():
        user = _locked(user_id)
        user.is_active = False
        user.save(update_fields=["is_active"])
        revoke_tokens(user_id=user_id)


def _locked(user_id: int) -> User:
    user = User.objects.select_for_update(no_key=True).filter(pk=user_id).first()
    if user is None:
        raise UnknownUser(f"there is no user {user_id}")
    return user


def _set_password(user: User, password: str) -> None:
    try:
        validate_password(password, user)
    except ValidationError as error:
        raise RefusedPassword(error) from None
    user.set_password(password)


def _insert(user: User) -> None:
    taken = UsernameTaken("A user with that username already exists.")
    if User.objects.filter(username__iexact=user.username).exists():
        raise taken
    try:
        with transaction.atomic():
            user.save(force_insert=True)
    except IntegrityError:
        # Somebody was quicker: the database has the last word.
        raise taken from None
