"""What the publisher says, made from stored rows. Field by field:

market/trades/<stock_id>   `type` "trade", `stock_id`, `trade_id`, `sequence`, `price`, `quantity`,
                           `execution_timestamp`, `bid_order_id`, `ask_order_id` (null: the outside market)
market/trade-events        the same for all stocks on one topic, and `source` "book" or "feed", `taker_side`,
                           `buyer_id`, `seller_id`, `buyer_fee`, `seller_fee`, `tick_sequence`, `is_settled`,
                           `settlement_timestamp`
market/order-events        `type` entered, triggered, replaced, traded, prevented, reduced, cancelled, expired,
                           rejected, halted, resumed; `stock_id`, `sequence`, `timestamp`, `quantity` (entered,
                           triggered, replaced: its total; else the shares it speaks of), `reason`, `trade_id`,
                           `price` (of a trade, or the worst one at which the order now trades), `replaces`
                           (replaced: the sequence of the event that gave it its former terms),
                           `other_order_id` (prevented: the user's own order that it met), `orders`: whose they
                           are, each `order_id`, `client_order_id`, `user_id`, `side`, and for a trade `is_filled`
market/book/<stock_id>     as the WebSocket's: `type` "orderbook", `stock_id`, `sequence`, `timestamp`, `bids`
                           and `asks`, each `price` and `quantity`; retained
market/prices, market/candles   see `latest`

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

# Rows instead of models: a busy market has thousands of trades a second, and this is all that is said of them.
_TRADE_COLUMNS = (
    *("trade_id", "sequence", "price", "quantity", "bid_order_id", "ask_order_id", "buyer_id", "seller_id"),
    *("taker_side", "source", "tick_sequence", "executed_at", "settled_at", "buyer_fee", "seller_fee"),
    *("bid_order__client_order_id", "bid_order__status", "bid_order__sequence"),
    *("ask_order__client_order_id", "ask_order__status", "ask_order__sequence"),
)
_EVENT_COLUMNS = (
    *("sequence", "kind", "quantity", "price", "reason", "occurred_at", "replaces", "other_order_id"),
    *("order_id", "order__client_order_id", "order__user_id", "order__side"),
)

Said = tuple[int, list[Message]]


def trades_after(stock_id: str, sequence: int, limit: int) -> list[Said]:
    """What there is to say of each of the stock's next trades, by its sequence."""
    trades = Trade.objects.filter(stock_id=stock_id, sequence__gt=sequence).order_by("sequence")
    rows = trades.values_list(*_TRADE_COLUMNS, named=True)[:limit]
    return [(row.sequence, [*_trade_messages(stock_id, row)]) for row in rows]


def order_events_after(stock_id: str, sequence: int, limit: int) -> list[Said]:
    """The same of each event other than a trade."""
    events = OrderEvent.objects.filter(stock_id=stock_id, sequence__gt=sequence).order_by("sequence")
    rows = events.values_list(*_EVENT_COLUMNS, named=True)[:limit]
    return [(row.sequence, [_order_event_message(stock_id, row)]) for row in rows]


def book_message(book: OrderBook, now: datetime) -> Message:
    body = {
        "type": "orderbook",
        "stock_id": book.stock_id,
        "sequence": book.sequence,
        "timestamp": now,
        "bids": _levels(book.bids),
        "asks": _levels(book.asks),
    }
    return _message(BOOK_TOPIC.format(book.stock_id), body, retain=True)


def _trade_messages(stock_id: str, trade: Any) -> Iterable[Message]:
    """A trade for everybody, for the back office, and as what it was to its orders."""
    price = json_number(trade.price)
    public = {
        "type": "trade",
        "stock_id": stock_id,
        "trade_id": trade.trade_id,
        "sequence": trade.sequence,
        "price": price,
        "quantity": trade.quantity,
        "execution_timestamp": trade.executed_at,
        "bid_order_id": trade.bid_order_id,
        "ask_order_id": trade.ask_order_id,
    }
    yield _message(TRADES_TOPIC.format(stock_id), public)
    private = {
        "source": trade.source,
        "taker_side": trade.taker_side,
        "buyer_id": trade.buyer_id,
        "seller_id": trade.seller_id,
        "buyer_fee": json_number(trade.buyer_fee),
        "seller_fee": json_number(trade.seller_fee),
        "tick_sequence": trade.tick_sequence,
        "is_settled": trade.settled_at is not None,
        "settlement_timestamp": trade.settled_at,
    }
    yield _message(TRADE_EVENTS_TOPIC, public | private)
    fill = _event_body("traded", stock_id, trade.sequence, trade.executed_at)
    fill |= {"quantity": trade.quantity, "trade_id": trade.trade_id, "price": price, "orders": _filled(trade)}
    yield _message(ORDER_EVENTS_TOPIC, fill)


def _filled(trade: Any) -> list[dict[str, Any]]:
    orders = []
    for side, order_id, client_order_id, user_id, status, sequence in (
        (
            Order.Side.BUY.value,
            trade.bid_order_id,
            trade.bid_order__client_order_id,
            trade.buyer_id,
            trade.bid_order__status,
            trade.bid_order__sequence,
        ),
        (
            Order.Side.SELL.value,
            trade.ask_order_id,
            trade.ask_order__client_order_id,
            trade.seller_id,
            trade.ask_order__status,
            trade.ask_order__sequence,
        ),
    ):
        if order_id is not None:
            # A row's sequence is that of the last event that changed the order; after its end comes none.
            is_filled = status == Order.Status.FILLED and sequence == trade.sequence
            orders.append(_order(order_id, client_order_id, user_id, side) | {"is_filled": is_filled})
    return orders


def _order_event_message(stock_id: str, event: Any) -> Message:
    body = _event_body(event.kind, stock_id, event.sequence, event.occurred_at)
    body |= {
        "quantity": event.quantity,
        "price": None if event.price is None else json_number(event.price),
        "reason": event.reason,
        "replaces": event.replaces,
        "other_order_id": event.other_order_id,
    }
    if event.order_id is not None:
        body["orders"] = [
            _order(event.order_id, event.order__client_order_id, event.order__user_id, event.order__side)
        ]
    return _message(ORDER_EVENTS_TOPIC, body)


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
        "replaces": None,
        "other_order_id": None,
        "orders": [],
    }


def _order(order_id: Any, client_order_id: str | None, user_id: int, side: str) -> dict[str, Any]:
    return {"order_id": order_id, "client_order_id": client_order_id, "user_id": user_id, "side": side}


def _levels(levels: Sequence[BookLevel]) -> list[dict[str, Any]]:
    return [{"price": json_units(level.price), "quantity": level.quantity} for level in levels]


def _message(topic: str, body: dict[str, Any], *, retain: bool = False) -> Message:
    return Message(topic, orjson.dumps(body, option=orjson.OPT_UTC_Z), retain)
