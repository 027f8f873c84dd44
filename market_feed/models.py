"""What the wires must remember: how far the publisher is, and when the feed was last heard."""

from django.db import models

from stocks.models import Stock


class PublishCursor(models.Model):
    """Up to which sequence of a stock a stream was published and acknowledged by the broker."""

    class Stream(models.TextChoices):
        TRADES = "trades"
        ORDERS = "orders"

    stream = models.CharField(max_length=8, choices=Stream)
    stock = models.ForeignKey(Stock, on_delete=models.CASCADE, related_name="+")
    sequence = models.BigIntegerField(default=0)
    updated_at = models.DateTimeField()

    class Meta:
        ordering = ["stream", "stock"]
        constraints = [
            models.UniqueConstraint(name="publish_cursor_stream_stock", fields=["stream", "stock"]),
            models.CheckConstraint(name="publish_cursor_not_negative", condition=models.Q(sequence__gte=0)),
        ]

    def __str__(self) -> str:
        return f"{self.stream} of {self.stock_id} up to {self.sequence}"


class FeedState(models.Model):
    """When the feed's consumer last applied a message. One row; a replay's ticks carry older times."""

    feed = models.CharField(max_length=64, primary_key=True)
    received_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.feed} at {self.received_at:%H:%M:%S}"
