"""Orders, the trades they made, and every other event of their lives.

Nothing here is deleted. A foreign key has no index of its own where another index begins with it: every
index is paid for with each order. An order's `sequence` is that of the last event that changed it, so
`sequence > n` finds what changed since n: the book in memory catches up with one query.
"""

from decimal import Decimal

from django.db import models
from django.db.models import F, Q

from stocks.models import Stock
from users.fields import FixedPointField
from users.models import User


class Order(models.Model):
    """An instruction to buy or sell. Once stored it is fully paid for."""

    class Side(models.TextChoices):
        BUY = "buy"
        SELL = "sell"

    class Type(models.TextChoices):
        LIMIT = "limit"
        MARKET = "market"
        STOP = "stop"
        STOP_LIMIT = "stop_limit"
        BOUNDED = "bounded"

    class TimeInForce(models.TextChoices):
        GTC = "gtc", "good till cancelled"
        IOC = "ioc", "immediate or cancel"
        FOK = "fok", "fill or kill"
        DAY = "day", "good for the day"
        GTD = "gtd", "good till a time"

    class SelfTrade(models.TextChoices):
        """What gives way when the order comes to another one of its own user."""

        EXPIRE_TAKER = "expire_taker"
        EXPIRE_MAKER = "expire_maker"
        EXPIRE_BOTH = "expire_both"
        DECREMENT = "decrement"

    class Status(models.TextChoices):
        PENDING = "PENDING"
        ACTIVE = "ACTIVE"
        PARTIALLY_FILLED = "PARTIALLY_FILLED"
        FILLED = "FILLED"
        CANCELLED = "CANCELLED"
        EXPIRED = "EXPIRED"
        REJECTED = "REJECTED"

    OPEN_STATUSES = (Status.PENDING, Status.ACTIVE, Status.PARTIALLY_FILLED)

    order_id = models.UUIDField(primary_key=True, editable=False)
    client_order_id = models.CharField(max_length=48, null=True, blank=True)
    user = models.ForeignKey(User, on_delete=models.PROTECT, related_name="orders", db_index=False)
    stock = models.ForeignKey(Stock, on_delete=models.PROTECT, related_name="orders", db_index=False)
    side = models.CharField(max_length=4, choices=Side)
    type = models.CharField(max_length=10, choices=Type)
    time_in_force = models.CharField(max_length=3, choices=TimeInForce, default=TimeInForce.GTC)
    quantity = models.BigIntegerField()
    price = FixedPointField(null=True)
    lower_bound = FixedPointField(null=True)
    upper_bound = FixedPointField(null=True)
    stop_price = FixedPointField(null=True)
    display_quantity = models.BigIntegerField(null=True)
    post_only = models.BooleanField(default=False)
    self_trade_prevention = models.CharField(max_length=12, choices=SelfTrade, default=SelfTrade.EXPIRE_TAKER)
    expires_at = models.DateTimeField(null=True)
    # Of the value traded, in hundredths of a percent, as they were when it was reserved.
    maker_fee_bps = models.PositiveSmallIntegerField(default=0)
    taker_fee_bps = models.PositiveSmallIntegerField(default=0)
    # The worst price it may trade at, and what a buy holds per share: the limit, the bound on its own
    # side, or for a market order the edge of the collar.
    limit_price = FixedPointField()

    status = models.CharField(max_length=16, choices=Status, default=Status.PENDING)
    reason = models.CharField(max_length=32, blank=True, default="")
    remaining_quantity = models.BigIntegerField()
    traded_quantity = models.BigIntegerField(default=0)
    traded_value = FixedPointField(default=Decimal(0))
    # Still waiting for its stop; the slice of an iceberg that the book shows.
    is_stopped = models.BooleanField(default=False)
    shown_quantity = models.BigIntegerField(default=0)
    # When it took its place in the queue at its price; null while PENDING.
    priority = models.BigIntegerField(null=True)
    sequence = models.BigIntegerField(default=0)
    created_at = models.DateTimeField()
    updated_at = models.DateTimeField()

    class Meta:
        ordering = ["-created_at", "-order_id"]
        indexes = [
            models.Index(fields=["user", "-created_at"], name="order_user_newest"),
            # What changed since a sequence: catch-up, and the whole book when a process starts.
            models.Index(fields=["stock", "sequence"], name="order_stock_sequence"),
            models.Index(
                fields=["stock", "side", "limit_price"],
                name="order_open_by_price",
                condition=Q(remaining_quantity__gt=0),
            ),
            models.Index(fields=["created_at"], name="order_pending", condition=Q(status="PENDING")),
            models.Index(
                fields=["expires_at"],
                name="order_open_till",
                condition=Q(remaining_quantity__gt=0, expires_at__isnull=False),
            ),
            models.Index(
                fields=["created_at"],
                name="order_open_day",
                condition=Q(remaining_quantity__gt=0, time_in_force="day"),
            ),
        ]
        constraints = [
            models.UniqueConstraint(
                name="order_client_order_id_unique",
                fields=["user", "client_order_id"],
                condition=Q(client_order_id__isnull=False),
            ),
            models.CheckConstraint(name="order_quantity_positive", condition=Q(quantity__gt=0)),
            models.CheckConstraint(name="order_limit_price_positive", condition=Q(limit_price__gt=0)),
            models.CheckConstraint(
                name="order_quantity_adds_up",
                condition=Q(
                    traded_quantity__gte=0,
                    remaining_quantity__gte=0,
                    quantity__gte=F("traded_quantity") + F("remaining_quantity"),
                ),
            ),
            models.CheckConstraint(
                name="order_shown_within_remaining",
                condition=Q(shown_quantity__gte=0, shown_quantity__lte=F("remaining_quantity")),
            ),
            models.CheckConstraint(
                name="order_open_has_remainder",
                condition=Q(status__in=["PENDING", "ACTIVE", "PARTIALLY_FILLED"], remaining_quantity__gt=0)
                | Q(status__in=["FILLED", "CANCELLED", "EXPIRED", "REJECTED"], remaining_quantity=0),
            ),
        ]

    def __str__(self) -> str:
        return f"{self.side} {self.quantity} {self.stock_id}"


class PendingChange(models.Model):
    """What a change of an open order holds beyond the order's own hold, until the match has made it."""

    change_id = models.UUIDField(primary_key=True, editable=False)
    order = models.ForeignKey(Order, on_delete=models.PROTECT, related_name="pending_changes")
    # Units of cash for a buy, shares for a sell.
    extra_hold = models.BigIntegerField()
    created_at = models.DateTimeField()

    class Meta:
        ordering = ["change_id"]
        indexes = [models.Index(fields=["created_at"], name="pending_change_oldest")]
        constraints = [
            models.CheckConstraint(name="pending_change_holds", condition=Q(extra_hold__gt=0)),
        ]

    def __str__(self) -> str:
        return f"{self.extra_hold} for {self.order_id}"


class Trade(models.Model):
    """One match: two orders, or an order and the outside market (then one side is null)."""

    class Source(models.TextChoices):
        BOOK = "book"
        FEED = "feed"

    trade_id = models.BigAutoField(primary_key=True)
    stock = models.ForeignKey(Stock, on_delete=models.PROTECT, related_name="trades", db_index=False)
    sequence = models.BigIntegerField()
    price = FixedPointField()
    quantity = models.BigIntegerField()
    bid_order = models.ForeignKey(Order, on_delete=models.PROTECT, null=True, related_name="+")
    ask_order = models.ForeignKey(Order, on_delete=models.PROTECT, null=True, related_name="+")
    buyer = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+", db_index=False)
    seller = models.ForeignKey(User, on_delete=models.PROTECT, null=True, related_name="+", db_index=False)
    taker_side = models.CharField(max_length=4, choices=Order.Side)
    source = models.CharField(max_length=4, choices=Source)
    # The sequence of the tick whose availability it spent; null for a trade between users.
    tick_sequence = models.BigIntegerField(null=True)
    buyer_fee = FixedPointField(default=Decimal(0))
    seller_fee = FixedPointField(default=Decimal(0))
    executed_at = models.DateTimeField()
    # Null: what it brought lies among the unsettled amounts of its two users.
    settled_at = models.DateTimeField(null=True)

    class Meta:
        ordering = ["-trade_id"]
        constraints = [
            models.UniqueConstraint(name="trade_stock_sequence", fields=["stock", "sequence"]),
            models.CheckConstraint(
                name="trade_price_quantity_positive", condition=Q(price__gt=0, quantity__gt=0)
            ),
            models.CheckConstraint(
                name="trade_sides_match_source",
                condition=Q(
                    source="book", buyer__isnull=False, seller__isnull=False, tick_sequence__isnull=True
                )
                | Q(source="feed", buyer__isnull=True, seller__isnull=False, tick_sequence__isnull=False)
                | Q(source="feed", buyer__isnull=False, seller__isnull=True, tick_sequence__isnull=False),
            ),
            models.CheckConstraint(
                name="trade_settled_after_execution",
                condition=Q(settled_at__isnull=True) | Q(settled_at__gte=F("executed_at")),
            ),
        ]
        indexes = [
            models.Index(
                fields=["buyer", "-trade_id"], name="trade_buyer_newest", condition=Q(buyer__isnull=False)
            ),
            models.Index(
                fields=["seller", "-trade_id"], name="trade_seller_newest", condition=Q(seller__isnull=False)
            ),
            models.Index(fields=["stock", "executed_at"], name="trade_stock_time"),
            models.Index(
                fields=["stock", "trade_id"], name="trade_unsettled", condition=Q(settled_at__isnull=True)
            ),
        ]

    def __str__(self) -> str:
        return f"{self.quantity} {self.stock_id} at {self.price}"


class OrderEvent(models.Model):
    """What happened to an order, or (order null) to the market of a stock, other than a trade."""

    class Kind(models.TextChoices):
        ENTERED = "entered"
        TRIGGERED = "triggered"
        REPLACED = "replaced"
        REDUCED = "reduced"
        PREVENTED = "prevented"
        CANCELLED = "cancelled"
        EXPIRED = "expired"
        REJECTED = "rejected"
        HALTED = "halted"
        RESUMED = "resumed"

    stock = models.ForeignKey(Stock, on_delete=models.PROTECT, related_name="+", db_index=False)
    sequence = models.BigIntegerField()
    kind = models.CharField(max_length=16, choices=Kind)
    order = models.ForeignKey(Order, on_delete=models.PROTECT, null=True, related_name="events")
    # Shares it speaks of: entered with, cancelled, expired, kept from trading; the new total of a replace.
    quantity = models.BigIntegerField(null=True)
    # The limit it entered with, or has after a replace.
    price = FixedPointField(null=True)
    # The shares and orders that stood before it at its price when it came to rest; null: it did not.
    ahead_quantity = models.BigIntegerField(null=True)
    ahead_orders = models.BigIntegerField(null=True)
    # Prevented: the resting order of the same user that it met.
    other_order = models.ForeignKey(
        Order, on_delete=models.PROTECT, null=True, related_name="+", db_index=False
    )
    # Replaced: the sequence of the event that this one takes the place of.
    replaces = models.BigIntegerField(null=True)
    reason = models.CharField(max_length=32, blank=True, default="")
    occurred_at = models.DateTimeField()

    class Meta:
        ordering = ["stock", "sequence"]
        constraints = [
            models.UniqueConstraint(name="order_event_stock_sequence", fields=["stock", "sequence"]),
        ]

    def __str__(self) -> str:
        return f"{self.stock_id}:{self.sequence} {self.kind}"
