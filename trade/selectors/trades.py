"""The public tape: every trade, whoever made it. Whose they were is for `selectors.fills`."""

from datetime import datetime

from django.db.models import QuerySet

from trade.models import Trade


def find_trade(trade_id: int) -> Trade | None:
    return Trade.objects.filter(pk=trade_id).first()


def public_trades(
    *,
    stock_id: str | None = None,
    since_sequence: int | None = None,
    from_date: datetime | None = None,
    to_date: datetime | None = None,
) -> QuerySet[Trade]:
    """The tape, newest first; after `since_sequence` (of one stock) oldest first, as a reader catches up."""
    trades = executed_between(Trade.objects.all(), from_date, to_date)
    if stock_id is None:
        return trades.order_by("-trade_id")
    trades = trades.filter(stock_id=stock_id)
    if since_sequence is None:
        return trades.order_by("-sequence")
    return trades.filter(sequence__gt=since_sequence).order_by("sequence")


def stocks_with_unsettled_trades() -> list[str]:
    """The stocks of trades that have not settled, by stock_id."""
    unsettled = Trade.objects.filter(settled_at=None).order_by("stock_id")
    return list(unsettled.values_list("stock_id", flat=True).distinct())


def trades_since(
    stock_id: str, sequence: int, limit: int, *, until_sequence: int | None = None
) -> list[Trade]:
    """The next `limit` trades of a stock after `sequence` (and up to `until_sequence`), oldest first."""
    trades = public_trades(stock_id=stock_id, since_sequence=sequence)
    if until_sequence is not None:
        trades = trades.filter(sequence__lte=until_sequence)
    return list(trades[:limit])


def executed_between(
    trades: QuerySet[Trade], from_date: datetime | None, to_date: datetime | None
) -> QuerySet[Trade]:
    """Those of `trades` in a range of time, both ends inclusive."""
    if from_date is not None:
        trades = trades.filter(executed_at__gte=from_date)
    if to_date is not None:
        trades = trades.filter(executed_at__lte=to_date)
    return trades
