"""The ticks, live: every one that was stored, late ones too, in the order of their sequences; as the trades are."""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import TYPE_CHECKING, Any

from market_feed.streams.frames import Frame, encode
from market_feed.streams.trades import TradeDesk
from stocks.services.ticks import StoredTick
from trade.signals import CommittedBatch
from users.fields import SCALE

if TYPE_CHECKING:
    from market_feed.streams.stored import StockPosition

# More ticks than this go out in several frames.
TICKS_PER_FRAME = 500


@dataclass(frozen=True, slots=True)
class PublicTick:
    """A tick as everybody sees it. The fields are those of the message."""

    sequence: int
    price: float
    availability: int
    timestamp: datetime
    is_late: bool


class TickDesk(TradeDesk):
    def newest_of(self, news: "CommittedBatch | StockPosition") -> int:
        return news.tick_sequence

    def previous_of(self, batch: CommittedBatch) -> int:
        return batch.previous_tick_sequence

    def events_of(self, batch: CommittedBatch) -> list[PublicTick]:
        return [public_tick(tick) for tick in batch.ticks]

    def frames_of(self, stock_id: str, events: Sequence[Any]) -> Iterable[Frame]:
        for start in range(0, len(events), TICKS_PER_FRAME):
            part = events[start : start + TICKS_PER_FRAME]
            yield encode({"type": "ticks", "stock_id": stock_id, "ticks": part})

    async def read(self, stock_id: str, since: int, until: int | None, *, limit: int) -> list[PublicTick]:
        return await self._hub.read(self._hub.market.ticks_between, stock_id, since, until, limit)


def public_tick(tick: StoredTick) -> PublicTick:
    return PublicTick(tick.sequence, tick.price / SCALE, tick.availability, tick.timestamp, tick.is_late)
