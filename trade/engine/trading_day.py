"""When the trading day closes. Pure; times are aware."""

from datetime import UTC, datetime, time, timedelta


def latest_closing(closes_at: time, now: datetime) -> datetime:
    """The newest closing time, in UTC, that is not after `now`."""
    closing = datetime.combine(now.astimezone(UTC).date(), closes_at, UTC)
    return closing if closing <= now else closing - timedelta(days=1)
