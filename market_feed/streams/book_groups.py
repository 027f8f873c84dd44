"""Those who listen to one book in the same way, to the same depth: what they get is encoded once.

A snapshot replaces the one before. Changes build on what was sent before, so a reader that was too busy for
one of them gets a snapshot instead of the next, and a newcomer begins with the book that the others have.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from typing import TYPE_CHECKING, ClassVar
from zlib import crc32

from market_feed.streams.frames import Frame, book_changes_frame, book_frame
from market_feed.streams.sockets import Socket
from trade.signals import BookLevel

if TYPE_CHECKING:
    from market_feed.streams.books import Book

# Levels a side that the checksum covers.
CHECKSUM_DEPTH = 10


class SnapshotGroup:
    """Whoever gets whole snapshots."""

    __slots__ = ("_sequence", "depth", "sockets", "stock_id")

    def __init__(self, stock_id: str, depth: int) -> None:
        self.stock_id = stock_id
        self.depth = depth
        self.sockets: set[Socket] = set()
        # Of the newest book written.
        self._sequence = 0

    def add(self, socket: Socket, book: "Book | None") -> None:
        """Let `socket` hear what follows, and show it `book` first, if there is one."""
        self.sockets.add(socket)
        if book is not None:
            socket.offer(self._snapshot(book))

    def discard(self, socket: Socket) -> None:
        self.sockets.discard(socket)

    def write(self, book: "Book") -> int:
        """Bring everybody to `book`, which covers this group's depth; the number of frames written.

        One that was read from the database may be older than what was written meanwhile: it is left out.
        """
        if book.sequence < self._sequence:
            return 0
        self._sequence = book.sequence
        return self._bring_to(book)

    def _bring_to(self, book: "Book") -> int:
        frame = self._snapshot(book)
        return sum(socket.offer(frame) for socket in self.sockets)

    def _snapshot(self, book: "Book") -> Frame:
        bids, asks = book.bids[: self.depth], book.asks[: self.depth]
        return book_frame(self.stock_id, book.sequence, datetime.now(UTC), bids, asks)


class ChangesGroup(SnapshotGroup):
    """Whoever gets a snapshot once, and then what changed in it."""

    __slots__ = ("_behind", "_sent")

    def __init__(self, stock_id: str, depth: int) -> None:
        super().__init__(stock_id, depth)
        # The book that everybody has who is not behind.
        self._sent: Book | None = None
        self._behind: set[Socket] = set()

    def add(self, socket: Socket, book: "Book | None") -> None:
        self.sockets.add(socket)
        if self._sent is None and book is not None:
            self._sent = book.top(self.depth)
            self._sequence = book.sequence
        if self._sent is None or not socket.offer(self._snapshot(self._sent)):
            self._behind.add(socket)

    def discard(self, socket: Socket) -> None:
        super().discard(socket)
        self._behind.discard(socket)

    def _bring_to(self, book: "Book") -> int:
        old, new = self._sent, book.top(self.depth)
        if old is None:
            self._behind |= self.sockets
        self._sent = new
        behind, self._behind = self._behind, set()
        count = 0
        if old is not None and len(behind) < len(self.sockets):
            count += self._offer(self._changes(old, new), self.sockets - behind)
        if behind:
            count += self._offer(self._snapshot(new), behind)
        return count

    def _offer(self, frame: Frame, sockets: set[Socket]) -> int:
        late = {socket for socket in sockets if not socket.offer(frame)}
        self._behind |= late
        return len(sockets) - len(late)

    def _snapshot(self, book: "Book") -> Frame:
        return book_frame(
            self.stock_id, book.sequence, datetime.now(UTC), book.bids, book.asks, book_checksum(book)
        )

    def _changes(self, old: "Book", new: "Book") -> Frame:
        return book_changes_frame(
            self.stock_id,
            old.sequence + 1,
            new.sequence,
            datetime.now(UTC),
            changed_levels(old.bids, new.bids),
            changed_levels(old.asks, new.asks),
            book_checksum(new),
        )


class BookGroups:
    """The groups of one stock that have anybody in them, by mode and depth."""

    MODES: ClassVar[dict[str, type[SnapshotGroup]]] = {"snapshot": SnapshotGroup, "delta": ChangesGroup}

    def __init__(self, stock_id: str) -> None:
        self._stock_id = stock_id
        self._groups: dict[tuple[str, int], SnapshotGroup] = {}

    def add(self, socket: Socket, mode: str, depth: int, book: "Book | None") -> None:
        group = self._groups.get((mode, depth))
        if group is None:
            group = self._groups[mode, depth] = self.MODES[mode](self._stock_id, depth)
        group.add(socket, book)

    def discard(self, socket: Socket) -> None:
        for key, group in list(self._groups.items()):
            group.discard(socket)
            if not group.sockets:
                del self._groups[key]

    def write(self, book: "Book", *, deeper_than: "Book | None" = None) -> int:
        """Bring to `book` whom it covers, but not whom `deeper_than` covers; the number of frames written."""
        return sum(
            group.write(book)
            for group in self._groups.values()
            if book.covers(group.depth) and not (deeper_than is not None and deeper_than.covers(group.depth))
        )

    def deepest(self) -> int:
        return max((group.depth for group in self._groups.values()), default=0)

    def __len__(self) -> int:
        return len(self._groups)


def changed_levels(old: Sequence[BookLevel], new: Sequence[BookLevel]) -> list[tuple[int, int]]:
    """(price, quantity) of every level that is new or has another quantity; 0 where there is none any more."""
    if old == new:
        return []
    gone = {level.price: level.quantity for level in old}
    changed = [
        (level.price, level.quantity) for level in new if gone.pop(level.price, None) != level.quantity
    ]
    return [*changed, *((price, 0) for price in gone)]


def book_checksum(book: "Book") -> int:
    """CRC-32 of the best levels as text, see config/docs/STREAMS.md."""
    return crc32("|".join(map(_text, (book.bids, book.asks))).encode())


def _text(levels: Sequence[BookLevel]) -> str:
    return ",".join(f"{level.price}:{level.quantity}" for level in levels[:CHECKSUM_DEPTH])
