"""Who is let in and who is still welcome: connections are counted, and private ones looked at every second.

A user who was deactivated, a token that was revoked or is over, a session that was logged out of or whose
password was changed: each ends its connections within about a second, for three queries in all.
"""

from typing import TYPE_CHECKING

from market_feed.streams.access import Visitor, still_welcome
from market_feed.streams.frames import error_frame
from market_feed.streams.limits import ConnectionCount
from market_feed.streams.sockets import Socket

if TYPE_CHECKING:
    from market_feed.streams.hub import Hub

NOT_AUTHENTICATED = 4001
NO_LONGER_VALID = "your token or session is no longer valid"


class Admission:
    def __init__(self, hub: "Hub") -> None:
        self._hub = hub
        self._count = ConnectionCount()
        self._names: dict[Socket, str] = {}
        self._watched: dict[Socket, Visitor] = {}

    def enter(self, socket: Socket, visitor: Visitor, limit: int) -> bool:
        """Count a connection; False when its visitor has `limit` open already."""
        if not self._count.enter(visitor.name, limit):
            return False
        self._names[socket] = visitor.name
        return True

    def watch(self, socket: Socket, visitor: Visitor) -> None:
        """Close this connection when what it showed at the door is no longer good."""
        self._watched[socket] = visitor

    def leave(self, socket: Socket) -> None:
        self._watched.pop(socket, None)
        if (name := self._names.pop(socket, None)) is not None:
            self._count.leave(name)

    async def look_again(self) -> None:
        """Close the connections of those who are no longer welcome."""
        if not self._watched:
            return
        asked = dict(self._watched)
        welcome = await self._hub.read(still_welcome, set(asked.values()))
        for socket, visitor in asked.items():
            if visitor not in welcome:
                socket.deliver(error_frame("not_authenticated", NO_LONGER_VALID))
                socket.close(NOT_AUTHENTICATED, NO_LONGER_VALID)
