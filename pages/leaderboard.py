"""The leaderboard: who made how much of what they brought. Nobody's amounts are shown, only returns."""

from django.core.cache import cache
from django.http import HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from pages.rendering import render_page
from trade.selectors.returns import Standing, standings

LENGTH = 100
# However many people look, the tables behind it are read once in so many seconds.
KEPT_S = 10
REFRESH_S = 10
LONGEST_KEPT_S = 300
_KEY = "pages.standings"
_TURN = "pages.standings.turn"


@never_cache
@require_safe
def leaderboard(request: HttpRequest) -> HttpResponse:
    """The best, and whoever is looking."""
    everybody = recent_standings()
    top = everybody[:LENGTH]
    own = standing_of(request.user.pk)
    context = {
        "standings": top,
        "own": own if own not in top else None,
        "viewer_id": request.user.pk,
        "left_out": len(everybody) - len(top),
        "refresh_s": REFRESH_S,
    }
    return render_page(request, "pages/reports/leaderboard.html", context)


def recent_standings() -> list[Standing]:
    """The standings as they were a few seconds ago: whoever comes first after that reads them anew."""
    is_due = cache.add(_TURN, True, KEPT_S)
    known: list[Standing] | None = cache.get(_KEY)
    if known is None or is_due:
        known = standings()
        cache.set(_KEY, known, LONGEST_KEPT_S)
    return known


def standing_of(user_id: int | None) -> Standing | None:
    """One user's place; None for who has none."""
    return next((one for one in recent_standings() if one.user_id == user_id), None)
