"""What a plain request is answered: the status, the headers and the body that its view would have sent."""

from dataclasses import dataclass
from functools import cache
from http import HTTPStatus

from django.http import HttpRequest, HttpResponse
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.security import SecurityMiddleware
from django.utils.log import log_response
from rest_framework.renderers import JSONRenderer

from config.direct.calls import Call, Caller, PlainRequest
from config.errors import ExceptionHandler
from trade.apis.entry import Answer
from users.models import User
from users.parsers import parse_body

_RENDERER = JSONRenderer()


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    status: int
    headers: list[tuple[str, str]]
    body: bytes

    @property
    def status_line(self) -> str:
        return f"{self.status} {HTTPStatus(self.status).phrase}"


def answer_in_thread(request: PlainRequest, user: User, body: bytes) -> HttpAnswer:
    """Answer, waiting in this thread."""
    try:
        return _rendered(request, request.call.in_thread(_caller(request, user, body)))
    except Exception as error:
        return _failed(request, error)


async def answer_in_loop(request: PlainRequest, user: User, body: bytes) -> HttpAnswer:
    """Answer, while the event loop goes on."""
    try:
        return _rendered(request, await request.call.in_loop(_caller(request, user, body)))
    except Exception as error:
        return _failed(request, error)


def _caller(request: PlainRequest, user: User, body: bytes) -> Caller:
    return Caller(user, parse_body(body) if request.call.has_body else None, request.order_id)


def _rendered(request: PlainRequest, answer: Answer) -> HttpAnswer:
    status, data = answer
    body = _RENDERER.render(data)
    headers = [*standing_headers(request.call), ("Content-Length", str(len(body)))]
    return HttpAnswer(status, headers, body)


def _failed(request: PlainRequest, error: Exception) -> HttpAnswer:
    """The one shape of errors. What nobody expected is logged, and a 500."""
    response = ExceptionHandler(
        error, {"view": request.call.view(), "args": (), "kwargs": {}, "request": None}
    ).run()
    if response is None:
        # With DEBUG, what nobody expected is for the developer to see.
        raise error
    answer = _rendered(request, (response.status_code, response.data))
    # As after a view: this logs what is not logged yet.
    log_response("%s: %s", HTTPStatus(answer.status).phrase, request.path, response=response)
    own = [(name, value) for name, value in response.items() if name != "Content-Type"]
    return HttpAnswer(answer.status, [*own, *answer.headers], answer.body)


@cache
def standing_headers(call: Call) -> tuple[tuple[str, str], ...]:
    """The headers that every answer to a call has, as Django's middleware and the view set them."""
    view = call.view()
    view.setup(HttpRequest())
    allow = ", ".join(view.allowed_methods)
    response = HttpResponse(content_type="application/json", headers={"Allow": allow})
    for middleware in (XFrameOptionsMiddleware, SecurityMiddleware):
        middleware(lambda _: response)(HttpRequest())
    return tuple(response.items())
