"""Rows to JSON, by plain functions: order entry answers thousands of times a second.

The fields are those of API.md, always all of them. Public trades name orders, never users.
"""

from datetime import datetime
from decimal import Decimal
from typing import Any

from stocks.selectors import mean
from trade.models import Order, Trade
from trade.money import hold_of
from trade.selectors.book import OrderBook
from trade.selectors.fills import Fill
from trade.signals import BookLevel
from users.fields import SCALE, to_units
from users.inputs import json_number, json_time, json_units

FILL_TYPES = {Order.Side.BUY.value: "Buy", Order.Side.SELL.value: "Sell"}


def render_order(order: Order) -> dict[str, Any]:
    return {
        "order_id": str(order.order_id),
        "client_order_id": order.client_order_id,
        "user_id": order.user_id,
        "stock_id": order.stock_id,
        "side": order.side,
        "type": order.type,
        "time_in_force": order.time_in_force,
        "quantity": order.quantity,
        "price": _optional_number(order.price),
        "lower_bound": _optional_number(order.lower_bound),
        "upper_bound": _optional_number(order.upper_bound),
        "stop_price": _optional_number(order.stop_price),
        "display_quantity": order.display_quantity,
        "post_only": order.post_only,
        "self_trade_prevention": order.self_trade_prevention,
        "expires_at": order.expires_at and json_time(order.expires_at),
        "remaining_quantity": order.remaining_quantity,
        "traded_quantity": order.traded_quantity,
        "average_traded_price": _optional_number(mean(order.traded_value, order.traded_quantity)),
        "reserved": _reserved(order),
        "status": str(order.status),
        "reason": order.reason,
        "is_active": order.remaining_quantity > 0,
        "sequence": order.sequence,
        "created_at": json_time(order.created_at),
        "updated_at": json_time(order.updated_at),
    }


def render_trade(trade: Trade) -> dict[str, Any]:
    return {
        "trade_id": trade.trade_id,
        "stock_id": trade.stock_id,
        "sequence": trade.sequence,
        "price": json_number(trade.price),
        "quantity": trade.quantity,
        "bid_order_id": _optional_text(trade.bid_order_id),
        "ask_order_id": _optional_text(trade.ask_order_id),
        "source": trade.source,
        "execution_timestamp": json_time(trade.executed_at),
        "is_settled": trade.settled_at is not None,
        "settlement_timestamp": trade.settled_at and json_time(trade.settled_at),
    }


def render_book(book: OrderBook, now: datetime) -> dict[str, Any]:
    quote = book.quote
    return {
        "stock_id": book.stock_id,
        "sequence": book.sequence,
        "timestamp": json_time(now),
        "bids": [_render_level(level) for level in book.bids],
        "asks": [_render_level(level) for level in book.asks],
        "quote": quote
        and {
            "price": json_units(quote.price),
            "availability": quote.availability,
            "bid_quantity": quote.bid_quantity,
            "ask_quantity": quote.ask_quantity,
        },
    }


def render_user_fill(fill: Fill) -> dict[str, Any]:
    """A fill in its user's history."""
    return {
        "trade_id": fill.trade_id,
        "order_id": str(fill.order_id),
        **render_recent_fill(fill),
    }


def render_recent_fill(fill: Fill) -> dict[str, Any]:
    """A fill on its user's own page."""
    return {
        "stock": fill.stock_id,
        "type": FILL_TYPES[fill.side],
        "stock_price": json_number(fill.price),
        "total_price": json_number(fill.price * fill.quantity),
        "total_count": fill.quantity,
        "timestamp": json_time(fill.executed_at),
    }


def render_stock_fill(fill: Fill, *, viewer_id: int | None, sees_all: bool) -> dict[str, Any]:
    """A fill on the stock's page. Whose it was is told to that user and to staff."""
    return {
        "user": fill.user_id if sees_all or fill.user_id == viewer_id else None,
        "type": FILL_TYPES[fill.side],
        "stock_price": json_number(fill.price),
        "total_price": json_number(fill.price * fill.quantity),
        "total_count": fill.quantity,
    }


def _render_level(level: BookLevel) -> dict[str, Any]:
    return {"price": level.price / SCALE, "quantity": level.quantity, "orders": level.orders}


def render_hold(side: str, hold: int) -> float | int:
    """Cash (of `hold` units) for a buy, shares for a sell."""
    return json_units(hold) if side == Order.Side.BUY else hold


def _reserved(order: Order) -> float | int:
    """The cash that an open buy holds, with its fee, or the shares that an open sell holds."""
    fee_bps = max(order.maker_fee_bps, order.taker_fee_bps)
    hold = hold_of(order.side, order.remaining_quantity, to_units(order.limit_price), fee_bps)
    return render_hold(order.side, hold)


def _optional_number(value: Decimal | None) -> float | None:
    return None if value is None else json_number(value)


def _optional_text(value: object) -> str | None:
    return None if value is None else str(value)
