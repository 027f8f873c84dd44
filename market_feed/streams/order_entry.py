"""Order entry on the private stream: requests in, each answered under its caller's id.

Invariants:

* What an order may be, and every way in which it can be refused, is REST's: the same serializers, the same
  engine calls, the same errors. Only the envelope is ours.
* A connection's requests take effect in the order in which they came: orders are placed in it, two requests
  about one order go one after the other, and `cancel_all` comes after all before it and before all after it.
  The answers come as they are ready.
* A request is a task of the event loop and keeps no thread waiting for its match. At most `MAX_UNANSWERED`
  of a connection are under way; one more is refused, and costs next to nothing.
* Who may trade is looked at again every few seconds, and at once when this process hears that a token was
  revoked or a user deactivated.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, ClassVar
from uuid import UUID

from django.conf import settings
from django.db import InterfaceError, OperationalError
from rest_framework import serializers
from rest_framework.exceptions import (
    APIException,
    AuthenticationFailed,
    ErrorDetail,
    Throttled,
    ValidationError,
)
from rest_framework.status import HTTP_201_CREATED

from market_feed.streams.access import Visitor, still_welcome
from market_feed.streams.departures import OwnOrders
from market_feed.streams.frames import Frame, encode
from market_feed.streams.sockets import Socket
from trade.apis import entry
from trade.apis.inputs import CancelQuery, StrictBooleanField
from trade.apis.outcomes import errors_of
from trade.apis.rendering import render_order
from trade.apis.viewers import owner_of
from trade.engine import awaited, get_engine
from trade.services.refusals import EngineBusy
from users.exceptions import DatabaseUnavailable, Refusal
from users.inputs import StrictSerializer, validated
from users.models import User
from users.throttling import UserThrottle
from users.token_cache import token_cache

if TYPE_CHECKING:
    from market_feed.streams.hub import Hub

logger = logging.getLogger(__name__)

MAX_UNANSWERED = 500
MAX_ID_LENGTH = 64
# What every client's numbers can hold.
MAX_ID_NUMBER = 2**53

RequestId = str | int | None
Body = dict[str, Any]


class PlaceRequest(StrictSerializer):
    """The order itself is read as a body of REST would be, so that its errors name the same fields."""

    order = serializers.DictField()


class OrderRequest(StrictSerializer):
    order_id = serializers.UUIDField()


class CancelOnDisconnectRequest(StrictSerializer):
    enabled = StrictBooleanField()


class OrderEntry:
    """The requests of one connection."""

    HANDLERS: ClassVar[dict[str, str]] = {
        "place": "_place",
        "cancel": "_cancel",
        "cancel_all": "_cancel_all",
        "replace": "_replace",
        "cancel_on_disconnect": "_cancel_on_disconnect",
    }

    def __init__(self, hub: "Hub", socket: Socket, visitor: Visitor) -> None:
        self._hub = hub
        self._socket = socket
        self._visitor = visitor
        self._own_orders = OwnOrders()
        self._ends_with_connection = False
        self._answers: list[Frame] = []
        self._unanswered: set[asyncio.Task[None]] = set()
        # The newest request about an order, and the newest that all after it wait for.
        self._about: dict[str, asyncio.Task[None]] = {}
        self._barrier: asyncio.Task[None] | None = None
        self._user: User | None = None
        self._trusted_until = 0.0
        self._trusted_generation = -1

    async def take(self, request: dict[str, Any]) -> None:
        """Start on a request; it will be answered. AuthenticationFailed: the connection must end."""
        request_id: RequestId = None
        try:
            request_id = id_of(request)
            if len(self._unanswered) >= MAX_UNANSWERED:
                raise EngineBusy(f"{MAX_UNANSWERED} requests wait for their answers: wait for some")
            user = await self._known_user()
            await self._count(user)
        except Exception as error:
            self._refuse(request_id, error)
            if isinstance(error, AuthenticationFailed):
                self._write_answers()
                raise
            return
        self._start(request_id, user, request)

    def leave(self) -> None:
        """The connection has ended, however it did."""
        if self._ends_with_connection:
            self._own_orders.cancel_after(set(self._unanswered))

    # --- Who asks, and how often -----------------------------------------------------------------------

    async def _known_user(self) -> User:
        now, generation = self._hub.loop.time(), token_cache.generation
        if self._user is None or now >= self._trusted_until or generation != self._trusted_generation:
            self._user = await self._hub.read(user_of, self._visitor)
            self._trusted_until, self._trusted_generation = now + settings.TOKEN_CACHE_S, generation
        if self._user is None:
            raise AuthenticationFailed("Invalid token.")
        return self._user

    async def _count(self, user: User) -> None:
        throttle = UserThrottle()
        # The count may be in another process, which the loop must not wait for.
        if throttle.rate is not None and not await self._hub.read(
            throttle.allow, throttle.identity_of(user.pk)
        ):
            raise Throttled(throttle.wait())

    # --- One after the other ---------------------------------------------------------------------------

    def _start(self, request_id: RequestId, user: User, request: dict[str, Any]) -> None:
        body = {name: value for name, value in request.items() if name not in ("type", "id")}
        key = order_key(body)
        before = self._before(request["type"], key)
        work = getattr(self, self.HANDLERS[request["type"]])
        task = self._hub.loop.create_task(self._answer(request_id, before, lambda: work(user, body)))
        self._unanswered.add(task)
        task.add_done_callback(self._unanswered.discard)
        if request["type"] == "cancel_all":
            self._barrier = task
        if key is not None:
            self._about[key] = task
            task.add_done_callback(lambda done: self._forget(key, done))

    def _before(self, kind: str, key: str | None) -> list[asyncio.Task[None]]:
        """What has to be done before a request may take effect."""
        if kind == "cancel_all":
            return list(self._unanswered)
        earlier = (self._barrier, self._about.get(key) if key is not None else None)
        return [task for task in earlier if task is not None and not task.done()]

    def _forget(self, key: str, task: asyncio.Task[None]) -> None:
        if self._about.get(key) is task:
            del self._about[key]

    async def _answer(
        self, request_id: RequestId, before: list[asyncio.Task[None]], work: Callable[[], Awaitable[Body]]
    ) -> None:
        if before:
            await asyncio.wait(before)
        try:
            answer = await work()
        except Exception as error:
            self._refuse(request_id, error)
        else:
            self._say({"type": answer.pop("type"), "id": request_id, **answer})

    def _refuse(self, request_id: RequestId, error: Exception) -> None:
        status, errors = errors_of(_as_known(error))
        self._say({"type": "refused", "id": request_id, "status": status, "errors": errors})

    def _say(self, answer: Body) -> None:
        """Write an answer, together with those that are ready in the same turn of the loop."""
        if not self._answers:
            self._hub.loop.call_soon(self._write_answers)
        self._answers.append(encode(answer))

    def _write_answers(self) -> None:
        answers, self._answers = self._answers, []
        if answers:
            self._socket.deliver(*answers)

    # --- Requests --------------------------------------------------------------------------------------

    async def _place(self, user: User, body: Body) -> Body:
        order_body = validated(PlaceRequest, body)["order"]
        status, order = await entry.place_awaited(user.pk, order_body)
        if status == HTTP_201_CREATED:
            self._own_orders.add(UUID(order["order_id"]))
        return {"type": "placed", "status": status, "order": order}

    async def _cancel(self, user: User, body: Body) -> Body:
        order_id = validated(OrderRequest, body)["order_id"]
        order = await awaited.cancel_order(order_id, owner_of(user))
        return {"type": "cancelled", "status": 200, "order": render_order(order)}

    async def _cancel_all(self, user: User, body: Body) -> Body:
        query = validated(CancelQuery, body)
        count = await awaited.in_thread(lambda: get_engine().cancel_orders(user.pk, **query))
        return {"type": "cancelled_all", "status": 200, "cancelled": count}

    async def _replace(self, user: User, body: Body) -> Body:
        named = {"order_id": body.pop("order_id")} if "order_id" in body else {}
        order_id = validated(OrderRequest, named)["order_id"]
        change = entry.read_change(body)
        order = await awaited.replace_order(order_id, user.pk, **change._asdict())
        return {"type": "replaced", "status": 200, "order": render_order(order)}

    async def _cancel_on_disconnect(self, user: User, body: Body) -> Body:
        self._ends_with_connection = validated(CancelOnDisconnectRequest, body)["enabled"]
        return {"type": "cancel_on_disconnect", "status": 200, "enabled": self._ends_with_connection}


def user_of(visitor: Visitor) -> User | None:
    """The active user whose token or session is still good."""
    if visitor.user_id is None or visitor not in still_welcome({visitor}):
        return None
    return User.objects.filter(pk=visitor.user_id, is_active=True).first()


def id_of(request: dict[str, Any]) -> RequestId:
    """The caller's own name for a request. ValidationError unless it is a short text or a whole number."""
    value = request.get("id")
    if value is None:
        raise ValidationError({"id": [ErrorDetail("This field is required.", code="required")]})
    is_text = isinstance(value, str) and len(value) <= MAX_ID_LENGTH
    is_number = type(value) is int and abs(value) <= MAX_ID_NUMBER
    if not (is_text or is_number):
        detail = f"Give a text of at most {MAX_ID_LENGTH} characters, or a whole number."
        raise ValidationError({"id": [ErrorDetail(detail, code="invalid")]})
    return value


def order_key(body: Body) -> str | None:
    """What two requests about one order have in common."""
    order_id = body.get("order_id")
    return order_id.replace("-", "").lower() if isinstance(order_id, str) else None


def _as_known(error: Exception) -> Refusal | APIException:
    """The error as REST would answer it."""
    if isinstance(error, Refusal | APIException):
        return error
    if isinstance(error, OperationalError | InterfaceError):
        logger.warning("the database did not do its work: %s", str(error).strip())
        return DatabaseUnavailable()
    logger.error("an order request failed", exc_info=error)
    return APIException()
