"""Operations: how the market is doing, whether its books add up, and its switches. For staff."""

import logging
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from functools import wraps
from typing import Any

from django.contrib import messages
from django.contrib.auth.decorators import login_required
from django.core.cache import cache
from django.core.exceptions import PermissionDenied
from django.db import DatabaseError
from django.http import Http404, HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils import timezone
from django.views.decorators.cache import never_cache
from django.views.decorators.http import require_http_methods, require_POST, require_safe

from pages.figures import market_figures
from pages.rendering import render_page
from stocks.models import Stock
from stocks.selectors import find_stock
from stocks.services.ticks import UnknownStock
from trade.engine import get_engine
from trade.selectors.audit import Finding, run_audit
from users.exceptions import Refusal
from users.models import User

logger = logging.getLogger(__name__)

MAX_STOCKS = 500
REFRESH_S = 3
# The audit reads whole tables: one at a time, and not again at once, whoever asks.
AUDIT_PAUSE_S = 30
AUDIT_LONGEST_S = 3_600
AUDIT_KEPT_S = 7 * 24 * 3_600
_AUDIT_TURN = "pages.audit.turn"
_AUDIT_REPORT = "pages.audit.report"

View = Callable[..., HttpResponse]


@dataclass(frozen=True, slots=True)
class AuditReport:
    """What the newest audit found, and when it was done."""

    done_at: datetime
    findings: list[Finding]

    @property
    def broken(self) -> int:
        return sum(not finding.holds for finding in self.findings)

    @property
    def seconds(self) -> float:
        return sum(finding.seconds for finding in self.findings)


def staff_only(view: View) -> View:
    """Who is not logged in is led to log in; who is not staff is refused."""

    @wraps(view)
    def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
        if not (isinstance(request.user, User) and request.user.is_staff):
            raise PermissionDenied
        return view(request, *args, **kwargs)

    return login_required(guarded)


@never_cache
@staff_only
@require_safe
def operations(request: HttpRequest) -> HttpResponse:
    """The page. Its figures are of this process where they cannot be of all."""
    report: AuditReport | None = cache.get(_AUDIT_REPORT)
    context = {
        **market_figures(timezone.now()),
        "stocks": Stock.objects.order_by("stock_id")[:MAX_STOCKS],
        "report": report,
        "audit_pause_s": AUDIT_PAUSE_S,
        "refresh_s": REFRESH_S,
    }
    return render_page(request, "pages/reports/operations.html", context)


@staff_only
@require_POST
def audit(request: HttpRequest) -> HttpResponse:
    """Run the audit, unless one is running or has just been."""
    if not cache.add(_AUDIT_TURN, True, AUDIT_LONGEST_S):
        messages.warning(
            request, f"An audit is running, or was less than {AUDIT_PAUSE_S} s ago: not run again."
        )
        return redirect("operations")
    try:
        findings = run_audit()
        cache.set(_AUDIT_REPORT, AuditReport(timezone.now(), findings), AUDIT_KEPT_S)
    except DatabaseError as error:
        logger.warning("the audit could not be run: %s", str(error).strip())
        messages.error(request, "The database did not answer the audit. The log says more.")
    finally:
        cache.set(_AUDIT_TURN, True, AUDIT_PAUSE_S)
    return redirect(f"{reverse('operations')}#audit-title")


@never_cache
@staff_only
@require_http_methods(["GET", "HEAD", "POST"])
def switch_stock(request: HttpRequest, stock_id: str, action: str) -> HttpResponse:
    """Halt or resume a stock: GET asks whether that is meant, POST does it."""
    try:
        stock = find_stock(stock_id)
    except UnknownStock as unknown:
        raise Http404(unknown.detail) from None
    if request.method != "POST":
        return render_page(request, "pages/reports/switch.html", {"stock": stock, "action": action})
    engine = get_engine()
    is_halt = action == "halt"
    try:
        is_changed = engine.halt(stock_id) if is_halt else engine.resume(stock_id)
    except Refusal as refusal:
        messages.error(request, f"{stock_id}: {refusal.detail}")
    else:
        done = "halted" if is_halt else "open"
        text = f"{stock_id} is {done} now." if is_changed else f"{stock_id} was {done} already."
        messages.success(request, text)
    return redirect("operations")
