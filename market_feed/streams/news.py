"""The news of the market as it travels between processes: batches, encoded, over the channel layer.

A batch with very many trades travels without them. Whoever hears of it knows by its sequences that
they exist, and reads them.
"""

import os
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import uuid4

import orjson
from channels.layers import InMemoryChannelLayer, get_channel_layer

from trade.signals import BookLevel, BookSnapshot, ChangedOrder, CommittedBatch, CommittedTrade

GROUP = "market"
MAX_TRADES = 500

_TOKEN = uuid4().hex


def this_process() -> str:
    """A name that no other process has, a forked one neither."""
    return f"{_TOKEN}:{os.getpid()}"


def crosses_processes() -> bool:
    """Whether the channel layer reaches other processes at all."""
    layer = get_channel_layer()
    return layer is not None and not isinstance(layer, InMemoryChannelLayer)


def message_of(batches: Iterable[CommittedBatch]) -> dict[str, Any]:
    return {"type": "market.news", "from": this_process(), "batches": encode_batches(batches)}


def encode_batches(batches: Iterable[CommittedBatch]) -> bytes:
    return orjson.dumps(
        [batch if len(batch.trades) <= MAX_TRADES else replace(batch, trades=()) for batch in batches]
    )


def decode_batches(body: bytes) -> list[CommittedBatch]:
    """Raises ValueError, KeyError or TypeError when `body` is not what `encode_batches` makes."""
    return [_decode(fields) for fields in orjson.loads(body)]


def _decode(fields: dict[str, Any]) -> CommittedBatch:
    book = fields["book"]
    return CommittedBatch(
        **{
            **fields,
            "trades": tuple(CommittedTrade(**trade) for trade in fields["trades"]),
            "orders": tuple(ChangedOrder(**order) for order in fields["orders"]),
            "book": BookSnapshot(bids=_levels(book["bids"]), asks=_levels(book["asks"])),
            "committed_at": datetime.fromisoformat(fields["committed_at"]),
        }
    )


def _levels(levels: list[dict[str, int]]) -> tuple[BookLevel, ...]:
    return tuple(BookLevel(**level) for level in levels)
