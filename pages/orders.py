"""A user's orders, and for each the story of why it did, or did not, trade."""

from uuid import UUID

from django.contrib.auth.decorators import login_required
from django.core.paginator import Paginator
from django.http import Http404, HttpRequest, HttpResponse
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_safe

from pages.rendering import render_page
from trade.apis.viewers import owner_of
from trade.selectors.orders import orders_of
from trade.selectors.why import explain_order
from users.models import User

LENGTH = 50
FACTS = 100
REFRESH_S = 5
# Digits of a page or a sequence worth reading.
MAX_DIGITS = 18


@never_cache
@login_required
@require_safe
def orders(request: HttpRequest) -> HttpResponse:
    """One's own, newest first, open or not."""
    assert request.user.pk is not None
    pages = Paginator(orders_of(request.user.pk), LENGTH)
    page = pages.get_page(_whole(request, "page") or 1)
    context = {"page": page, "orders": page.object_list, "refresh_s": REFRESH_S}
    return render_page(request, "pages/reports/orders.html", context)


@never_cache
@login_required
@require_safe
def why(request: HttpRequest, order_id: str) -> HttpResponse:
    """The life of an order in words: one's own; for staff anybody's."""
    viewer = request.user
    assert isinstance(viewer, User)
    story = explain_order(
        UUID(order_id),
        user_id=owner_of(viewer),
        since_sequence=_whole(request, "since_sequence"),
        limit=FACTS,
    )
    if story is None:
        raise Http404("there is no such order")
    is_open = story.order.remaining_quantity > 0
    context = {"story": story, "order": story.order, "refresh_s": REFRESH_S if is_open else 0}
    return render_page(request, "pages/reports/why.html", context)


def _whole(request: HttpRequest, name: str) -> int | None:
    """A whole number of the query; None where it is none."""
    text = request.GET.get(name, "")
    return int(text) if text.isascii() and text.isdecimal() and len(text) <= MAX_DIGITS else None
