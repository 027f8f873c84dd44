"""What the streams read: where each stock stands, and what happened after a sequence.

All ranges of sequences are `(since, until]`. The events of a stock become visible in the order of their
sequences, because they are written under its row lock: what is read up to `until` is complete.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import datetime
from operator import itemgetter
from typing import Any

from django.db.models import Max, Q

from market_feed.streams.books import Book
from market_feed.streams.frames import PublicTrade
from market_feed.streams.ticks import PublicTick
from stocks.models import Stock, Tick
from trade.apis.rendering import render_order
from trade.models import Order, Trade
from trade.selectors.book import order_book
from trade.selectors.candles import CandleRow, candle_page
from trade.selectors.trades import trades_since
from users.fields import to_units
from users.inputs import json_number
from users.models import CashAccount

# Candles of one query.
MAX_CANDLES = 1_000

# A message for one user: (user id, sequence, message).
PrivateEvent = tuple[int, int, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class StockPosition:
    """How far a stock has come. `last_price` is in units."""

    stock_id: str
    sequence: int
    trade_sequence: int
    tick_sequence: int
    last_price: int | None


@dataclass(frozen=True, slots=True)
class StoredCandles:
    """Candles as they are at `sequence`, or later; `has_more`: there are newer ones."""

    sequence: int
    candles: list[CandleRow]
    has_more: bool


class StoredMarket:
    """The market as the database has it. The streams read nothing else, so tests can put another here."""

    def positions(self) -> list[StockPosition]:
        rows = Stock.objects.order_by().values_list(
            "stock_id", "sequence", "trade_sequence", "tick_sequence", "last_price"
        )
        return [
            StockPosition(stock_id, sequence, trades, ticks, None if price is None else to_units(price))
            for stock_id, sequence, trades, ticks, price in rows
        ]

    def book(self, stock_id: str, depth: int) -> Book:
        book = order_book(stock_id, depth)
        return Book(book.sequence, book.bids, book.asks, depth)

    def trades_between(self, stock_id: str, since: int, until: int | None, limit: int) -> list[PublicTrade]:
        """The oldest `limit` trades of the range, in order."""
        return [_public(trade) for trade in trades_since(stock_id, since, limit, until_sequence=until)]

    def ticks_between(self, stock_id: str, since: int, until: int | None, limit: int) -> list[PublicTick]:
        """The oldest `limit` ticks of the range, in order."""
        ticks = Tick.objects.filter(stock_id=stock_id, sequence__gt=since).order_by("sequence")
        if until is not None:
            ticks = ticks.filter(sequence__lte=until)
        return [
            PublicTick(
                tick.sequence, json_number(tick.price), tick.availability, tick.timestamp, tick.is_late
            )
            for tick in ticks[:limit]
        ]

    def candles(
        self, stock_id: str, interval: str, since: datetime | None, until: datetime | None
    ) -> StoredCandles:
        """The candles from `since` to `until`, as many as are read at once; without `since` the newest one."""
        stock = Stock.objects.only("trade_sequence", "tick_sequence").get(pk=stock_id)
        limit = 1 if since is None else MAX_CANDLES
        page = candle_page(stock_id, interval, from_date=since, to_date=until, limit=limit)
        return StoredCandles(max(stock.trade_sequence, stock.tick_sequence), page.candles, page.has_more)

    def private_events(
        self, stock_id: str, user_ids: Sequence[int], since: int, until: int | None, limit: int
    ) -> tuple[list[PrivateEvent], int]:
        """Orders of these users that changed in the range, and their fills, in order; and how far that goes.

        Without `until` the range ends where the stock stands now. An order comes once, as it is now; one that has
        changed after the range comes with a later one. Every message has the cash its user has now.
        """
        if until is None:
            until = Stock.objects.filter(stock_id=stock_id).aggregate(now=Max("sequence"))["now"] or 0
        in_range = {"stock_id": stock_id, "sequence__gt": since, "sequence__lte": until}
        orders = list(Order.objects.filter(user_id__in=user_ids, **in_range).order_by("sequence")[:limit])
        is_theirs = Q(buyer_id__in=user_ids) | Q(seller_id__in=user_ids)
        trades = list(Trade.objects.filter(is_theirs, **in_range).order_by("sequence")[:limit])
        for rows in (orders, trades):
            # Two rows may share a sequence (both orders of a trade): a cut goes before it.
            if len(rows) >= limit:
                until = min(until, rows[-1].sequence - 1)
        # Fills come before the state they led to.
        events = [event for trade in trades for event in _fill_events(trade, set(user_ids))]
        events += [(order.user_id, order.sequence, _order_message(order)) for order in orders]
        events = [event for event in sorted(events, key=itemgetter(1)) if event[1] <= until]
        _add_cash(events)
        return events, until


def _fill_events(trade: Trade, user_ids: set[int]) -> Iterable[PrivateEvent]:
    sides = (
        (trade.buyer_id, Order.Side.BUY, trade.bid_order_id),
        (trade.seller_id, Order.Side.SELL, trade.ask_order_id),
    )
    for user_id, side, order_id in sides:
        if user_id in user_ids:
            fill = {
                "trade_id": trade.trade_id,
                "order_id": order_id,
                "side": side.value,
                "price": json_number(trade.price),
                "quantity": trade.quantity,
                "source": trade.source,
                "execution_timestamp": trade.executed_at,
            }
            yield user_id, trade.sequence, _message("fill", trade.stock_id, trade.sequence, fill)


def _order_message(order: Order) -> dict[str, Any]:
    return _message("order", order.stock_id, order.sequence, render_order(order))


def _message(kind: str, stock_id: str, sequence: int, content: dict[str, Any]) -> dict[str, Any]:
    # An order has a type of its own, so it cannot share the message's level.
    return {"type": kind, "stock_id": stock_id, "sequence": sequence, kind: content}


def _add_cash(events: Sequence[PrivateEvent]) -> None:
    """Say in each message what cash its user has now."""
    accounts = CashAccount.objects.in_bulk({user_id for user_id, _, _ in events})
    for user_id, _, message in events:
        if (account := accounts.get(user_id)) is not None:
            message["balance"] = json_number(account.balance)
            message["available"] = json_number(account.balance - account.reserved)
            message["unsettled"] = json_number(account.unsettled)


def _public(trade: Trade) -> PublicTrade:
    return PublicTrade(
        trade.trade_id,
        trade.sequence,
        json_number(trade.price),
        trade.quantity,
        trade.executed_at,
        _text(trade.bid_order_id),
        _text(trade.ask_order_id),
    )


def _text(order_id: Any) -> str | None:
    return None if order_id is None else str(order_id)
