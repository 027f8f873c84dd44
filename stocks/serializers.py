"""Bodies about stocks and shares, and what they are answered."""

from decimal import Decimal
from typing import Any

from rest_framework import serializers

from stocks.models import MAX_COLLAR_BPS, MAX_FEE_BPS, STOCK_ID_PATTERN, Holding, Stock, Tick
from stocks.selectors import Figures, StockPage, all_time_figures, mean
from users.fields import MAX_QUANTITY
from users.inputs import (
    MoneyField,
    PriceField,
    QuantityField,
    StrictSerializer,
    TextField,
    json_number,
    json_time,
)
from users.models import CashAccount

MAX_NAME_LENGTH = 100


class StockIdField(TextField, serializers.RegexField):
    default_error_messages = {
        "invalid": "Give 1 to 64 letters, digits, dots, dashes or underscores, a letter or digit first."
    }

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(STOCK_ID_PATTERN, max_length=64, trim_whitespace=False, **kwargs)


class FeeField(QuantityField):
    """A fee in basis points of the value traded; 0 is none."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(limit=MAX_FEE_BPS, **kwargs)

    def check_range(self, value: Any) -> None:
        if value != 0:
            super().check_range(value)


class StockRulesInput(StrictSerializer):
    """What staff set of a stock. Null takes a bound away."""

    price_increment = PriceField(required=False)
    lot_size = QuantityField(required=False)
    min_quantity = QuantityField(required=False, allow_null=True, help_text="Shares of the smallest order.")
    max_quantity = QuantityField(required=False, allow_null=True, help_text="Shares of the largest order.")
    min_notional = MoneyField(required=False, allow_null=True, help_text="Least price x quantity.")
    max_notional = MoneyField(required=False, allow_null=True, help_text="Most price x quantity.")
    price_collar_bps = QuantityField(
        limit=MAX_COLLAR_BPS,
        required=False,
        allow_null=True,
        help_text="How far from the last price an order may be, in basis points (hundredths of a percent).",
    )
    maker_fee_bps = FeeField(
        required=False, help_text="Basis points of the value, from the order that waited."
    )
    taker_fee_bps = FeeField(required=False, help_text="Basis points of the value, from the order that came.")


class StockInput(StockRulesInput):
    """POST stocks/"""

    stock_id = StockIdField(required=False, help_text="Made from the name when left out.")
    name = TextField(max_length=MAX_NAME_LENGTH)


class StockChangeInput(StockRulesInput):
    """PATCH stocks/<stock_id>/, without `status`, which is trading's to change."""

    name = TextField(max_length=MAX_NAME_LENGTH, required=False)


class GrantInput(StrictSerializer):
    """POST users/<id>/shares/"""

    stock_id = StockIdField()
    quantity = QuantityField(limit=MAX_QUANTITY, signed=True, help_text="Negative takes shares back.")


class FiguresOut(serializers.Serializer):
    price = serializers.FloatField(allow_null=True)
    availability = serializers.IntegerField(allow_null=True, help_text="As the newest tick said.")
    highest_price = serializers.FloatField(allow_null=True)
    lowest_price = serializers.FloatField(allow_null=True)
    average_price = serializers.FloatField(allow_null=True, help_text="Of all ticks, to four places.")


class StockOut(FiguresOut):
    stock_id = serializers.CharField()
    name = serializers.CharField()
    status = serializers.ChoiceField(Stock.Status.choices)
    price_increment = serializers.FloatField()
    lot_size = serializers.IntegerField()
    min_quantity = serializers.IntegerField(allow_null=True, help_text="Null: no bound of its own.")
    max_quantity = serializers.IntegerField(allow_null=True)
    min_notional = serializers.FloatField(allow_null=True)
    max_notional = serializers.FloatField(allow_null=True)
    price_collar_bps = serializers.IntegerField(
        allow_null=True, help_text="Null: any limit; market orders have the market's own collar."
    )
    maker_fee_bps = serializers.IntegerField()
    taker_fee_bps = serializers.IntegerField()


class RecentTickOut(serializers.Serializer):
    price = serializers.FloatField()
    availability = serializers.IntegerField()
    timestamp = serializers.DateTimeField()


class StockPageOut(StockOut):
    recent_data = RecentTickOut(many=True, help_text="The newest five ticks.")


class TickOut(RecentTickOut):
    sequence = serializers.IntegerField()
    is_late = serializers.BooleanField(help_text="Older than the newest tick when it came: traded nothing.")


class HoldingOut(serializers.Serializer):
    stock_id = serializers.CharField()
    name = serializers.CharField()
    total_count = serializers.IntegerField()
    reserved_count = serializers.IntegerField(help_text="What open sell orders hold.")
    unsettled_count = serializers.IntegerField(
        help_text="Beside the total: bought in trades that have not settled yet."
    )
    average_cost = serializers.FloatField(help_text="Per share; granted shares cost nothing.")


class BalanceOut(serializers.Serializer):
    user_id = serializers.IntegerField()
    balance = serializers.FloatField()
    reserved = serializers.FloatField()
    available = serializers.FloatField()
    unsettled = serializers.FloatField(help_text="Beside the balance: of sales that have not settled yet.")
    holdings = serializers.DictField(child=serializers.IntegerField(), help_text="Shares by stock_id.")
    unsettled_holdings = serializers.DictField(
        child=serializers.IntegerField(), help_text="Shares of trades that have not settled yet, by stock_id."
    )


def render_stock(stock: Stock, figures: Figures | None = None) -> dict[str, Any]:
    """The fields of API.md; `figures` are of all time when not given."""
    figures = figures or all_time_figures(stock)
    return {
        "stock_id": stock.stock_id,
        "name": stock.name,
        "price": _number(figures.price),
        "availability": figures.availability,
        "highest_price": _number(figures.highest_price),
        "lowest_price": _number(figures.lowest_price),
        "average_price": _number(figures.average_price),
        "status": stock.status,
        "price_increment": json_number(stock.price_increment),
        "lot_size": stock.lot_size,
        "min_quantity": stock.min_quantity,
        "max_quantity": stock.max_quantity,
        "min_notional": _number(stock.min_notional),
        "max_notional": _number(stock.max_notional),
        "price_collar_bps": stock.price_collar_bps,
        "maker_fee_bps": stock.maker_fee_bps,
        "taker_fee_bps": stock.taker_fee_bps,
    }


def render_stock_page(page: StockPage) -> dict[str, Any]:
    recent = [render_recent_tick(tick) for tick in page.recent_ticks]
    return {**render_stock(page.stock, page.figures), "recent_data": recent}


def render_recent_tick(tick: Tick) -> dict[str, Any]:
    return {
        "price": json_number(tick.price),
        "availability": tick.availability,
        "timestamp": json_time(tick.timestamp),
    }


def render_tick(tick: Tick) -> dict[str, Any]:
    return {"sequence": tick.sequence, **render_recent_tick(tick), "is_late": tick.is_late}


def render_holding(holding: Holding) -> dict[str, Any]:
    """Needs the holding's stock: `select_related("stock")`."""
    return {
        "stock_id": holding.stock_id,
        "name": holding.stock.name,
        "total_count": holding.quantity,
        "reserved_count": holding.reserved,
        "unsettled_count": holding.unsettled,
        "average_cost": _number(mean(holding.cost, holding.quantity + holding.unsettled)) or 0.0,
    }


def render_balance(account: CashAccount, holdings: list[Holding]) -> dict[str, Any]:
    return {
        "user_id": account.user_id,
        "balance": json_number(account.balance),
        "reserved": json_number(account.reserved),
        "available": json_number(account.balance - account.reserved),
        "unsettled": json_number(account.unsettled),
        "holdings": {holding.stock_id: holding.quantity for holding in holdings if holding.quantity},
        "unsettled_holdings": {
            holding.stock_id: holding.unsettled for holding in holdings if holding.unsettled
        },
    }


def _number(value: Decimal | None) -> float | None:
    return None if value is None else json_number(value)
