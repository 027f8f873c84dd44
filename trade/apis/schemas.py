"""The shapes of the answers, for the OpenAPI schema. What really renders them is `rendering`."""

from drf_spectacular.utils import inline_serializer
from rest_framework import serializers

from stocks.serializers import HoldingOut, StockPageOut
from trade.models import Order, OrderEvent, Trade
from trade.selectors.why.steps import VERDICTS as TICK_VERDICTS
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
    stop_price = serializers.FloatField(allow_null=True)
    display_quantity = serializers.IntegerField(allow_null=True)
    post_only = serializers.BooleanField()
    self_trade_prevention = serializers.ChoiceField(Order.SelfTrade.choices)
    expires_at = serializers.DateTimeField(allow_null=True)
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


class RefusalOut(serializers.Serializer):
    code = serializers.CharField()
    detail = serializers.CharField()
    attr = serializers.CharField(allow_null=True)


class PreviewOut(serializers.Serializer):
    accepted = serializers.BooleanField()
    reserved = serializers.FloatField(
        allow_null=True, help_text="Cash that a buy would hold, shares that a sell would hold."
    )
    limit_price = serializers.FloatField(allow_null=True, help_text="The worst price it could trade at.")
    errors = RefusalOut(many=True)  # type: ignore[assignment]


class BatchResultOut(serializers.Serializer):
    status = serializers.IntegerField(help_text="As if it had been placed alone.")
    order = OrderOut(allow_null=True)
    errors = RefusalOut(many=True)  # type: ignore[assignment]


class BasketOut(serializers.Serializer):
    orders = OrderOut(many=True)


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


class FactOut(serializers.Serializer):
    """Of the fields after `detail`, each kind of fact has those that apply to it."""

    sequence = serializers.IntegerField(help_text="0: before the stock numbered it.")
    time = serializers.DateTimeField()
    kind = serializers.ChoiceField(["reserved", "trade", "tick", *OrderEvent.Kind.values])
    detail = serializers.CharField(help_text="In words.")
    verdict = serializers.ChoiceField(TICK_VERDICTS, required=False, help_text="What came of the ticks.")
    price = serializers.FloatField(required=False)
    quantity = serializers.IntegerField(required=False)
    left = serializers.IntegerField(required=False, help_text="Open after it.")
    reserved = serializers.FloatField(required=False)
    reason = serializers.CharField(required=False)
    ahead_quantity = serializers.IntegerField(required=False, help_text="Shares before it at its price.")
    ahead_orders = serializers.IntegerField(required=False)
    replaces = serializers.IntegerField(required=False, help_text="The event whose terms it replaces.")
    trade_id = serializers.IntegerField(required=False)
    source = serializers.ChoiceField(Trade.Source.choices, required=False)  # type: ignore[assignment]
    role = serializers.ChoiceField(["maker", "taker"], required=False)
    fee = serializers.FloatField(required=False)
    tick_sequence = serializers.IntegerField(required=False)
    availability = serializers.IntegerField(required=False)
    taken_by_others = serializers.IntegerField(required=False, help_text="Of this tick, on its side.")
    count = serializers.IntegerField(required=False, help_text="Ticks that this fact stands for.")
    lowest_price = serializers.FloatField(required=False)
    highest_price = serializers.FloatField(required=False)


class WhyOut(serializers.Serializer):
    order = OrderOut()
    summary = serializers.CharField(help_text="One sentence.")
    facts = FactOut(many=True, help_text="By sequence.")
    more = serializers.BooleanField(help_text="There is more to tell.")
    next_since_sequence = serializers.IntegerField(allow_null=True, help_text="Where it goes on.")


CANCELLED_COUNT = inline_serializer("CancelledCount", {"cancelled": serializers.IntegerField()})
