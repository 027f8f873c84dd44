"""Orders, trades and events in the admin: looked at, filtered, searched, and changed through the engine only.

Tables are listed newest first along their primary keys (order ids are made in the order of time), and a
search finds by what has an index, so a table may have any number of rows.
"""

from collections.abc import Callable, Iterable
from typing import Any
from uuid import UUID

from django.contrib import admin, messages
from django.db.models import Model, Q, QuerySet
from django.http import HttpRequest
from django.utils import timezone

from stocks.admin import StockAdmin
from stocks.models import Stock
from trade.engine import get_engine
from trade.models import Order, OrderEvent, Trade
from trade.services.deferred import settle_trade
from users.admin import BooksAdmin
from users.exceptions import Refusal
from users.models import User


class OpenFilter(admin.SimpleListFilter):
    """Whether an order can still trade."""

    title = "open"
    parameter_name = "open"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("yes", "Yes"), ("no", "No")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Order]) -> QuerySet[Order]:
        if self.value() == "yes":
            return queryset.filter(remaining_quantity__gt=0)
        if self.value() == "no":
            return queryset.filter(remaining_quantity=0)
        return queryset


class SettledFilter(admin.SimpleListFilter):
    """Whether what a trade brought is free."""

    title = "settled"
    parameter_name = "settled"

    def lookups(self, request: HttpRequest, model_admin: Any) -> list[tuple[str, str]]:
        return [("no", "No")]

    def queryset(self, request: HttpRequest, queryset: QuerySet[Trade]) -> QuerySet[Trade]:
        return queryset.filter(settled_at=None) if self.value() == "no" else queryset


class EventInline(admin.TabularInline):
    """What happened to an order, trades excepted."""

    model = OrderEvent
    fk_name = "order"
    fields = ["sequence", "kind", "quantity", "reason", "occurred_at"]
    readonly_fields = ["sequence", "kind", "quantity", "reason", "occurred_at"]
    ordering = ["sequence"]
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class FoundAdmin(BooksAdmin):
    """Searched by one whole word, which `found_by` turns into a condition that an index serves."""

    def found_by(self, term: str) -> Q:
        raise NotImplementedError  # pragma: no cover

    def get_search_results(
        self, request: HttpRequest, queryset: QuerySet[Any], search_term: str
    ) -> tuple[QuerySet[Any], bool]:
        term = search_term.strip()
        return (queryset.filter(self.found_by(term)) if term else queryset), False


@admin.register(Order)
class OrderAdmin(FoundAdmin):
    actions = ["cancel"]
    inlines = [EventInline]
    list_display = [
        "order_id",
        "created_at",
        "user",
        "stock_id",
        "side",
        "type",
        "quantity",
        "limit_price",
        "remaining_quantity",
        "traded_quantity",
        "status",
        "reason",
    ]
    list_filter = [OpenFilter, "status", "side", "type", "stock"]
    list_select_related = ["user"]
    ordering = ["-order_id"]
    search_fields = ["order_id"]
    search_help_text = "An order id, a user name, a stock_id or a client order id"

    def found_by(self, term: str) -> Q:
        if (order_id := _order_id(term)) is not None:
            return Q(pk=order_id)
        if (user_id := _user_id(term)) is not None:
            return Q(user_id=user_id)
        if Stock.objects.filter(pk=term).exists():
            return Q(stock_id=term)
        return Q(client_order_id=term)

    def has_cancel_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("trade.change_order")

    @admin.action(description="Cancel selected orders", permissions=["cancel"])
    def cancel(self, request: HttpRequest, orders: QuerySet[Order]) -> None:
        engine = get_engine()
        order_ids = list(orders.values_list("order_id", flat=True))
        count = _each(self, request, order_ids, engine.cancel_order)
        self.message_user(request, f"{count} of {len(order_ids)} cancelled.")


@admin.register(Trade)
class TradeAdmin(FoundAdmin):
    actions = ["settle"]
    list_display = [
        "trade_id",
        "executed_at",
        "stock_id",
        "sequence",
        "price",
        "quantity",
        "buyer",
        "seller",
        "source",
        "settled_at",
    ]
    list_filter = [SettledFilter, "source", "stock"]
    list_select_related = ["buyer", "seller"]
    ordering = ["-trade_id"]
    search_fields = ["trade_id"]
    search_help_text = "An order id, a user name or a stock_id"

    def found_by(self, term: str) -> Q:
        if (order_id := _order_id(term)) is not None:
            return Q(bid_order_id=order_id) | Q(ask_order_id=order_id)
        if (user_id := _user_id(term)) is not None:
            return Q(buyer_id=user_id) | Q(seller_id=user_id)
        return Q(stock_id=term)

    def has_settle_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("trade.change_trade")

    @admin.action(description="Settle selected trades", permissions=["settle"])
    def settle(self, request: HttpRequest, trades: QuerySet[Trade]) -> None:
        trade_ids = sorted(trades.values_list("trade_id", flat=True))
        count = _each(self, request, trade_ids, _settle)
        self.message_user(request, f"{count} of {len(trade_ids)} settled.")


@admin.register(OrderEvent)
class OrderEventAdmin(FoundAdmin):
    list_display = ["stock_id", "sequence", "kind", "order_id", "quantity", "reason", "occurred_at"]
    list_filter = ["kind", "stock"]
    ordering = ["-id"]
    search_fields = ["order_id"]
    search_help_text = "An order id or a stock_id"

    def found_by(self, term: str) -> Q:
        if (order_id := _order_id(term)) is not None:
            return Q(order_id=order_id)
        return Q(stock_id=term)


class MarketStockAdmin(StockAdmin):
    """A stock, with its market halted and opened."""

    actions = ["halt", "resume"]

    @admin.action(description="Halt trading: take cancels only", permissions=["change"])
    def halt(self, request: HttpRequest, stocks: QuerySet[Stock]) -> None:
        stock_ids = list(stocks.values_list("stock_id", flat=True))
        count = _each(self, request, stock_ids, get_engine().halt)
        self.message_user(request, f"{count} halted.")

    @admin.action(description="Resume trading", permissions=["change"])
    def resume(self, request: HttpRequest, stocks: QuerySet[Stock]) -> None:
        stock_ids = list(stocks.values_list("stock_id", flat=True))
        count = _each(self, request, stock_ids, get_engine().resume)
        self.message_user(request, f"{count} resumed.")


# The stocks' own room knows nothing of markets.
admin.site.unregister(Stock)
admin.site.register(Stock, MarketStockAdmin)


def _settle(trade_id: int) -> Trade:
    return settle_trade(trade_id=trade_id, now=timezone.now())


def _each(
    model_admin: admin.ModelAdmin, request: HttpRequest, ids: Iterable[Any], act: Callable[[Any], Any]
) -> int:
    """Act on each, on its own; how many it changed. What was refused is said."""
    count = 0
    for one in ids:
        try:
            count += bool(act(one))
        except Refusal as refusal:
            model_admin.message_user(request, f"{one}: {refusal.detail}", messages.ERROR)
    return count


def _order_id(term: str) -> UUID | None:
    try:
        return UUID(term)
    except ValueError:
        return None


def _user_id(term: str) -> int | None:
    return User.objects.filter(username__iexact=term).values_list("pk", flat=True).first()
