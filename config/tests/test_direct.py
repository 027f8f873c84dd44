"""The same requests by the direct way and by Django's: the same answers, under WSGI and under ASGI."""

import json
import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any
from unittest.mock import patch

from asgiref.sync import async_to_sync
from asgiref.testing import ApplicationCommunicator
from django.conf import settings
from django.core.handlers.asgi import ASGIHandler
from django.core.handlers.wsgi import WSGIHandler
from django.db import OperationalError
from django.test import RequestFactory, TransactionTestCase, override_settings
from django.utils import timezone

from config.direct.ways import direct_asgi, direct_wsgi
from trade.engine import reset_engine
from trade.selectors.audit import run_audit
from trade.tests.factories import StockFactory, UserFactory
from users.models import User
from users.services import deactivate_user, issue_token, revoke_token
from users.tests.base import forget_everything

JSON = "application/json"
FORM = "application/x-www-form-urlencoded"
_ORDER_ID = re.compile(r'"order_id":\s*"([0-9a-f-]{36})"')
_TIME = re.compile(r"\d{4}-\d\d-\d\dT[\d:.]+Z")


@dataclass(frozen=True, slots=True)
class Sent:
    """A request. `ORDER` in its path or body is the first order of its transcript, `STOCK` its stock."""

    method: str
    path: str
    body: bytes = b""
    content_type: str = JSON
    headers: Mapping[str, str] = field(default_factory=dict)
    who: str = "ann"


@dataclass(frozen=True, slots=True)
class Received:
    status: int
    headers: list[tuple[str, str]]
    body: str


def order(**fields: Any) -> bytes:
    base = {"stock_id": "STOCK", "side": "buy", "type": "limit", "quantity": 5, "price": 10}
    return json.dumps({**base, **fields}).encode()


def place(**fields: Any) -> Sent:
    return Sent("POST", "/api/orders/", order(**fields))


def raw(body: bytes, content_type: str = JSON, path: str = "/api/orders/") -> Sent:
    return Sent("POST", path, body, content_type)


def to_order(method: str, body: bytes = b"", path: str = "/api/orders/ORDER/", who: str = "ann") -> Sent:
    return Sent(method, path, body, JSON if body else "", who=who)


def with_headers(**headers: str) -> Sent:
    return Sent("POST", "/api/orders/", order(), headers=headers)


# Answered directly.
PLAIN = [
    place(),
    place(side="sell", quantity=3),
    place(type="market", price=None),
    place(price="10.5", quantity="2"),
    place(time_in_force="ioc"),
    place(time_in_force="fok", quantity=1_000),
    place(post_only=True, price=1),
    place(display_quantity=2),
    place(client_order_id="once \u2028 \u00e9 \U0001f600"),
    place(client_order_id="once \u2028 \u00e9 \U0001f600"),
    place(client_order_id="once \u2028 \u00e9 \U0001f600", quantity=6),
    place(time_in_force="gtd", expires_at="2199-01-01"),
    place(time_in_force="gtd", expires_at="2001-01-01"),
    place(type="stop", price=None, stop_price=20),
    place(quantity=10_000_000),
    place(side="sell", quantity=10_000_000),
    place(stock_id="NONE"),
    place(stock_id=5),
    place(price=10.001),
    place(price=0),
    place(price=-1),
    place(price=None),
    place(price=True),
    place(price="NaN"),
    place(price="1e400"),
    place(type="market"),
    place(type="bounded"),
    place(side="BUY"),
    place(quantity=0),
    place(quantity=1.5),
    place(quantity=[]),
    place(quantity=10**30),
    place(client_order_id="x" * 49),
    place(client_order_id=""),
    place(colour="red", size="large"),
    place(post_only="yes"),
    place(expires_at="tomorrow"),
    *(raw(body) for body in (b"{}", b"[]", b"null", b"5", b'"text"', b"{", b" ", b"\xff\x00", b"NaN")),
    raw(b"[" * 5_000),
    raw(b'{"price": NaN}'),
    raw(b'{"side": "buy", "side": "sell"}'),
    raw(b'{"stock_id": "\\u0000"}'),
    raw(b'{"stock_id": "\\ud800"}'),
    raw(b'{"quantity": ' + b"9" * 100 + b"}"),
    raw(b"\xef\xbb\xbf" + order()),
    raw(order(), f"{JSON}; charset=utf-8"),
    raw(order(), f"{JSON}; charset=nonsense"),
    raw(order(), "APPLICATION/JSON"),
    raw(order(), path="/api/orders"),
    with_headers(accept="application/json, text/plain, */*"),
    with_headers(accept="application/json"),
    with_headers(x_forwarded_for="1.2.3.4", cookie="sessionid=nonsense"),
    *(raw(body, path="/api/orders/batch/") for body in (b"[]", b"{}", b"[1, null]", b"[" + order() + b"]")),
    raw(
        b"[" + b", ".join([order(), order(quantity=0), order(quantity=10**7)]) + b"]",
        path="/api/orders/batch",
    ),
    raw(b"[" + b", ".join([order(quantity=1)] * 501) + b"]", path="/api/orders/batch/"),
    to_order("PUT", b'{"price": 11}'),
    to_order("PATCH", b'{"quantity": 4}'),
    to_order("PATCH", b'{"quantity": 1}'),
    to_order("PUT", b"{}"),
    to_order("PUT", b'{"price": "much"}'),
    to_order("PUT", b'{"price": 10000000}'),
    to_order("PUT", b'{"price": 11}', who="bob"),
    to_order("DELETE", who="bob"),
    to_order("DELETE", who="clara"),
    to_order("DELETE"),
    to_order("PATCH", b'{"quantity": 9}'),
    to_order("DELETE", path="/api/orders/00000000-0000-0000-0000-000000000000"),
    to_order("DELETE", path="/api/orders/AAAAAAAAAAAAAAAAAAAAAAAAAAAAAAAA/"),
]
# Left to Django.
ODD = [
    raw(b""),
    raw(order(), "text/plain"),
    raw(order(), ""),
    raw(b"stock_id=STOCK&side=buy&type=limit&quantity=5&price=10", FORM),
    raw(b"x", "multipart/form-data"),
    raw(b" " * 300_000 + order()),
    raw(b" " * 3_000_000),
    Sent("POST", "/api/orders/?dry_run=true", order()),
    Sent("POST", "/api/orders/?dry_run=perhaps", order()),
    Sent("POST", "/api/orders//", order()),
    Sent("POST", "/api/orders/basket/", b"[" + order() + b"]"),
    Sent("GET", "/api/orders/ORDER/"),
    Sent("PUT", "/api/orders/", order()),
    Sent("DELETE", "/api/orders/?side=sell"),
    Sent("POST", "/api/orders/ORDER/", order()),
    to_order("DELETE", b"{}"),
    to_order("DELETE", path="/api/orders/nonsense/"),
    with_headers(accept="text/html"),
    with_headers(accept="application/json; indent=4"),
    with_headers(authorization=""),
    with_headers(authorization="Token"),
    with_headers(authorization="Token nonsense"),
    with_headers(authorization="Token two words"),
    with_headers(authorization="Bearer nonsense"),
    with_headers(authorization="Token \xe9"),
    with_headers(host="elsewhere.example"),
    with_headers(host="not a host"),
    with_headers(host=""),
]


class Way:
    """One way to the application, with users and a stock of its own."""

    def __init__(self, number: int, send: Callable[["Way", dict[str, Any]], Received]) -> None:
        self._send = send
        self.passed_on = 0
        self.stock_id = f"WAY{number}"
        StockFactory(stock_id=self.stock_id, name="Way")
        self.users = {
            name: UserFactory(
                username=f"{name}{number}", cash=1_000, shares={self.stock_id: 100}, is_staff=name == "clara"
            )
            for name in ("ann", "bob", "clara")
        }
        self.tokens = {
            name: issue_token(user=user, now=timezone.now())[0] for name, user in self.users.items()
        }
        self._orders: list[str] = []

    def send(self, sent: Sent) -> Received:
        """The answer, with what is this way's alone made equal."""
        return self._made_equal(self._send(self, self._environ(sent)))

    def _environ(self, sent: Sent) -> dict[str, Any]:
        headers = {"host": "localhost", "authorization": f"Token {self.tokens[sent.who]}", **sent.headers}
        extra = {f"HTTP_{name.upper()}": value for name, value in headers.items() if value}
        path = sent.path.replace("ORDER", self._orders[0] if self._orders else "")
        body = sent.body.replace(b"STOCK", self.stock_id.encode())
        request = RequestFactory().generic(sent.method, path, body, sent.content_type, **extra)  # type: ignore[arg-type]
        environ: dict[str, Any] = request.environ
        if not sent.content_type:
            environ.pop("CONTENT_TYPE", None)
        return environ

    def _made_equal(self, received: Received) -> Received:
        body = received.body.replace(self.stock_id, "STOCK")
        self._orders += [found for found in _ORDER_ID.findall(body) if found not in self._orders]
        for number, order_id in enumerate(self._orders):
            body = body.replace(order_id, f"order {number}")
        for name, user in self.users.items():
            body = re.sub(rf'("user_id":\s*){user.pk}\b', rf"\1{name}", body)
        body = _TIME.sub("TIME", body)
        headers = [(name, value) for name, value in received.headers if name != "content-length"]
        return Received(received.status, sorted(headers), body)


def by_wsgi(application: Any, environ: dict[str, Any]) -> Received:
    started: list[Any] = []
    parts: Iterable[bytes] = application(environ, lambda *args: started.extend(args))
    body = b"".join(parts)
    if hasattr(parts, "close"):
        parts.close()
    headers = [(name.lower(), value) for name, value in started[1]]
    assert dict(headers).get("content-length", str(len(body))) == str(len(body))
    return Received(int(started[0].split()[0]), headers, body.decode())


def by_asgi(application: Any, environ: dict[str, Any]) -> Received:
    return async_to_sync(_by_asgi)(application, environ)


async def _by_asgi(application: Any, environ: dict[str, Any]) -> Received:
    names = {
        key: key.removeprefix("HTTP_").replace("_", "-").lower() for key in environ if key.startswith("HTTP_")
    }
    names |= {
        key: key.replace("_", "-").lower() for key in ("CONTENT_TYPE", "CONTENT_LENGTH") if environ.get(key)
    }
    body = environ["wsgi.input"].read()
    scope = {
        "type": "http",
        "http_version": "1.1",
        "method": environ["REQUEST_METHOD"],
        "path": environ["PATH_INFO"],
        "root_path": "",
        "query_string": environ["QUERY_STRING"].encode(),
        "headers": [(name.encode(), str(environ[key]).encode("latin-1")) for key, name in names.items()],
        "server": ("testserver", 80),
        "client": ("127.0.0.1", 5),
    }
    connection = ApplicationCommunicator(application, scope)
    # In two parts, as from a slow client.
    await connection.send_input({"type": "http.request", "body": body[:7], "more_body": True})
    await connection.send_input({"type": "http.request", "body": body[7:]})
    start = await connection.receive_output(30)
    answer = await connection.receive_output(30)
    await connection.wait(30)
    headers = [(name.decode().lower(), value.decode()) for name, value in start["headers"]]
    return Received(start["status"], headers, answer["body"].decode())


def usual_way(_: Way, environ: dict[str, Any]) -> Received:
    return by_wsgi(WSGIHandler(), environ)


def direct_wsgi_way(way: Way, environ: dict[str, Any]) -> Received:
    usual = WSGIHandler()

    def passed_on(*args: Any) -> Any:
        way.passed_on += 1
        return usual(*args)

    return by_wsgi(direct_wsgi(passed_on), environ)


def direct_asgi_way(way: Way, environ: dict[str, Any]) -> Received:
    usual = ASGIHandler()

    async def passed_on(*args: Any) -> None:
        way.passed_on += 1
        await usual(*args)

    return by_asgi(direct_asgi(passed_on), environ)


@override_settings(ENGINE_THREADS=2)
class Ways(TransactionTestCase):
    def setUp(self) -> None:
        reset_engine()
        self.addCleanup(reset_engine)
        forget_everything()
        senders = (usual_way, direct_wsgi_way, direct_asgi_way)
        self.ways = [Way(number, send) for number, send in enumerate(senders)]

    def answers(self, sent: Sent) -> tuple[Received, list[int]]:
        """The answer, the same by all ways, and how often each has passed a request on."""
        usual, *others = (way.send(sent) for way in self.ways)
        for way, other in zip(self.ways[1:], others, strict=True):
            self.assertEqual(other, usual, f"{way._send.__name__}: {sent}"[:500])
        return usual, [way.passed_on for way in self.ways[1:]]

    def test_it_answers_plain_requests_as_django_does(self) -> None:
        seen = set()
        for sent in PLAIN:
            answer, passed_on = self.answers(sent)
            seen.add(answer.status)
            self.assertEqual(passed_on, [0, 0], f"{sent}"[:500])
        self.assertEqual(seen, {200, 201, 400, 404, 409})
        for finding in run_audit():
            self.assertTrue(finding.holds, finding)

    def test_it_leaves_other_requests_to_django(self) -> None:
        self.answers(place())
        seen = set()
        with self.assertLogs("django.security.DisallowedHost", "ERROR"):
            for number, sent in enumerate(ODD, 1):
                answer, passed_on = self.answers(sent)
                seen.add(answer.status)
                self.assertEqual(passed_on, [number, number], f"{sent}"[:500])
        self.assertEqual(seen, {200, 201, 400, 401, 404, 405, 406, 413, 415})

    def test_it_refuses_who_may_no_longer_come_in(self) -> None:
        self.answers(place())
        for way in self.ways:
            deactivate_user(user_id=way.users["ann"].pk)
        self.assertEqual(self.answers(place())[0].status, 401)
        self.answers(Sent("POST", "/api/orders/", order(), who="bob"))
        for way in self.ways:
            revoke_token(digest=User.objects.get(pk=way.users["bob"].pk).auth_token_set.get().digest)
        self.assertEqual(self.answers(Sent("POST", "/api/orders/", order(), who="bob"))[0].status, 401)

    def test_it_leaves_users_to_django_where_they_are_throttled(self) -> None:
        self.answers(place())
        rates = {**settings.REST_FRAMEWORK["DEFAULT_THROTTLE_RATES"], "user": "2/day"}
        with override_settings(REST_FRAMEWORK={**settings.REST_FRAMEWORK, "DEFAULT_THROTTLE_RATES": rates}):
            statuses = [way.send(place()).status for way in self.ways for _ in range(3)]
        self.assertEqual(statuses, [201, 201, 429] * 3)

    def test_it_says_what_fails_as_django_does(self) -> None:
        for error, status in ((OperationalError("no route to db7"), 503), (RuntimeError("a defect"), 500)):
            with failing("trade.apis.entry.validated", error), self.assertLogs("django.request", "ERROR"):
                answer, passed_on = self.answers(place())
            self.assertEqual((answer.status, passed_on), (status, [0, 0]))
            self.assertNotIn(str(error), answer.body)

    def test_it_leaves_a_broken_token_query_to_django(self) -> None:
        with failing("config.direct.ways.authenticate_token", OperationalError("away")):
            answer, passed_on = self.answers(place())
        self.assertEqual((answer.status, passed_on), (201, [1, 1]))


@contextmanager
def failing(target: str, error: Exception) -> Iterator[None]:
    with patch(target, side_effect=error):
        yield
