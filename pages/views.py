"""What a person sees. Everything that moves on a page comes over the streams."""

from django.http import HttpRequest, HttpResponse
from django.utils import timezone
from django.views.decorators.csrf import ensure_csrf_cookie
from django.views.decorators.http import require_safe

from pages.rendering import render_page
from pages.selectors import watched_stocks
from trade.selectors.candles import INTERVALS

# Loaded at once, instead of one after the other as each is found to import the next.
MODULES = (
    *("pages/api.js", "pages/clock.js", "pages/dom.js", "pages/format.js", "pages/stream.js"),
    *("pages/trading/candles.js", "pages/trading/cash.js", "pages/trading/chart.js", "pages/trading/head.js"),
    *("pages/trading/history.js", "pages/trading/holdings.js", "pages/trading/ladder.js"),
    *("pages/trading/main.js", "pages/trading/orders.js", "pages/trading/preview.js"),
    *("pages/trading/private.js", "pages/trading/shortcuts.js", "pages/trading/state.js"),
    *("pages/trading/status.js", "pages/trading/steps.js", "pages/trading/tabs.js", "pages/trading/tape.js"),
    *("pages/trading/ticket.js", "pages/trading/watchlist.js"),
)


@ensure_csrf_cookie
@require_safe
def market(request: HttpRequest) -> HttpResponse:
    """The trading page. Who has not logged in sees the market, and may not trade."""
    context = {"stocks": watched_stocks(timezone.now()), "modules": MODULES, "intervals": INTERVALS}
    return render_page(request, "pages/market.html", context)
