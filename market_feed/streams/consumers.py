"""The WebSocket endpoints: who connects to what, and the requests a client may send.

These are plain ASGI applications. Channels' own consumers open a channel per connection and go through a
thread for each message; here the hub brings the news, and a connection only waits for its client.

Close codes: 4000 the URL makes no sense, 4001 not authenticated, 4004 unknown stock, 4008 the client reads
too slowly and should resume, 4013 try again later, 4029 too many connections, 4030 messages come too fast.
"""

import logging
from typing import Any, ClassVar

from django.conf import settings
from django.db import Error as DatabaseError
from rest_framework.exceptions import AuthenticationFailed, ParseError

from market_feed.streams import access
from market_feed.streams.access import Visitor
from market_feed.streams.admission import NO_LONGER_VALID, NOT_AUTHENTICATED
from market_feed.streams.book_groups import BookGroups
from market_feed.streams.books import DEFAULT_DEPTH, MAX_DEPTH
from market_feed.streams.catchup import TRY_AGAIN_LATER, Resumable, catch_up
from market_feed.streams.frames import PONG, error_frame
from market_feed.streams.hub import Hub, UnknownStock, get_hub
from market_feed.streams.limits import MessageAllowance
from market_feed.streams.order_entry import OrderEntry
from market_feed.streams.sockets import Socket, sink_for
from trade.selectors.candles import DEFAULT_INTERVAL, INTERVALS
from users.parsers import strict_loads

logger = logging.getLogger(__name__)

BAD_REQUEST = 4000
UNKNOWN_STOCK = 4004
TOO_MANY_CONNECTIONS = 4029
TOO_FAST = 4030
MAX_SEQUENCE = 2**63 - 1


class Refused(Exception):
    """The connection or request cannot be served. `close_code` ends the connection."""

    def __init__(self, code: str, detail: str, close_code: int | None = None) -> None:
        super().__init__(detail)
        self.code = code
        self.detail = detail
        self.close_code = close_code


class StreamConsumer:
    """One connection to one stream: join, accept, answer requests, leave."""

    requests: ClassVar[dict[str, str]] = {"ping": "on_ping"}
    # The setting that says how many messages a second a client may send.
    rate_setting = "STREAM_MESSAGE_RATE"

    def __init__(self, scope: dict[str, Any], receive: Any, send: Any) -> None:
        self.scope = scope
        self._receive = receive
        self._send = send
        self.hub: Hub
        self.socket: Socket
        self.visitor: Visitor
        self._allowance: MessageAllowance

    @classmethod
    async def serve(cls, scope: dict[str, Any], receive: Any, send: Any) -> None:
        await cls(scope, receive, send).run()

    async def run(self) -> None:
        if (await self._receive())["type"] != "websocket.connect":
            return
        if not access.origin_is_allowed(self.scope):
            await self._send({"type": "websocket.close"})
            return
        self.hub = get_hub()
        self.socket = Socket()
        self._allowance = MessageAllowance(getattr(settings, self.rate_setting), self.hub.loop.time)
        try:
            # First join, then accept: who is connected hears of everything that happens from then on.
            await self._answer(self._join())
            protocol = access.chosen_protocol(self.scope)
            await self._send({"type": "websocket.accept", "subprotocol": protocol})
            self.socket.open(sink_for(self._send))
            while (event := await self._receive())["type"] == "websocket.receive":
                if not self.socket.closed:
                    await self._answer(self._handle(event))
        finally:
            self.leave()

    async def join(self) -> None:
        """Make the hub send the stream to `self.socket`."""
        raise NotImplementedError  # pragma: no cover

    def leave(self) -> None:
        """The connection has ended, or was never accepted."""
        self.hub.leave(self.socket)

    async def on_ping(self, request: dict[str, Any]) -> None:
        self.socket.deliver(PONG)

    async def _join(self) -> None:
        try:
            await self._admit()
            await self.join()
        except UnknownStock as error:
            raise Refused("unknown_stock", f"there is no stock {str(error)[:64]}", UNKNOWN_STOCK) from None
        except DatabaseError as error:
            logger.warning("A stream could not be joined: %s", error)
            raise Refused(
                "unavailable", "the market cannot be read: try again later", TRY_AGAIN_LATER
            ) from None

    async def _admit(self) -> None:
        """Find out who this is, and count them."""
        self.parameters("token")
        if access.gives_credentials(self.scope):
            self.visitor = await self.hub.read(access.visitor_of, self.scope)
        else:
            self.visitor = Visitor(access.client_address(self.scope))
        is_known = self.visitor.user_id is not None
        limit = settings.STREAM_USER_CONNECTIONS if is_known else settings.STREAM_ADDRESS_CONNECTIONS
        if not self.hub.admission.enter(self.socket, self.visitor, limit):
            detail = f"{self.visitor.name} has {limit} connections already: close one first"
            raise Refused("too_many_connections", detail, TOO_MANY_CONNECTIONS)

    async def _handle(self, event: dict[str, Any]) -> None:
        if not self._allowance.take():
            rate = getattr(settings, self.rate_setting)
            close_code = TOO_FAST if self._allowance.is_overdrawn else None
            raise Refused("too_many_messages", f"send no more than {rate:g} messages a second", close_code)
        request = decode(event)
        handler = self.requests.get(request["type"])
        if handler is None:
            raise Refused("unknown_type", f"this stream knows {', '.join(sorted(self.requests))}")
        await getattr(self, handler)(request)

    async def _answer(self, work: Any) -> None:
        try:
            await work
        except Refused as refused:
            self.socket.deliver(error_frame(refused.code, refused.detail))
            if refused.close_code is not None:
                self.socket.close(refused.close_code, refused.detail)

    def stock_ids(self) -> list[str] | None:
        """The stocks the URL names, None when it names none."""
        stock_ids = self.parameters("stock_id")
        if len(stock_ids) > settings.STREAM_STOCKS:
            detail = f"name no more than {settings.STREAM_STOCKS} stocks on one connection"
            raise Refused("too_many_stocks", detail, BAD_REQUEST)
        return stock_ids or None

    def parameters(self, name: str) -> list[str]:
        """What the URL gives for one of its parameters, in order."""
        try:
            return access.query(self.scope).get(name, [])
        except ValueError:
            raise Refused("invalid", "too many parameters", BAD_REQUEST) from None


class ResumableConsumer(StreamConsumer):
    """A stream whose messages have sequences and can be asked for again."""

    requests: ClassVar[dict[str, str]] = {**StreamConsumer.requests, "resume": "on_resume"}

    def stream(self, stock_id: str) -> Resumable:
        raise NotImplementedError  # pragma: no cover

    async def on_resume(self, request: dict[str, Any]) -> None:
        stock_id, since = request.get("stock_id"), request.get("since_sequence")
        rewind = request.get("rewind", False)
        if not isinstance(stock_id, str):
            raise Refused("invalid", "stock_id must be the text that names a stock")
        if type(since) is not int or not 0 <= since <= MAX_SEQUENCE:
            raise Refused("invalid", "since_sequence must be a whole number, zero or greater")
        if type(rewind) is not bool:
            raise Refused("invalid", "rewind must be true or false")
        if stock_id not in self.socket.joined:
            raise Refused("unknown_stock", "this connection does not listen to that stock")
        if stock_id in self.socket.catching_up:
            raise Refused("resume_in_progress", "the stream of that stock is being resumed already")
        self.hub.spawn(catch_up(self.stream(stock_id), self.socket, since, rewind=rewind))

    async def _join(self) -> None:
        points = self._resume_points()
        await super()._join()
        # Nothing was awaited since the hub let it join: what the client knows already is not sent.
        for stock_id, since in points.items():
            if stock_id not in self.socket.joined:
                detail = f"since names {stock_id[:64]}, which this connection does not listen to"
                raise Refused("unknown_stock", detail, UNKNOWN_STOCK)
            self.hub.spawn(catch_up(self.stream(stock_id), self.socket, since))

    def _resume_points(self) -> dict[str, int]:
        """Per stock, the sequence that the URL says the client knows everything up to."""
        given = self.parameters("since")
        if len(given) > settings.STREAM_STOCKS:
            detail = f"give since for no more than {settings.STREAM_STOCKS} stocks"
            raise Refused("too_many_stocks", detail, BAD_REQUEST)
        points: dict[str, int] = {}
        for text in given:
            stock_id, _, number = text.rpartition(":")
            if not is_whole_number(number) or int(number) > MAX_SEQUENCE or not stock_id:
                raise Refused("invalid", "since must be a stock_id, a colon and a sequence", BAD_REQUEST)
            points[stock_id] = int(number)
        return points


class TradesConsumer(ResumableConsumer):
    async def join(self) -> None:
        await self.hub.trades.join(self.socket, self.stock_ids())

    def stream(self, stock_id: str) -> Resumable:
        return self.hub.trades.streams[stock_id]


class TicksConsumer(ResumableConsumer):
    async def join(self) -> None:
        await self.hub.ticks.join(self.socket, self.stock_ids())

    def stream(self, stock_id: str) -> Resumable:
        return self.hub.ticks.streams[stock_id]


class CandlesConsumer(StreamConsumer):
    async def join(self) -> None:
        await self.hub.candles.join(self.socket, self.stock_ids(), self._intervals())

    def _intervals(self) -> list[str]:
        intervals = list(dict.fromkeys(self.parameters("interval"))) or [DEFAULT_INTERVAL]
        if not set(INTERVALS).issuperset(intervals):
            raise Refused("invalid", f"interval must be one of {', '.join(INTERVALS)}", BAD_REQUEST)
        return intervals


class OrderBookConsumer(StreamConsumer):
    async def join(self) -> None:
        await self.hub.books.join(self.socket, self.stock_ids(), self._depth(), self._mode())

    def _mode(self) -> str:
        (mode, *_) = self.parameters("mode") or ["snapshot"]
        if mode not in BookGroups.MODES:
            raise Refused("invalid", f"mode must be one of: {', '.join(BookGroups.MODES)}", BAD_REQUEST)
        return mode

    def _depth(self) -> int:
        (text, *_) = self.parameters("depth") or [str(DEFAULT_DEPTH)]
        if not (is_whole_number(text) and 1 <= int(text) <= MAX_DEPTH):
            raise Refused("invalid", f"depth must be a whole number from 1 to {MAX_DEPTH}", BAD_REQUEST)
        return int(text)


class PricesConsumer(StreamConsumer):
    async def join(self) -> None:
        await self.hub.prices.join(self.socket)


class OrdersConsumer(ResumableConsumer):
    requests: ClassVar[dict[str, str]] = {
        **ResumableConsumer.requests,
        **dict.fromkeys(OrderEntry.HANDLERS, "on_order_request"),
    }
    rate_setting = "STREAM_ORDER_RATE"
    entry: OrderEntry | None = None

    async def join(self) -> None:
        if self.visitor.user_id is None:
            raise Refused(
                "not_authenticated", "give a valid token, or log in on this host", NOT_AUTHENTICATED
            )
        self.hub.admission.watch(self.socket, self.visitor)
        if self._wants_events():
            await self.hub.private.join(self.socket, self.visitor.user_id)
        else:
            self.hub.sockets.add(self.socket)
        self.entry = OrderEntry(self.hub, self.socket, self.visitor)

    def leave(self) -> None:
        super().leave()
        if self.entry is not None:
            self.entry.leave()

    def _wants_events(self) -> bool:
        """Whether the URL does not say that only answers are wanted."""
        (text, *_) = self.parameters("events") or ["true"]
        if text not in ("true", "false"):
            raise Refused("invalid", "events must be true or false", BAD_REQUEST)
        return text == "true"

    async def on_order_request(self, request: dict[str, Any]) -> None:
        assert self.entry is not None, "only who has joined is listened to"
        try:
            await self.entry.take(request)
        except AuthenticationFailed:
            raise Refused("not_authenticated", NO_LONGER_VALID, NOT_AUTHENTICATED) from None

    def stream(self, stock_id: str) -> Resumable:
        return self.hub.private.streams[stock_id]


async def refuse(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """There is nothing at this path."""
    await receive()
    await send({"type": "websocket.close"})


def is_whole_number(text: str) -> bool:
    """Whether a parameter is a number of plain digits, and of no more than an integer column holds."""
    return text.isascii() and text.isdigit() and len(text) < 20


def decode(event: dict[str, Any]) -> dict[str, Any]:
    """The request in a received frame: an object with a `type`. Raises Refused."""
    text = event.get("text")
    if text is None:
        raise Refused("not_text", "send JSON in text frames")
    if len(text) > settings.STREAM_MESSAGE_LENGTH:
        raise Refused("too_large", f"a message may have {settings.STREAM_MESSAGE_LENGTH} characters")
    try:
        request = strict_loads(text)
    except ParseError as error:
        raise Refused("invalid_json", str(error)) from None
    if not isinstance(request, dict) or not isinstance(request.get("type"), str):
        raise Refused("invalid", 'send an object such as {"type": "ping"}')
    return request
