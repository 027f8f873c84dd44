"""What the publisher says, made from stored rows. Field by field:

market/trades/<stock_id>   `type` "trade", `stock_id`, `trade_id`, `sequence`, `price`, `quantity`,
                           `execution_timestamp`, `bid_order_id`, `ask_order_id` (null: the outside market)
market/trade-events        the same for all stocks on one topic, and `source` "book" or "feed", `taker_side`,
                           `buyer_id`, `seller_id`, `tick_sequence`, `is_settled`, `settlement_timestamp`
market/order-events        `type` entered, traded, cancelled, expired, rejected, halted, resumed; `stock_id`,
                           `sequence`, `timestamp`, `quantity`, `reason`, `trade_id` and `price` (of a trade),
                           `orders`: whose they are, each `order_id`, `client_order_id`, `user_id`, `side`,
                           and for a trade `is_filled`
market/book/<stock_id>     as the WebSocket's: `type` "orderbook", `stock_id`, `sequence`, `timestamp`, `bids`
                           and `asks`, each `price` and `quantity`; retained

The two event topics name users and are for the operator's own back office: keep others from reading
them in the broker's access list. On every topic a stock and a sequence name one message, so a
reader drops a repeat by these two. A trade between two users is one message with both orders in it.
"""

from collections.abc import Iterable, Sequence
from datetime import datetime
from typing import Any

import orjson

from market_feed.link import Message
from trade.models import Order, OrderEvent, Trade
from trade.selectors.book import OrderBook
from trade.signals import BookLevel
from users.inputs import json_number, json_units

TRADES_TOPIC = "market/trades/{}"
BOOK_TOPIC = "market/book/{}"
TRADE_EVENTS_TOPIC = "market/trade-events"
ORDER_EVENTS_TOPIC = "market/order-events"


def message(topic: str, body: dict[str, Any], *, retain: bool = False) -> Message:
    return Message(topic, orjson.dumps(body, option=orjson.OPT_UTC_Z), retain)


def trade_messages(trade: Trade) -> Iterable[Message]:
    """A trade for everybody, and for the back office."""
    public = {
        "type": "trade",
        "stock_id": trade.stock_id,
        "trade_id": trade.trade_id,
        "sequence": trade.sequence,
        "price": json_number(trade.price),
        "quantity": trade.quantity,
        "execution_timestamp": trade.executed_at,
        "bid_order_id": trade.bid_order_id,
        "ask_order_id": trade.ask_order_id,
    }
    yield message(TRADES_TOPIC.format(trade.stock_id), public)
    private = {
        "source": trade.source,
        "taker_side": trade.taker_side,
        "buyer_id": trade.buyer_id,
        "seller_id": trade.seller_id,
        "tick_sequence": trade.tick_sequence,
        "is_settled": trade.settled_at is not None,
        "settlement_timestamp": trade.settled_at,
    }
    yield message(TRADE_EVENTS_TOPIC, public | private)


def order_event_message(event: OrderEvent) -> Message:
    """Something other than a trade that happened to an order, or to a market."""
    body = _event_body(event.kind, event.stock_id, event.sequence, event.occurred_at)
    body |= {"quantity": event.quantity, "reason": event.reason}
    body["orders"] = [_order(event.order)] if event.order is not None else []
    return message(ORDER_EVENTS_TOPIC, body)


def fill_message(trade: Trade) -> Message:
    """What a trade was to the orders in it."""
    body = _event_body("traded", trade.stock_id, trade.sequence, trade.executed_at)
    body |= {"quantity": trade.quantity, "trade_id": trade.trade_id, "price": json_number(trade.price)}
    orders = [order for order in (trade.bid_order, trade.ask_order) if order is not None]
    body["orders"] = [_order(order) | {"is_filled": _was_last(order, trade)} for order in orders]
    return message(ORDER_EVENTS_TOPIC, body)


def book_message(book: OrderBook, now: datetime) -> Message:
    body = {
        "type": "orderbook",
        "stock_id": book.stock_id,
        "sequence": book.sequence,
        "timestamp": now,
        "bids": _levels(book.bids),
        "asks": _levels(book.asks),
    }
    return message(BOOK_TOPIC.format(book.stock_id), body, retain=True)


def _event_body(kind: str, stock_id: str, sequence: int, timestamp: datetime) -> dict[str, Any]:
    return {
        "type": kind,
        "stock_id": stock_id,
        "sequence": sequence,
        "timestamp": timestamp,
        "quantity": None,
        "reason": "",
        "trade_id": None,
        "price": None,
    }


def _order(order: Order) -> dict[str, Any]:
    return {
        "order_id": order.order_id,
        "client_order_id": order.client_order_id,
        "user_id": order.user_id,
        "side": order.side,
    }


def _was_last(order: Order, trade: Trade) -> bool:
    # A row's `sequence` is that of the last event that changed the order; nothing comes after its end.
    return order.status == Order.Status.FILLED and order.sequence == trade.sequence


def _levels(levels: Sequence[BookLevel]) -> list[dict[str, Any]]:
    return [{"price": json_units(level.price), "quantity": level.quantity} for level in levels]
