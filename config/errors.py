"""One shape for every error: {"type", "errors": [{"code", "detail", "attr"}]}, whoever noticed it.

The handler below answers what views raise; the functions at the end answer what never reached a view, in
the same shape below /api/ and as Django's own pages elsewhere.
"""

import logging
from collections.abc import Callable
from typing import Any

from django.core.exceptions import RequestDataTooBig, SuspiciousOperation
from django.db import InterfaceError, OperationalError
from django.http import HttpRequest, HttpResponse, JsonResponse
from django.views import defaults
from django.views.csrf import csrf_failure as csrf_failure_page
from drf_standardized_errors import handler
from rest_framework import exceptions
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from users.exceptions import DatabaseUnavailable, Refusal

logger = logging.getLogger(__name__)

API_PREFIXES = ("/api", "/health", "/metrics")
RETRY_AFTER_S = 1


class RequestTooLarge(exceptions.APIException):
    status_code = 413
    default_detail = "The body is larger than this server takes."
    default_code = "request_too_large"


class SuspiciousRequest(exceptions.APIException):
    status_code = 400
    default_detail = "This request is malformed."
    default_code = "suspicious_request"


class Refused(exceptions.APIException):
    """A `Refusal` on its way out."""

    wait: int | None = None


class ExceptionHandler(handler.ExceptionHandler):
    """Says what a refusal, a broken request or a busy database is in HTTP."""

    def convert_known_exceptions(self, exc: Exception) -> Exception:
        if isinstance(exc, Refusal):
            return _from_refusal(exc)
        if isinstance(exc, RequestDataTooBig):
            return RequestTooLarge()
        if isinstance(exc, SuspiciousOperation):
            return SuspiciousRequest()
        if isinstance(exc, OperationalError | InterfaceError):
            logger.warning("the database did not do its work: %s", str(exc).strip())
            return _from_refusal(DatabaseUnavailable())
        return super().convert_known_exceptions(exc)

    def report_exception(self, exc: exceptions.APIException, response: Response) -> None:
        # "Try again in a moment" is an answer; a traceback is for defects.
        if exc.status_code != 503:
            super().report_exception(exc, response)


def _from_refusal(refusal: Refusal) -> exceptions.APIException:
    detail = exceptions.ErrorDetail(refusal.detail, code=refusal.code)
    if refusal.status == 400 and refusal.field:
        return exceptions.ValidationError({refusal.field: [detail]})
    answer = Refused()
    answer.detail = {refusal.field: [detail]} if refusal.field else detail
    answer.status_code = refusal.status
    answer.wait = RETRY_AFTER_S if refusal.status == 503 else None
    return answer


class UnknownPath(APIView):
    """What is below /api/ and nowhere else: 404 for every method, in JSON even with DEBUG."""

    authentication_classes = []
    permission_classes = [AllowAny]

    def initial(self, request: Request, *args: Any, **kwargs: Any) -> None:
        raise exceptions.NotFound


def bad_request(request: HttpRequest, exception: Exception) -> HttpResponse:
    if isinstance(exception, RequestDataTooBig):
        return _answer(request, RequestTooLarge(), defaults.bad_request, exception)
    return _answer(request, SuspiciousRequest(), defaults.bad_request, exception)


def permission_denied(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, exceptions.PermissionDenied(), defaults.permission_denied, exception)


def page_not_found(request: HttpRequest, exception: Exception) -> HttpResponse:
    return _answer(request, exceptions.NotFound(), defaults.page_not_found, exception)


def server_error(request: HttpRequest) -> HttpResponse:
    return _answer(request, exceptions.APIException(), defaults.server_error)


def csrf_failure(request: HttpRequest, reason: str = "") -> HttpResponse:
    answer = exceptions.PermissionDenied(reason or None, code="csrf_failed")
    return _answer(request, answer, csrf_failure_page, reason)


def _answer(
    request: HttpRequest, exc: exceptions.APIException, page: Callable[..., HttpResponse], *args: Any
) -> HttpResponse:
    if not request.path_info.startswith(API_PREFIXES):
        return page(request, *args)
    kind = "server_error" if exc.status_code >= 500 else "client_error"
    error = {"code": exc.get_codes(), "detail": str(exc.detail), "attr": None}
    return JsonResponse({"type": kind, "errors": [error]}, status=exc.status_code)
