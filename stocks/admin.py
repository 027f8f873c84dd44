"""Stocks, their history and who owns them. What changes them goes through the services."""

from decimal import Decimal
from typing import Any

from django import forms
from django.contrib import admin
from django.contrib.admin.options import InlineModelAdmin
from django.db.models import Model
from django.http import HttpRequest
from django.utils import timezone

from stocks.models import MAX_COLLAR_BPS, MAX_FEE_BPS, Candle, Holding, ShareGrant, Stock, Tick
from stocks.services import grant_shares, list_stock, update_stock
from users.admin import BooksAdmin, RefusalsAsMessages, TraderAdmin
from users.fields import DECIMAL_PLACES, MAX_MONEY, MAX_PRICE, MAX_QUANTITY, from_units
from users.models import User

CHANGEABLE = [
    *("name", "price_increment", "lot_size", "min_quantity", "max_quantity", "min_notional", "max_notional"),
    *("price_collar_bps", "maker_fee_bps", "taker_fee_bps"),
]


def _quantity(**words: Any) -> forms.IntegerField:
    return forms.IntegerField(min_value=1, max_value=MAX_QUANTITY, **words)


def _amount(limit: Decimal, **words: Any) -> forms.DecimalField:
    return forms.DecimalField(
        min_value=from_units(1), max_value=limit, decimal_places=DECIMAL_PLACES, **words
    )


def _fee() -> forms.IntegerField:
    return forms.IntegerField(min_value=0, max_value=MAX_FEE_BPS, initial=0, help_text="Basis points")


class StockForm(forms.ModelForm):
    """The limits of the REST side. An empty bound is none."""

    price_increment = _amount(Decimal(MAX_PRICE), initial=Decimal("0.01"))
    lot_size = _quantity(initial=1)
    min_quantity = _quantity(required=False)
    max_quantity = _quantity(required=False)
    min_notional = _amount(MAX_MONEY, required=False)
    max_notional = _amount(MAX_MONEY, required=False)
    price_collar_bps = forms.IntegerField(
        min_value=1,
        max_value=MAX_COLLAR_BPS,
        required=False,
        help_text="How far from the last price an order may be, in basis points",
    )
    maker_fee_bps = _fee()
    taker_fee_bps = _fee()


@admin.register(Stock)
class StockAdmin(RefusalsAsMessages, admin.ModelAdmin):
    """Stocks. Trading adds the actions that halt and resume."""

    form = StockForm
    list_display = [
        "stock_id",
        "name",
        "status",
        "last_price",
        "quote_price",
        "quote_availability",
        "tick_count",
    ]
    list_filter = ["status"]
    list_per_page = 50
    search_fields = ["stock_id", "name"]
    ordering = ["stock_id"]

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> list[Any]:
        if obj is None:
            return ["stock_id", *CHANGEABLE]
        return [field.name for field in Stock._meta.concrete_fields]

    def get_readonly_fields(self, request: HttpRequest, obj: Model | None = None) -> list[str]:
        # Trading writes the rest of the row all the time: a form that was open meanwhile must not undo it.
        return [name for name in self.get_fields(request, obj) if name not in CHANGEABLE] if obj else []

    def has_delete_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def save_model(self, request: HttpRequest, obj: Stock, form: Any, change: bool) -> None:
        given = {name: form.cleaned_data[name] for name in CHANGEABLE}
        if change:
            update_stock(stock_id=obj.pk, **given)
        else:
            list_stock(stock_id=obj.pk, **given)


@admin.register(ShareGrant)
class ShareGrantAdmin(RefusalsAsMessages, BooksAdmin):
    """To grant shares, add a grant; a negative quantity takes shares back."""

    list_display = ["id", "user", "stock_id", "quantity", "granted_by", "created_at"]
    list_select_related = ["user", "granted_by"]
    search_fields = ["user__username__exact", "stock_id__exact"]
    autocomplete_fields = ["user", "stock"]
    ordering = ["-id"]

    def get_fields(self, request: HttpRequest, obj: Model | None = None) -> list[Any]:
        return ["user", "stock", "quantity", *(["granted_by", "created_at"] if obj else [])]

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return admin.ModelAdmin.has_add_permission(self, request)

    def save_model(self, request: HttpRequest, obj: ShareGrant, form: Any, change: bool) -> None:
        grant = grant_shares(
            user_id=obj.user_id,
            stock_id=obj.stock_id,
            quantity=obj.quantity,
            granted_by_id=request.user.pk,
            now=timezone.now(),
        )
        obj.pk = grant.pk


@admin.register(Holding)
class HoldingAdmin(BooksAdmin):
    list_display = ["user", "stock_id", "quantity", "reserved", "unsettled", "cost"]
    list_select_related = ["user"]
    search_fields = ["user__username__exact", "stock_id__exact"]
    ordering = ["-id"]


@admin.register(Tick)
class TickAdmin(BooksAdmin):
    list_display = ["stock_id", "sequence", "price", "availability", "timestamp", "is_late"]
    search_fields = ["stock_id__exact"]
    search_help_text = "A stock_id"
    ordering = ["-id"]


@admin.register(Candle)
class CandleAdmin(BooksAdmin):
    list_display = ["stock_id", "interval", "start", "open", "high", "low", "close", "ticks"]
    list_filter = ["interval"]
    search_fields = ["stock_id__exact"]
    search_help_text = "A stock_id"
    ordering = ["-id"]


class HoldingInline(admin.TabularInline):
    model = Holding
    fields = readonly_fields = ("stock_id", "quantity", "reserved", "unsettled", "cost")
    ordering = ["stock_id"]
    extra = 0
    can_delete = False

    def has_add_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Model | None = None) -> bool:
        return False


class OwnerAdmin(TraderAdmin):
    """A user with what it owns."""

    def get_inlines(self, request: HttpRequest, obj: Model | None) -> list[type[InlineModelAdmin]]:
        return [HoldingInline] if obj else []


# The users' own room knows nothing of shares.
admin.site.unregister(User)
admin.site.register(User, OwnerAdmin)
