"""What the streams read: where each stock stands, and what happened after a sequence.

All ranges of sequences are `(since, until]`. The events of a stock become visible in the order of their
sequences, because they are written under its row lock: what is read up to `until` is complete.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from operator import itemgetter
from typing import Any

from django.db.models import F, Max, Q

from market_feed.streams.books import Book
from market_feed.streams.frames import PublicTrade
from stocks.models import Stock
from trade.apis.rendering import render_order
from trade.models import Order, Trade
from trade.selectors.book import order_book
from trade.selectors.trades import trades_since
from users.fields import to_units
from users.inputs import json_number

# A message for one user: (user id, sequence, message).
PrivateEvent = tuple[int, int, dict[str, Any]]


@dataclass(frozen=True, slots=True)
class StockPosition:
    """How far a stock has come. `last_price` is in units."""

    stock_id: str
    sequence: int
    trade_sequence: int
    last_price: int | None


class StoredMarket:
    """The market as the database has it. The streams read nothing else, so tests can put another here."""

    def positions(self) -> list[StockPosition]:
        rows = Stock.objects.order_by().values_list("stock_id", "sequence", "trade_sequence", "last_price")
        return [
            StockPosition(stock_id, sequence, trade_sequence, None if price is None else to_units(price))
            for stock_id, sequence, trade_sequence, price in rows
        ]

    def book(self, stock_id: str, depth: int) -> Book:
        book = order_book(stock_id, depth)
        return Book(book.sequence, book.bids, book.asks, depth)

    def trades_between(self, stock_id: str, since: int, until: int | None, limit: int) -> list[PublicTrade]:
        """The oldest `limit` trades of the range, in order."""
        return [_public(trade) for trade in trades_since(stock_id, since, limit, until_sequence=until)]

    def private_events(
        self, stock_id: str, user_ids: Sequence[int], since: int, until: int | None, limit: int
    ) -> tuple[list[PrivateEvent], int]:
        """Orders of these users that changed in the range, and their fills, in order; and how far that goes.

        Without `until` the range ends where the stock stands now. An order comes once, as it is now, and with
        the cash its user has now; one that has changed after the range comes with a later one.
        """
        if until is None:
            until = Stock.objects.filter(stock_id=stock_id).aggregate(now=Max("sequence"))["now"] or 0
        parts = [part(stock_id, user_ids, since, until)[:limit] for part in (_changed_orders, _fills)]
        rows = [list(part) for part in parts]
        for part in rows:
            # Two rows may share a sequence (both orders of a trade): a cut goes before it.
            if len(part) >= limit:
                until = min(until, part[-1].sequence - 1)
        orders, fills = rows
        events = [event for trade in fills for event in _fill_events(trade, set(user_ids))]
        events += [(order.user_id, order.sequence, _order_message(order)) for order in orders]
        # The sort is stable: fills come before the state they led to.
        return [event for event in sorted(events, key=itemgetter(1)) if event[1] <= until], until


def _changed_orders(stock_id: str, user_ids: Sequence[int], since: int, until: int) -> Any:
    # One statement, so that an order and the cash are of one moment.
    return (
        Order.objects.filter(stock_id=stock_id, user_id__in=user_ids, sequence__gt=since, sequence__lte=until)
        .annotate(balance=F("user__account__balance"), cash_reserved=F("user__account__reserved"))
        .order_by("sequence")
    )


def _fills(stock_id: str, user_ids: Sequence[int], since: int, until: int) -> Any:
    return Trade.objects.filter(
        Q(buyer_id__in=user_ids) | Q(seller_id__in=user_ids),
        stock_id=stock_id,
        sequence__gt=since,
        sequence__lte=until,
    ).order_by("sequence")


def _order_message(order: Any) -> dict[str, Any]:
    return {
        "type": "order",
        **render_order(order),
        "balance": json_number(order.balance),
        "available": json_number(order.balance - order.cash_reserved),
    }


def _fill_events(trade: Trade, user_ids: set[int]) -> Iterable[PrivateEvent]:
    sides = (
        (trade.buyer_id, Order.Side.BUY, trade.bid_order_id),
        (trade.seller_id, Order.Side.SELL, trade.ask_order_id),
    )
    for user_id, side, order_id in sides:
        if user_id in user_ids:
            message = {
                "type": "fill",
                "trade_id": trade.trade_id,
                "stock_id": trade.stock_id,
                "sequence": trade.sequence,
                "order_id": order_id,
                "side": side.value,
                "price": json_number(trade.price),
                "quantity": trade.quantity,
                "source": trade.source,
                "execution_timestamp": trade.executed_at,
            }
            yield user_id, trade.sequence, message


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
