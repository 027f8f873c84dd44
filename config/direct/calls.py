"""Which requests are plain enough to be answered directly.

Plain is: one of the calls below, without a query; a token in its header, no throttle on users; a JSON body of a stated,
modest length; an `Accept` that JSON satisfies; an allowed host. For what is not, Django has the answer.
"""

import re
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

from django.conf import settings
from django.http.request import split_domain_port, validate_host
from rest_framework.settings import api_settings
from rest_framework.views import APIView

from trade.apis import entry
from trade.apis.batches import BatchView
from trade.apis.orders import OrdersView, OrderView
from trade.apis.viewers import owner_of
from trade.engine.awaited import in_thread
from users.models import User
from users.routes import ID_PATTERNS

# Longer bodies are read by Django, which knows what is too large.
MAX_BODY = 256 * 1024
MAX_ACCEPT = 200
READ_HEADERS = frozenset({"authorization", "content-type", "content-length", "accept", "host"})
# What these ask for is not ours to know.
REFUSED_HEADERS = frozenset({"transfer-encoding", "expect"})

_ORDER_PATH = re.compile(rf"/api/orders/({ID_PATTERNS['order_id']})/?", re.ASCII)
_LENGTH = re.compile("[0-9]{1,7}", re.ASCII)


@dataclass(frozen=True, slots=True)
class Caller:
    """What a call is told: the user, the parsed body (None without one), and the order its path names."""

    user: User
    data: Any
    order_id: str


@dataclass(frozen=True, slots=True)
class Call:
    """A call of the API: how it is answered in a thread that may wait, and in an event loop."""

    view: type[APIView]
    in_thread: Callable[[Caller], entry.Answer]
    in_loop: Callable[[Caller], Awaitable[entry.Answer]]
    has_body: bool = True


@dataclass(frozen=True, slots=True)
class PlainRequest:
    """A request that is answered directly, if its token turns out to be valid."""

    call: Call
    path: str
    order_id: str
    token: str
    length: int


def plain_request(method: str, path: str, headers: Mapping[str, str]) -> PlainRequest | None:
    """The plain request that this is, or None. `headers` are those of READ_ and REFUSED_HEADERS that it has."""
    found = _find(method, path)
    if found is None or not REFUSED_HEADERS.isdisjoint(headers) or _is_throttled():
        return None
    call, order_id = found
    token = _token(headers.get("authorization", ""))
    length = _length(call, headers)
    if token is None or length is None or not _takes_json(headers.get("accept")):
        return None
    if not _is_allowed_host(headers.get("host", ""), tuple(settings.ALLOWED_HOSTS)):
        return None
    return PlainRequest(call, path, order_id, token, length)


def _find(method: str, path: str) -> tuple[Call, str] | None:
    call = CALLS.get((method, path.removesuffix("/")))
    if call is not None:
        return call, ""
    match = _ORDER_PATH.fullmatch(path)
    call = match and ORDER_CALLS.get(method)
    return (call, match[1]) if match and call else None


def _is_throttled() -> bool:
    # The counts may be in Redis: nothing to ask from an event loop.
    return bool(api_settings.DEFAULT_THROTTLE_RATES.get("user"))


def _token(authorization: str) -> str | None:
    words = authorization.split()
    return words[1] if len(words) == 2 and words[0].lower() == "token" else None


def _length(call: Call, headers: Mapping[str, str]) -> int | None:
    """The length of the body; None when it is not one to read here."""
    stated = headers.get("content-length", "")
    if not call.has_body:
        return 0 if stated in ("", "0") else None
    media_type = headers.get("content-type", "").partition(";")[0].strip().lower()
    if media_type != "application/json" or not _LENGTH.fullmatch(stated):
        return None
    return length if 0 < (length := int(stated)) <= MAX_BODY else None


def _takes_json(accept: str | None) -> bool:
    if accept is None or accept == "*/*":
        return True
    # Parameters may ask for another layout.
    if ";" in accept or len(accept) > MAX_ACCEPT:
        return False
    return not {"*/*", "application/json"}.isdisjoint(word.strip() for word in accept.split(","))


@lru_cache(maxsize=256)
def _is_allowed_host(host: str, allowed: tuple[str, ...]) -> bool:
    domain, _ = split_domain_port(host)
    return bool(domain) and validate_host(domain, allowed)


# --- The calls ------------------------------------------------------------------------------------------


def _place(caller: Caller) -> entry.Answer:
    return entry.place(caller.user.pk, caller.data)


async def _place_in_loop(caller: Caller) -> entry.Answer:
    return await entry.place_awaited(caller.user.pk, caller.data)


def _place_batch(caller: Caller) -> entry.Answer:
    return entry.place_batch(caller.user.pk, caller.data)


async def _place_batch_in_loop(caller: Caller) -> entry.Answer:
    return await entry.place_batch_awaited(caller.user.pk, caller.data)


def _replace(caller: Caller) -> entry.Answer:
    return entry.replace(caller.user.pk, caller.order_id, caller.data)


async def _replace_in_loop(caller: Caller) -> entry.Answer:
    return await in_thread(lambda: _replace(caller))


def _cancel(caller: Caller) -> entry.Answer:
    return entry.cancel(owner_of(caller.user), caller.order_id)


async def _cancel_in_loop(caller: Caller) -> entry.Answer:
    return await in_thread(lambda: _cancel(caller))


CALLS = {
    ("POST", "/api/orders"): Call(OrdersView, _place, _place_in_loop),
    ("POST", "/api/orders/batch"): Call(BatchView, _place_batch, _place_batch_in_loop),
}
ORDER_CALLS = {
    "PUT": Call(OrderView, _replace, _replace_in_loop),
    "PATCH": Call(OrderView, _replace, _replace_in_loop),
    "DELETE": Call(OrderView, _cancel, _cancel_in_loop, has_body=False),
}
