"""Messages of the streams, and the bytes they travel as.

Money and prices are JSON numbers, exact to 15 digits: units divide into the nearest double, and its
shortest spelling is the decimal number again.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

import orjson

from trade.signals import BookLevel, CommittedBatch
from users.fields import SCALE

# More trades than this go out in several frames.
TRADES_PER_FRAME = 500

_TEXT_FRAME = 0x81


@dataclass(frozen=True, slots=True)
class Frame:
    """One message encoded once: its JSON, and the unmasked WebSocket text frame around it."""

    payload: bytes
    wire: bytes


@dataclass(frozen=True, slots=True)
class PublicTrade:
    """A trade as everybody sees it. The fields are those of the message."""

    trade_id: int
    sequence: int
    price: float
    quantity: int
    execution_timestamp: datetime
    bid_order_id: str | None
    ask_order_id: str | None


def encode(message: Any) -> Frame:
    payload = orjson.dumps(message, option=orjson.OPT_UTC_Z)
    size = len(payload)
    if size <= 125:
        header = bytes((_TEXT_FRAME, size))
    elif size <= 0xFFFF:
        header = bytes((_TEXT_FRAME, 126)) + size.to_bytes(2, "big")
    else:
        header = bytes((_TEXT_FRAME, 127)) + size.to_bytes(8, "big")
    return Frame(payload, header + payload)


def trades_frames(stock_id: str, trades: Sequence[PublicTrade]) -> Iterable[Frame]:
    for start in range(0, len(trades), TRADES_PER_FRAME):
        part = trades[start : start + TRADES_PER_FRAME]
        yield encode({"type": "trades", "stock_id": stock_id, "trades": part})


def book_frame(
    stock_id: str,
    sequence: int,
    timestamp: datetime,
    bids: Sequence[BookLevel],
    asks: Sequence[BookLevel],
    checksum: int | None = None,
) -> Frame:
    message = {
        "type": "orderbook",
        "stock_id": stock_id,
        "sequence": sequence,
        "timestamp": timestamp,
        "bids": [{"price": level.price / SCALE, "quantity": level.quantity} for level in bids],
        "asks": [{"price": level.price / SCALE, "quantity": level.quantity} for level in asks],
    }
    return encode(message if checksum is None else {**message, "checksum": checksum})


def book_changes_frame(
    stock_id: str,
    first_sequence: int,
    last_sequence: int,
    timestamp: datetime,
    bids: Iterable[tuple[int, int]],
    asks: Iterable[tuple[int, int]],
    checksum: int,
) -> Frame:
    return encode(
        {
            "type": "orderbook_changes",
            "stock_id": stock_id,
            "first_sequence": first_sequence,
            "last_sequence": last_sequence,
            "timestamp": timestamp,
            "bids": [{"price": price / SCALE, "quantity": quantity} for price, quantity in bids],
            "asks": [{"price": price / SCALE, "quantity": quantity} for price, quantity in asks],
            "checksum": checksum,
        }
    )


def error_frame(code: str, detail: str) -> Frame:
    return encode({"type": "error", "code": code, "detail": detail})


PONG = encode({"type": "pong"})


def public_trades(batch: CommittedBatch) -> list[PublicTrade]:
    return [
        PublicTrade(
            trade.trade_id,
            trade.sequence,
            trade.price / SCALE,
            trade.quantity,
            batch.committed_at,
            dashed(trade.bid_order_id),
            dashed(trade.ask_order_id),
        )
        for trade in batch.trades
    ]


def dashed(order_id: str | None) -> str | None:
    """The usual spelling of a UUID given as 32 hex digits."""
    if order_id is None:
        return None
    return f"{order_id[:8]}-{order_id[8:12]}-{order_id[12:16]}-{order_id[16:20]}-{order_id[20:]}"
