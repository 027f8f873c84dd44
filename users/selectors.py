"""What can be known about users, and by whom."""

from datetime import datetime

from django.db.models import QuerySet

from users.exceptions import UnknownUser
from users.inputs import MAX_ID
from users.models import CashAccount, LedgerEntry, User

ME = "me"


def visible_user(viewer: User, user_id: str) -> User:
    """The user of a path's `<user_id>`: one's own data, for staff anybody's.

    Somebody else's is answered as if there were no such user: whether there is one is not for all to know.
    """
    wanted = viewer.pk if user_id == ME else int(user_id)
    if wanted > MAX_ID or (wanted != viewer.pk and not viewer.is_staff):
        raise UnknownUser("there is no such user")
    user = User.objects.select_related("account").filter(pk=wanted).first()
    if user is None:
        raise UnknownUser("there is no such user")
    return user


def visible_users(viewer: User) -> QuerySet[User]:
    """Staff see everyone, newest first; others see themselves."""
    users = User.objects.select_related("account").order_by("-id")
    return users if viewer.is_staff else users.filter(pk=viewer.pk)


def account_of(user: User) -> CashAccount:
    """The user's account. It is opened at the first booking: until then it is an empty one, not stored."""
    try:
        return user.account
    except CashAccount.DoesNotExist:
        return CashAccount(user=user)


def ledger_of(user_id: int, *, from_date: datetime | None, to_date: datetime | None) -> QuerySet[LedgerEntry]:
    """Cash movements, newest first; both dates are inclusive."""
    entries = LedgerEntry.objects.filter(account_id=user_id).order_by("-id")
    if from_date is not None:
        entries = entries.filter(created_at__gte=from_date)
    if to_date is not None:
        entries = entries.filter(created_at__lte=to_date)
    return entries
