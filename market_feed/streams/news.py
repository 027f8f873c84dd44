"""The news of the market as it travels between processes: batches, encoded, over the channel layer.

A batch with very many trades or ticks travels without them. Whoever hears of it knows by its sequences
that they exist, and reads them.
"""

import os
from collections.abc import Iterable
from dataclasses import replace
from datetime import datetime
from typing import Any
from uuid import uuid4

import orjson
from channels.layers import InMemoryChannelLayer, get_channel_layer

from stocks.services.ticks import StoredTick
from trade.signals import BookLevel, BookSnapshot, ChangedOrder, CommittedBatch, CommittedTrade

GROUP = "market"
MAX_EVENTS = 500

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
    return orjson.dumps([_light(batch) for batch in batches])


def decode_batches(body: bytes) -> list[CommittedBatch]:
    """Raises ValueError, KeyError or TypeError when `body` is not what `encode_batches` makes."""
    return [_decode(fields) for fields in orjson.loads(body)]


def _light(batch: CommittedBatch) -> CommittedBatch:
    if len(batch.trades) > MAX_EVENTS:
        batch = replace(batch, trades=())
    return replace(batch, ticks=()) if len(batch.ticks) > MAX_EVENTS else batch


def _decode(fields: dict[str, Any]) -> CommittedBatch:
    book = fields["book"]
    return CommittedBatch(
        **{
            **fields,
            "trades": tuple(CommittedTrade(**trade) for trade in fields["trades"]),
            "ticks": tuple(_tick(tick) for tick in fields["ticks"]),
            "orders": tuple(ChangedOrder(**order) for order in fields["orders"]),
            "book": BookSnapshot(bids=_levels(book["bids"]), asks=_levels(book["asks"])),
            "committed_at": datetime.fromisoformat(fields["committed_at"]),
        }
    )


def _tick(fields: dict[str, Any]) -> StoredTick:
    return StoredTick(**{**fields, "timestamp": datetime.fromisoformat(fields["timestamp"])})


def _levels(levels: list[dict[str, int]]) -> tuple[BookLevel, ...]:
    return tuple(BookLevel(**level) for level in levels)
