"""What others may ask about the feed."""

from datetime import datetime, timedelta

from market_feed.models import FeedState


def feed_age(now: datetime) -> timedelta | None:
    """How long ago the feed's newest message was applied; None when there never was one."""
    received_at = FeedState.objects.order_by("-received_at").values_list("received_at", flat=True).first()
    return None if received_at is None else max(now - received_at, timedelta(0))
