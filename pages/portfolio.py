"""The portfolio: what its user is worth, how it came about, and every cash movement."""

import json

from django.contrib.auth.decorators import login_required
from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from pages.leaderboard import standing_of
from pages.paging import older_than
from pages.rendering import render_page
from trade.selectors.audit.snapshot import read_snapshot
from trade.selectors.equity import Curve, equity_curve
from trade.selectors.wealth import wealth_of
from users.inputs import json_time
from users.selectors import ledger_of

LEDGER_LENGTH = 50
REFRESH_S = 10


@never_cache
@login_required
@require_safe
def portfolio(request: HttpRequest) -> HttpResponse:
    """One's own."""
    user_id = request.user.pk
    assert user_id is not None
    # The curve ends at the value that is shown.
    with read_snapshot():
        wealth, curve = wealth_of(user_id), equity_curve(user_id, now=timezone.now())
    ledger = older_than(request, ledger_of(user_id, from_date=None, to_date=None), LEDGER_LENGTH)
    context = {
        "wealth": wealth,
        "curve": curve,
        "points": points_text(curve),
        "standing": standing_of(user_id),
        "ledger": ledger,
        "refresh_s": REFRESH_S,
    }
    return render_page(request, "pages/reports/portfolio.html", context)


def points_text(curve: Curve) -> str:
    """The curve for the page's script: `[time, value, cash]` each, amounts in units, as text."""
    return json.dumps([[json_time(point.at), str(point.value), str(point.cash)] for point in curve.points])
