"""What can be traded, what it cost, and who owns it.

Every `Stock` has one `sequence`, taken under its row lock: it numbers everything that happens to the
stock (ticks, trades, order events) without a hole.
"""

from decimal import Decimal

from django.core.validators import MaxValueValidator, MinValueValidator, RegexValidator
from django.db import models
from django.db.models import F, Q

from users.fields import MAX_PRICE, MAX_QUANTITY, FixedPointField
from users.models import User

MAX_FEE_BPS = 1_000
# Up to ten times the last price.
MAX_COLLAR_BPS = 90_000
STOCK_ID_PATTERN = r"^[A-Za-z0-9][A-Za-z0-9._-]{0,63}\Z"


class Stock(models.Model):
    """A stock, the outside market's current quote for it, and its running tick figures."""

    class Status(models.TextChoices):
        OPEN = "open"
        HALTED = "halted"

    stock_id = models.CharField(
        max_length=64, primary_key=True, validators=[RegexValidator(STOCK_ID_PATTERN)]
    )
    name = models.CharField(max_length=100)
    status = models.CharField(max_length=8, choices=Status, default=Status.OPEN)
    price_increment = FixedPointField(default=Decimal("0.01"))
    lot_size = models.PositiveIntegerField(default=1, validators=[MinValueValidator(1)])

    # Bounds of one order; null: only those of the whole market.
    min_quantity = models.BigIntegerField(null=True, blank=True, validators=[MinValueValidator(1)])
    max_quantity = models.BigIntegerField(null=True, blank=True, validators=[MinValueValidator(1)])
    min_notional = FixedPointField(null=True, blank=True)
    max_notional = FixedPointField(null=True, blank=True)
    # A limit may be this far from the last price, and a market order trade, in hundredths of a percent.
    # Null: any limit, and for market orders the market's own setting.
    price_collar_bps = models.PositiveIntegerField(null=True, blank=True)
    maker_fee_bps = models.PositiveSmallIntegerField(default=0, validators=[MaxValueValidator(MAX_FEE_BPS)])
    taker_fee_bps = models.PositiveSmallIntegerField(default=0, validators=[MaxValueValidator(MAX_FEE_BPS)])

    sequence = models.BigIntegerField(default=0, editable=False)
    # The numbers of the newest trade and of the newest tick, late ones included.
    trade_sequence = models.BigIntegerField(default=0, editable=False)
    tick_sequence = models.BigIntegerField(default=0, editable=False)

    # The newest price, of a tick or of a trade.
    last_price = FixedPointField(null=True, editable=False)
    last_tick_at = models.DateTimeField(null=True, editable=False)
    # The outside market until the next tick: it still sells `quote_ask_quantity` and still buys
    # `quote_bid_quantity` at `quote_price`. `quote_sequence` is the number of the tick that said so.
    quote_price = FixedPointField(null=True, editable=False)
    quote_sequence = models.BigIntegerField(default=0, editable=False)
    quote_availability = models.BigIntegerField(default=0, editable=False)
    quote_ask_quantity = models.BigIntegerField(default=0, editable=False)
    quote_bid_quantity = models.BigIntegerField(default=0, editable=False)

    highest_price = FixedPointField(null=True, editable=False)
    lowest_price = FixedPointField(null=True, editable=False)
    tick_price_sum = FixedPointField(default=Decimal(0), editable=False)
    tick_count = models.BigIntegerField(default=0, editable=False)

    created_at = models.DateTimeField(auto_now_add=True)

    class Meta:
        ordering = ["stock_id"]
        constraints = [
            models.CheckConstraint(name="stock_price_increment_positive", condition=Q(price_increment__gt=0)),
            models.CheckConstraint(name="stock_lot_size_positive", condition=Q(lot_size__gt=0)),
            models.CheckConstraint(
                name="stock_fees_in_range",
                condition=Q(maker_fee_bps__lte=MAX_FEE_BPS, taker_fee_bps__lte=MAX_FEE_BPS),
            ),
            models.CheckConstraint(
                name="stock_quote_within_availability",
                condition=Q(
                    quote_ask_quantity__gte=0,
                    quote_bid_quantity__gte=0,
                    quote_ask_quantity__lte=F("quote_availability"),
                    quote_bid_quantity__lte=F("quote_availability"),
                ),
            ),
        ]

    def __str__(self) -> str:
        return self.stock_id


class Tick(models.Model):
    """One price update from the feed, as it was stored: the outside's price and available quantity."""

    stock = models.ForeignKey(Stock, on_delete=models.PROTECT, related_name="ticks", db_index=False)
    sequence = models.BigIntegerField()
    price = FixedPointField(validators=[MinValueValidator(0), MaxValueValidator(MAX_PRICE)])
    availability = models.BigIntegerField()
    timestamp = models.DateTimeField()
    # Older than the stock's newest tick when it came: kept as history, traded nothing.
    is_late = models.BooleanField(default=False)

    class Meta:
        ordering = ["-timestamp", "-id"]
        constraints = [
            models.UniqueConstraint(name="tick_stock_sequence", fields=["stock", "sequence"]),
            # What makes a tick that is delivered twice stored once. Serves date ranges too.
            models.UniqueConstraint(
                name="tick_identity", fields=["stock", "timestamp", "price", "availability"]
            ),
            models.CheckConstraint(name="tick_price_positive", condition=Q(price__gt=0)),
            models.CheckConstraint(name="tick_availability_not_negative", condition=Q(availability__gte=0)),
        ]

    def __str__(self) -> str:
        return f"{self.stock_id} {self.price} x {self.availability}"


class Candle(models.Model):
    """What ticks and trades did to a stock's price in one interval, and how many shares changed hands.

    `tick_high`, `tick_low`, `price_sum` and `ticks` are of ticks alone (null and 0 without any): a stock's
    figures over a range add up from them. All else is of ticks and trades alike.
    """

    class Interval(models.IntegerChoices):
        """What is stored, in seconds. Other intervals are made of these when they are asked for."""

        MINUTE = 60
        HOUR = 3_600
        DAY = 86_400

    stock = models.ForeignKey(Stock, on_delete=models.CASCADE, related_name="candles", db_index=False)
    interval = models.IntegerField(choices=Interval)
    start = models.DateTimeField()
    open = FixedPointField()
    high = FixedPointField()
    low = FixedPointField()
    close = FixedPointField()
    volume = models.BigIntegerField(default=0)
    tick_high = FixedPointField(null=True)
    tick_low = FixedPointField(null=True)
    price_sum = FixedPointField()
    ticks = models.BigIntegerField()
    # Time of what set `open` and of what set `close`: a late tick may replace either.
    opened_at = models.DateTimeField()
    closed_at = models.DateTimeField()

    class Meta:
        ordering = ["stock", "interval", "start"]
        constraints = [
            models.UniqueConstraint(name="candle_identity", fields=["stock", "interval", "start"]),
            models.CheckConstraint(
                name="candle_low_high",
                condition=Q(low__lte=F("open"), high__gte=F("open"))
                & Q(low__lte=F("close"), high__gte=F("close")),
            ),
            models.CheckConstraint(name="candle_volume_not_negative", condition=Q(volume__gte=0)),
        ]

    def __str__(self) -> str:
        return f"{self.stock_id} {self.interval}s {self.start:%Y-%m-%d %H:%M}"


class Holding(models.Model):
    """A user's shares of one stock. Written under its row lock, by `stocks.services` only."""

    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="holdings", db_index=False)
    stock = models.ForeignKey(Stock, on_delete=models.PROTECT, related_name="holdings")
    quantity = models.BigIntegerField(default=0)
    reserved = models.BigIntegerField(default=0)
    # Bought, and not settled yet: beside `quantity`, and not for sale.
    unsettled = models.BigIntegerField(default=0)
    # What the shares held now, unsettled ones included, cost in all; granted shares cost nothing.
    cost = FixedPointField(default=Decimal(0))

    class Meta:
        ordering = ["user", "stock"]
        constraints = [
            models.UniqueConstraint(name="holding_user_stock", fields=["user", "stock"]),
            models.CheckConstraint(
                name="holding_reserved_within_quantity",
                condition=Q(reserved__gte=0, reserved__lte=F("quantity")),
            ),
            models.CheckConstraint(name="holding_unsettled_not_negative", condition=Q(unsettled__gte=0)),
            models.CheckConstraint(name="holding_cost_not_negative", condition=Q(cost__gte=0)),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} {self.stock_id} of {self.user_id}"


class ShareGrant(models.Model):
    """Shares handed out (or, negative, taken back) by staff: how a market is seeded."""

    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="share_grants")
    stock = models.ForeignKey(Stock, on_delete=models.PROTECT, related_name="share_grants")
    quantity = models.BigIntegerField()
    granted_by = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+")
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["-id"]
        constraints = [
            models.CheckConstraint(
                name="share_grant_quantity_in_range",
                condition=~Q(quantity=0) & Q(quantity__gte=-MAX_QUANTITY, quantity__lte=MAX_QUANTITY),
            )
        ]

    def __str__(self) -> str:
        return f"{self.quantity} {self.stock_id} to {self.user_id}"
