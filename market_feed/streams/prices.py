"""The last price of every stock, live: what a watchlist shows. Up to five messages a second, each with the
prices that changed; a socket gets all of them when it joins."""

import asyncio
from collections.abc import Iterable
from typing import TYPE_CHECKING, Any

from market_feed.streams.frames import Frame, encode
from market_feed.streams.sockets import Socket
from trade.signals import CommittedBatch
from users.fields import SCALE

if TYPE_CHECKING:
    from market_feed.streams.hub import Hub
    from market_feed.streams.stored import StockPosition

MIN_INTERVAL_S = 0.2


class PriceDesk:
    def __init__(self, hub: "Hub") -> None:
        self.frames = 0
        self._hub = hub
        self._sockets: set[Socket] = set()
        # Stock -> (sequence, price in units).
        self._latest: dict[str, tuple[int, int]] = {}
        self._changed: set[str] = set()
        # Sockets whose readers were busy: they get all prices next time.
        self._behind: set[Socket] = set()
        self._timer: asyncio.TimerHandle | None = None

    async def join(self, socket: Socket) -> None:
        await self._hub.resolve(None)
        self._hub.sockets.add(socket)
        self._sockets.add(socket)
        socket.offer(self._frame(self._latest))

    def leave(self, socket: Socket) -> None:
        self._sockets.discard(socket)
        self._behind.discard(socket)

    def take(self, batch: CommittedBatch) -> None:
        self._set(batch.stock_id, batch.sequence, batch.last_price)

    def compare(self, position: "StockPosition") -> None:
        self._set(position.stock_id, position.sequence, position.last_price)

    def _set(self, stock_id: str, sequence: int, price: int | None) -> None:
        known_sequence, known_price = self._latest.get(stock_id, (-1, None))
        if price is None or sequence <= known_sequence:
            return
        self._latest[stock_id] = (sequence, price)
        if price != known_price and self._sockets:
            self._changed.add(stock_id)
            if self._timer is None:
                self._timer = self._hub.loop.call_later(MIN_INTERVAL_S, self._send)

    def _send(self) -> None:
        self._timer = None
        changed, self._changed = self._frame(self._changed), set()
        behind = self._behind
        everything = self._frame(self._latest) if behind else changed
        self._behind = set()
        for socket in self._sockets:
            if socket.offer(everything if socket in behind else changed):
                self.frames += 1
            else:
                self._behind.add(socket)

    def _frame(self, stock_ids: Iterable[str]) -> Frame:
        prices: list[dict[str, Any]] = []
        for stock_id in stock_ids:
            sequence, units = self._latest[stock_id]
            prices.append({"stock_id": stock_id, "sequence": sequence, "price": units / SCALE})
        return encode({"type": "prices", "prices": prices})
