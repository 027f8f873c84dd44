"""What the trading endpoints take, field by field, checked before any rule of the market is asked.

Words (`side`, `type`, `time_in_force`) are lower case, exactly as in API.md.
"""

from decimal import Decimal
from typing import Any

from rest_framework import serializers
from rest_framework.exceptions import ErrorDetail, ValidationError

from stocks.serializers import StockIdField
from trade.models import Order
from trade.selectors.book import DEFAULT_DEPTH, MAX_DEPTH
from trade.services.order_rules import NewOrder
from users.fields import to_units
from users.inputs import MAX_ID, MomentField, PriceField, QuantityField, RangeQuery, StrictSerializer

CLIENT_ORDER_ID_LENGTH = 48
MAX_BATCH_ORDERS = 500
MAX_BASKET_ORDERS = 50
PLACED_TYPES = [word for word in Order.Type.values if word != Order.Type.BOUNDED]
PRICED_TYPES = (Order.Type.LIMIT, Order.Type.STOP_LIMIT)


class ClientOrderIdField(serializers.CharField):
    """The caller's own name for an order, taken as it is. The same request under it is placed once."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(max_length=CLIENT_ORDER_ID_LENGTH, trim_whitespace=False, **kwargs)


class StrictBooleanField(serializers.BooleanField):
    """true or false; in a form, also as text."""

    def to_internal_value(self, data: Any) -> bool:
        if data in ("true", "false"):
            return data == "true"
        if not isinstance(data, bool):
            self.fail("invalid", input=data)
        return data


class SequenceField(QuantityField):
    """A sequence of a stock; 0 is before the first."""

    def __init__(self, **kwargs: Any) -> None:
        super().__init__(limit=MAX_ID, **kwargs)

    def check_range(self, value: Any) -> None:
        if value != 0:
            super().check_range(value)


class OrderInput(StrictSerializer):
    """POST /api/orders/"""

    default_error_messages = {"price_not_taken": "Only limit and stop_limit orders take a price."}

    stock_id = StockIdField()
    side = serializers.ChoiceField(Order.Side.choices)
    type = serializers.ChoiceField(PLACED_TYPES)
    quantity = QuantityField()
    price = PriceField(
        required=False, allow_null=True, help_text="Of limit and stop_limit orders; others have none."
    )
    time_in_force = serializers.ChoiceField(Order.TimeInForce.choices, default=Order.TimeInForce.GTC.value)
    expires_at = MomentField(required=False, allow_null=True, help_text="With time_in_force gtd.")
    stop_price = PriceField(required=False, allow_null=True, help_text="With type stop or stop_limit.")
    display_quantity = QuantityField(
        required=False, allow_null=True, help_text="An iceberg: what the book shows of it."
    )
    post_only = StrictBooleanField(default=False, help_text="Rejected when it would trade at once.")
    self_trade_prevention = serializers.ChoiceField(
        Order.SelfTrade.choices, default=Order.SelfTrade.EXPIRE_TAKER.value
    )
    client_order_id = ClientOrderIdField(required=False, allow_null=True)

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        has_price = attrs.get("price") is not None
        if attrs["type"] in PRICED_TYPES and not has_price:
            raise ValidationError({"price": [_detail(self, "required")]})
        if attrs["type"] not in PRICED_TYPES and has_price:
            raise ValidationError({"price": [_detail(self, "price_not_taken")]})
        return attrs


class ChangeInput(StrictSerializer):
    """PUT and PATCH /api/orders/<order_id>/"""

    default_error_messages = {"nothing_to_change": "Give a price, a quantity, or both."}

    price = PriceField(required=False)
    quantity = QuantityField(required=False, help_text="The new total, of which what it traded is part.")

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if not attrs:
            raise ValidationError(_detail(self, "nothing_to_change", code="required"))
        return attrs


class PlaceQuery(StrictSerializer):
    """POST /api/orders/?dry_run=true"""

    dry_run = serializers.BooleanField(default=False, help_text="Only say what would happen.")


class BoundedInput(StrictSerializer):
    """POST /api/users/<user_id>/buy/ and sell/"""

    stock_id = StockIdField()
    total = QuantityField(help_text="How many shares.")
    lower_bound = PriceField(help_text="Trades at this price or above.")
    upper_bound = PriceField(help_text="Trades at this price or below.")
    client_order_id = ClientOrderIdField(required=False, allow_null=True)


class OrderQuery(RangeQuery):
    """GET /api/orders/"""

    stock_id = StockIdField(required=False)
    side = serializers.ChoiceField(Order.Side.choices, required=False)
    status = serializers.ChoiceField(Order.Status.choices, required=False)
    open = serializers.BooleanField(required=False, default=None, allow_null=True)
    client_order_id = ClientOrderIdField(required=False)
    user_id = QuantityField(limit=MAX_ID, required=False, help_text="Staff only: that user's orders.")


class CancelQuery(StrictSerializer):
    """DELETE /api/orders/. Strict: without its filter, a misspelled one would cancel everything."""

    stock_id = StockIdField(required=False)
    side = serializers.ChoiceField(Order.Side.choices, required=False)


class TradeQuery(RangeQuery):
    """GET /api/trades/"""

    default_error_messages = {"stock_required": "Sequences are counted per stock: give its stock_id."}

    stock_id = StockIdField(required=False)
    since_sequence = SequenceField(
        required=False, help_text="With stock_id: the trades after it, oldest first."
    )

    def validate(self, attrs: dict[str, Any]) -> dict[str, Any]:
        if "since_sequence" in attrs and "stock_id" not in attrs:
            raise ValidationError({"stock_id": [_detail(self, "stock_required", code="required")]})
        return super().validate(attrs)


class FillQuery(RangeQuery):
    """GET /api/users/<user_id>/transactions/"""

    stock_id = StockIdField(required=False)


class BookQuery(serializers.Serializer):
    """GET /api/orderbook/"""

    stock_id = StockIdField(required=False, help_text="May be left out while the market has one stock.")
    depth = QuantityField(limit=MAX_DEPTH, default=DEFAULT_DEPTH)


def new_order(user_id: int, data: dict[str, Any]) -> NewOrder:
    """The order that the valid data of `OrderInput` asks for."""
    return NewOrder(
        user_id=user_id,
        stock_id=data["stock_id"],
        side=data["side"],
        type=data["type"],
        quantity=data["quantity"],
        time_in_force=data["time_in_force"],
        price=_units(data.get("price")),
        client_order_id=data.get("client_order_id"),
        stop_price=_units(data.get("stop_price")),
        display_quantity=data.get("display_quantity"),
        post_only=data["post_only"],
        self_trade_prevention=data["self_trade_prevention"],
        expires_at=data.get("expires_at"),
    )


def new_bounded_order(user_id: int, side: Order.Side, data: dict[str, Any]) -> NewOrder:
    """The order that the valid data of `BoundedInput` asks for."""
    return NewOrder(
        user_id=user_id,
        stock_id=data["stock_id"],
        side=side.value,
        type=Order.Type.BOUNDED.value,
        quantity=data["total"],
        lower_bound=to_units(data["lower_bound"]),
        upper_bound=to_units(data["upper_bound"]),
        client_order_id=data.get("client_order_id"),
    )


def order_list(data: Any, most: int) -> list[Any]:
    """The orders of a batch or basket, unread. ValidationError unless it is a list of 1 to `most`."""
    if not isinstance(data, list) or not 1 <= len(data) <= most:
        raise ValidationError(f"Give a list of 1 to {most} orders.", code="invalid")
    return data


def _units(price: Decimal | None) -> int | None:
    return None if price is None else to_units(price)


def _detail(serializer: serializers.Serializer, message: str, code: str | None = None) -> ErrorDetail:
    return ErrorDetail(str(serializer.error_messages[message]), code=code or message)
