"""Who is asking, and whose data that opens."""

from rest_framework.request import Request

from users.apis import viewer_of
from users.models import User
from users.selectors import ME, visible_user


def own_id(request: Request) -> int:
    return viewer_of(request).pk


def trader_id(request: Request, user_id: str) -> int:
    """The user of a path's `<user_id>`. One's own costs no query: order entry asks the engine alone."""
    viewer = viewer_of(request)
    if user_id == ME or int(user_id) == viewer.pk:
        return viewer.pk
    return visible_user(viewer, user_id).pk


def owner_filter(request: Request) -> int | None:
    """Whose orders this request may touch: its user's own; for staff anybody's, which is None."""
    return owner_of(viewer_of(request))


def owner_of(viewer: User) -> int | None:
    """As `owner_filter`, of who is asking."""
    return None if viewer.is_staff else viewer.pk
