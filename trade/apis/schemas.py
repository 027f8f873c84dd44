"""The shapes of the answers, for the OpenAPI schema. What really renders them is `rendering`."""

from drf_spectacular.utils import inline_serializer
from rest_framework import serializers

from stocks.serializers import HoldingOut, StockPageOut
from trade.models import Order, Trade
from users.serializers import AccountOut

FILL_TYPES = ["Buy", "Sell"]


class OrderOut(serializers.Serializer):
    order_id = serializers.UUIDField()
    client_order_id = serializers.CharField(allow_null=True)
    user_id = serializers.IntegerField()
    stock_id = serializers.CharField()
    side = serializers.ChoiceField(Order.Side.choices)
    type = serializers.ChoiceField(Order.Type.choices)
    time_in_force = serializers.ChoiceField(Order.TimeInForce.choices)
    quantity = serializers.IntegerField()
    price = serializers.FloatField(allow_null=True)
    lower_bound = serializers.FloatField(allow_null=True)
    upper_bound = serializers.FloatField(allow_null=True)
    remaining_quantity = serializers.IntegerField(help_text="What can still trade; 0 when it is finished.")
    traded_quantity = serializers.IntegerField()
    average_traded_price = serializers.FloatField(allow_null=True, help_text="To four places, half to even.")
    reserved = serializers.FloatField(
        help_text="Cash that an open buy holds, shares that an open sell holds."
    )
    status = serializers.ChoiceField(Order.Status.choices)
    reason = serializers.CharField(allow_blank=True, help_text="Why it ended, when it was not filled.")
    is_active = serializers.BooleanField()
    sequence = serializers.IntegerField(help_text="Of the last event that changed it.")
    created_at = serializers.DateTimeField()
    updated_at = serializers.DateTimeField()


class PlacedOut(serializers.Serializer):
    message = serializers.CharField()
    order = OrderOut()


class TradeOut(serializers.Serializer):
    trade_id = serializers.IntegerField()
    stock_id = serializers.CharField()
    sequence = serializers.IntegerField()
    price = serializers.FloatField()
    quantity = serializers.IntegerField()
    bid_order_id = serializers.UUIDField(allow_null=True, help_text="Null when the outside market bought.")
    ask_order_id = serializers.UUIDField(allow_null=True, help_text="Null when the outside market sold.")
    source = serializers.ChoiceField(Trade.Source.choices)  # type: ignore[assignment]
    execution_timestamp = serializers.DateTimeField()
    is_settled = serializers.BooleanField()
    settlement_timestamp = serializers.DateTimeField(allow_null=True)


class RecentFillOut(serializers.Serializer):
    stock = serializers.CharField()
    type = serializers.ChoiceField(FILL_TYPES)
    stock_price = serializers.FloatField()
    total_price = serializers.FloatField()
    total_count = serializers.IntegerField()
    timestamp = serializers.DateTimeField()


class FillOut(RecentFillOut):
    trade_id = serializers.IntegerField()
    order_id = serializers.UUIDField()


class StockFillOut(serializers.Serializer):
    user = serializers.IntegerField(allow_null=True, help_text="Told to that user and to staff.")
    type = serializers.ChoiceField(FILL_TYPES)
    stock_price = serializers.FloatField()
    total_price = serializers.FloatField()
    total_count = serializers.IntegerField()


class PortfolioOut(AccountOut):
    stocks = HoldingOut(many=True)
    recent_transactions = RecentFillOut(many=True, help_text="The newest five.")


class MarketStockOut(StockPageOut):
    transactions = StockFillOut(many=True, help_text="The newest five.")


class LevelOut(serializers.Serializer):
    price = serializers.FloatField()
    quantity = serializers.IntegerField()
    orders = serializers.IntegerField()


class QuoteOut(serializers.Serializer):
    price = serializers.FloatField()
    availability = serializers.IntegerField(help_text="As the feed said.")
    bid_quantity = serializers.IntegerField(help_text="What the outside still buys at this price.")
    ask_quantity = serializers.IntegerField(help_text="What the outside still sells at this price.")


class BookOut(serializers.Serializer):
    stock_id = serializers.CharField()
    sequence = serializers.IntegerField()
    timestamp = serializers.DateTimeField()
    bids = LevelOut(many=True)
    asks = LevelOut(many=True)
    quote = QuoteOut(allow_null=True)


CANCELLED_COUNT = inline_serializer("CancelledCount", {"cancelled": serializers.IntegerField()})
