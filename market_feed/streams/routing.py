"""Paths of the WebSocket streams, with and without their trailing slash."""

from typing import Any

from market_feed.streams.consumers import (
    CandlesConsumer,
    OrderBookConsumer,
    OrdersConsumer,
    PricesConsumer,
    TicksConsumer,
    TradesConsumer,
    refuse,
)

STREAMS = {
    "ws/trades": TradesConsumer.serve,
    "ws/ticks": TicksConsumer.serve,
    "ws/candles": CandlesConsumer.serve,
    "ws/orderbook": OrderBookConsumer.serve,
    "ws/prices": PricesConsumer.serve,
    "ws/orders": OrdersConsumer.serve,
}


async def streams(scope: dict[str, Any], receive: Any, send: Any) -> None:
    """The WebSocket application."""
    await STREAMS.get(scope["path"].strip("/"), refuse)(scope, receive, send)
