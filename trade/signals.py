"""News of the market, sent upward once a batch is committed.

Receivers run in the engine's thread and must only hand the batch on (queue, event loop): a receiver
that blocks holds up that stock. Prices are units (ten-thousandths), quantities whole shares.
"""

from dataclasses import dataclass
from datetime import datetime

from django.dispatch import Signal

from stocks.services.ticks import StoredTick

# Sent with `batch=CommittedBatch`, after the commit, once for every batch that changed something.
batch_committed = Signal()


@dataclass(frozen=True, slots=True)
class CommittedTrade:
    trade_id: int
    sequence: int
    price: int
    quantity: int
    bid_order_id: str | None
    ask_order_id: str | None
    buyer_id: int | None
    seller_id: int | None
    source: str


@dataclass(frozen=True, slots=True)
class ChangedOrder:
    """An order as the batch left it. `order_id` is 32 hex digits."""

    order_id: str
    user_id: int
    status: str
    remaining_quantity: int
    traded_quantity: int
    sequence: int


@dataclass(frozen=True, slots=True)
class BookLevel:
    price: int
    quantity: int
    orders: int


@dataclass(frozen=True, slots=True)
class BookSnapshot:
    """The best levels of each side, best first, at `sequence`."""

    bids: tuple[BookLevel, ...]
    asks: tuple[BookLevel, ...]


@dataclass(frozen=True, slots=True)
class CommittedBatch:
    """Everything one commit did to one stock: sequences `first_sequence` to `sequence`.

    `previous_trade_sequence` is the sequence of the newest trade before this batch (0: none), so that a
    reader knows whether it missed one; `previous_tick_sequence` is the same of ticks, late ones included.
    `book` has up to `trade.engine.batch.SNAPSHOT_DEPTH` levels a side.
    """

    stock_id: str
    first_sequence: int
    sequence: int
    previous_trade_sequence: int
    trade_sequence: int
    previous_tick_sequence: int
    tick_sequence: int
    trades: tuple[CommittedTrade, ...]
    ticks: tuple[StoredTick, ...]
    orders: tuple[ChangedOrder, ...]
    book: BookSnapshot
    last_price: int | None
    committed_at: datetime
