"""What a person sees. Everything that moves on a page comes over the streams."""

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django.views.decorators.http import require_safe

from stocks.models import Stock

MAX_STOCKS = 500


@require_safe
def market(request: HttpRequest) -> HttpResponse:
    """The market at a glance: stocks, and the book and trades of one of them."""
    stocks = Stock.objects.order_by("stock_id").values("stock_id", "name", "last_price", "status")[
        :MAX_STOCKS
    ]
    response = render(request, "pages/market.html", {"stocks": stocks})
    response["Content-Security-Policy"] = content_security_policy(request)
    return response


def content_security_policy(request: HttpRequest) -> str:
    """Only what this host serves as files: no inline script or style, nothing from elsewhere."""
    host = request.get_host()
    return (
        "default-src 'none'; script-src 'self'; style-src 'self'; img-src 'self'; "
        # Not every browser counts WebSockets as 'self'.
        f"connect-src 'self' ws://{host} wss://{host}; "
        "base-uri 'none'; form-action 'self'; frame-ancestors 'none'"
    )
