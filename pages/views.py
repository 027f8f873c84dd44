"""What a person sees. Everything that moves on a page comes over the streams."""

from django.http import HttpRequest, HttpResponse
from django.views.decorators.http import require_safe

from pages.rendering import render_page
from stocks.models import Stock

MAX_STOCKS = 500


@require_safe
def market(request: HttpRequest) -> HttpResponse:
    """The market at a glance: stocks, and the book and trades of one of them."""
    stocks = Stock.objects.order_by("stock_id").values("stock_id", "name", "last_price", "status")[
        :MAX_STOCKS
    ]
    return render_page(request, "pages/market.html", {"stocks": stocks})
