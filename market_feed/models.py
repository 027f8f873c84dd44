"""What the wires must remember: how far the publisher is, and when the feed was last heard."""

from django.db import models

from stocks.models import Stock


class PublishCursor(models.Model):
    """Up to which sequence of a stock all that happened was published and acknowledged by the broker."""

    stock = models.OneToOneField(Stock, on_delete=models.CASCADE, primary_key=True, related_name="+")
    sequence = models.BigIntegerField(default=0)
    updated_at = models.DateTimeField()

    class Meta:
        ordering = ["stock"]
        constraints = [
            models.CheckConstraint(name="publish_cursor_not_negative", condition=models.Q(sequence__gte=0)),
        ]

    def __str__(self) -> str:
        return f"{self.stock_id} up to {self.sequence}"


class FeedState(models.Model):
    """When the feed's consumer last applied a message. One row; a replay's ticks carry older times."""

    feed = models.CharField(max_length=64, primary_key=True)
    received_at = models.DateTimeField()

    def __str__(self) -> str:
        return f"{self.feed} at {self.received_at:%H:%M:%S}"
