"""The direct way in front of Django, under ASGI and under WSGI.

Each takes an application and is one: plain requests it answers, all others it passes on, with the body
that it has read from them.
"""

from collections.abc import Awaitable, Callable, Iterable, Mapping
from io import BytesIO
from typing import Any

from django.db import Error as DatabaseFailure

from config.direct.answers import HttpAnswer, answer_in_loop, answer_in_thread
from config.direct.calls import MAX_BODY, READ_HEADERS, REFUSED_HEADERS, PlainRequest, plain_request
from trade.engine.awaited import in_thread
from trade.engine.database_threads import connected
from users.authentication import authenticate_token, trusted_user
from users.models import User

Message = Any
Receive = Callable[[], Awaitable[Message]]
Send = Callable[[Message], Awaitable[None]]
AsgiApplication = Callable[[Any, Receive, Send], Awaitable[None]]
StartResponse = Callable[..., Any]
WsgiApplication = Callable[[dict[str, Any], StartResponse], Iterable[bytes]]

_LOOKED_AT = {name.encode(): name for name in READ_HEADERS | REFUSED_HEADERS}
_ENVIRON = {
    "authorization": "HTTP_AUTHORIZATION",
    "content-type": "CONTENT_TYPE",
    "content-length": "CONTENT_LENGTH",
    "accept": "HTTP_ACCEPT",
    "host": "HTTP_HOST",
    "transfer-encoding": "HTTP_TRANSFER_ENCODING",
    "expect": "HTTP_EXPECT",
}


def _user_of(request: PlainRequest) -> User | None:
    """The user of its token; None for what the usual way will say."""
    try:
        return authenticate_token(request.token)
    except DatabaseFailure:
        return None


# --- ASGI -----------------------------------------------------------------------------------------------


def direct_asgi(usual: AsgiApplication) -> AsgiApplication:
    """`usual`, with plain order entry answered in the event loop, without a thread."""

    async def application(scope: Any, receive: Receive, send: Send) -> None:
        request = _asgi_request(scope)
        if request is None:
            return await usual(scope, receive, send)
        messages = await _read(receive)
        body = b"".join(message.get("body", b"") for message in messages)
        user = None
        if len(body) == request.length:
            user = trusted_user(request.token) or await in_thread(lambda: _user_of(request))
        if user is None:
            return await usual(scope, _again(messages, receive), send)
        return await _send(await answer_in_loop(request, user, body), send)

    return application


def _asgi_request(scope: Mapping[str, Any]) -> PlainRequest | None:
    # Cheap before thorough: most requests are for something else.
    if scope["query_string"] or scope.get("root_path") or not scope["path"].startswith("/api/orders"):
        return None
    headers: dict[str, str] = {}
    for raw_name, value in scope["headers"]:
        name = _LOOKED_AT.get(raw_name)
        if name is not None:
            if name in headers:
                return None
            headers[name] = value.decode("latin-1")
    return plain_request(scope["method"], scope["path"], headers)


async def _read(receive: Receive) -> list[Message]:
    """The messages of a body, up to its end, the end of the connection, or more than is read here."""
    messages: list[Message] = []
    size = 0
    while size <= MAX_BODY:
        messages.append(await receive())
        size += len(messages[-1].get("body", b""))
        if not messages[-1].get("more_body", False):
            break
    return messages


def _again(messages: list[Message], receive: Receive) -> Receive:
    """A `receive` that begins with what was received already."""
    left = iter(messages)

    async def receive_again() -> Message:
        for message in left:
            return message
        return await receive()

    return receive_again


async def _send(answer: HttpAnswer, send: Send) -> None:
    headers = [(name.encode("latin-1"), value.encode("latin-1")) for name, value in answer.headers]
    await send({"type": "http.response.start", "status": answer.status, "headers": headers})
    await send({"type": "http.response.body", "body": answer.body})


# --- WSGI -----------------------------------------------------------------------------------------------


def direct_wsgi(usual: WsgiApplication) -> WsgiApplication:
    """`usual`, with plain order entry answered by the request's own thread."""

    def application(environ: dict[str, Any], start_response: StartResponse) -> Iterable[bytes]:
        request = _wsgi_request(environ)
        if request is None:
            return usual(environ, start_response)
        body = environ["wsgi.input"].read(request.length)
        answer = connected(_answer, request, body)
        if answer is None:
            environ["wsgi.input"] = BytesIO(body)
            return usual(environ, start_response)
        start_response(answer.status_line, answer.headers)
        return [answer.body]

    return application


def _wsgi_request(environ: Mapping[str, Any]) -> PlainRequest | None:
    path = environ.get("PATH_INFO", "")
    if environ.get("QUERY_STRING") or environ.get("SCRIPT_NAME") or not path.startswith("/api/orders"):
        return None
    headers = {name: environ[key] for name, key in _ENVIRON.items() if environ.get(key)}
    return plain_request(environ["REQUEST_METHOD"], path, headers)


def _answer(request: PlainRequest, body: bytes) -> HttpAnswer | None:
    user = _user_of(request)
    if user is None or len(body) != request.length:
        return None
    return answer_in_thread(request, user, body)
