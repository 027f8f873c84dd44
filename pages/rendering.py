"""How every page is answered: a template, and the policy that says what it may load."""

from collections.abc import Mapping
from typing import Any

from django.http import HttpRequest, HttpResponse
from django.shortcuts import render


def render_page(
    request: HttpRequest, template: str, context: Mapping[str, Any] | None = None, *, status: int = 200
) -> HttpResponse:
    """The page, under a Content-Security-Policy that holds even where a template forgets to escape."""
    response = render(request, template, context, status=status)
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
