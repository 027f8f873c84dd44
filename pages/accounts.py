"""Sign up, log in and log out with a browser: the rules and throttles of REST, answered as pages."""

from collections.abc import Callable
from typing import Any

from django.contrib.auth import authenticate, login, logout
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.utils import timezone
from django.utils.http import url_has_allowed_host_and_scheme
from django.views.decorators.cache import never_cache
from django.views.decorators.debug import sensitive_post_parameters
from django.views.decorators.http import require_http_methods, require_POST
from rest_framework.exceptions import ValidationError
from rest_framework.parsers import FormParser, MultiPartParser
from rest_framework.request import Request
from rest_framework.serializers import as_serializer_error
from rest_framework.views import APIView

from pages.rendering import render_page
from users.apis import TokenView, UsersView
from users.exceptions import Refusal
from users.inputs import validated
from users.models import User
from users.serializers import LogInInput, SignUpInput
from users.services import register_user

WRONG_LOG_IN = "The user name or the password is wrong."


class FormRefused(Exception):
    """The form is shown again. `errors` by field; what is no field's fault is under ""."""

    def __init__(
        self, errors: dict[str, str], *, status: int = 400, retry_after_s: int | None = None
    ) -> None:
        super().__init__(errors)
        self.errors = errors
        self.status = status
        self.retry_after_s = retry_after_s


@never_cache
@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
def sign_up(request: HttpRequest) -> HttpResponse:
    """A new user, logged in at once."""
    return _form_page(request, "pages/sign_up.html", _signed_up)


@never_cache
@sensitive_post_parameters("password")
@require_http_methods(["GET", "HEAD", "POST"])
def log_in(request: HttpRequest) -> HttpResponse:
    """A session for who knows the password."""
    return _form_page(request, "pages/log_in.html", _logged_in)


@require_POST
def log_out(request: HttpRequest) -> HttpResponse:
    """End the session."""
    logout(request)
    return redirect("market")


def _form_page(request: HttpRequest, template: str, find_user: Callable[[HttpRequest], User]) -> HttpResponse:
    target = _target(request)
    if request.user.is_authenticated:
        return redirect(target)
    context: dict[str, Any] = {"next": target, "errors": {}, "values": {}}
    if request.method != "POST":
        return render_page(request, template, context)
    try:
        login(request, find_user(request))
    except FormRefused as refused:
        values = {name: request.POST.get(name, "") for name in ("username", "email")}
        context |= {"errors": refused.errors, "form_error": refused.errors.get("", ""), "values": values}
        page = render_page(request, template, context, status=refused.status)
        if refused.retry_after_s is not None:
            page["Retry-After"] = str(refused.retry_after_s)
        return page
    return redirect(target)


def _signed_up(request: HttpRequest) -> User:
    _throttle(request, UsersView)
    try:
        return register_user(**_clean(SignUpInput, request), now=timezone.now())
    except Refusal as refusal:
        raise FormRefused({refusal.field or "": refusal.detail}, status=refusal.status) from None


def _logged_in(request: HttpRequest) -> User:
    _throttle(request, TokenView)
    user = authenticate(request, **_clean(LogInInput, request))
    if not isinstance(user, User):
        raise FormRefused({"": WRONG_LOG_IN})
    return user


def _throttle(request: HttpRequest, view_class: type[APIView]) -> None:
    """Count the attempt as REST counts its own, in the same windows."""
    view = view_class()
    attempt = Request(request, parsers=[FormParser(), MultiPartParser()])
    for throttle in [throttle_class() for throttle_class in view_class.throttle_classes]:
        if not throttle.allow_request(attempt, view):
            wait = int(throttle.wait() or 0) + 1
            raise FormRefused(
                {"": f"Too many attempts. Try again in {wait} s."}, status=429, retry_after_s=wait
            )


def _clean(serializer_class: type[SignUpInput | LogInInput], request: HttpRequest) -> dict[str, Any]:
    known = serializer_class().fields
    data = {name: value for name, value in request.POST.items() if name in known}
    try:
        return validated(serializer_class, data)
    except ValidationError as error:
        by_field = as_serializer_error(error)
        raise FormRefused({name: " ".join(details) for name, details in by_field.items()}) from None


def _target(request: HttpRequest) -> str:
    """Where to go afterwards: a path of this host, else the market."""
    wanted = request.POST.get("next") or request.GET.get("next") or ""
    is_ours = url_has_allowed_host_and_scheme(
        wanted, allowed_hosts={request.get_host()}, require_https=request.is_secure()
    )
    return wanted if is_ours else "/"
