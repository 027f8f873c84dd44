"""Paths of stocks and shares, below /api/. `stocks/<stock_id>` itself is trading's: it shows the newest trades."""

from stocks.apis import BalanceView, SharesView, StocksView, TicksView
from users.routes import route

urlpatterns = [
    route("stocks", StocksView, "stocks"),
    route("stocks/<stock_id>/ticks", TicksView, "stock-ticks"),
    route("users/<user_id>/balance", BalanceView, "user-balance"),
    route("users/<user_id>/shares", SharesView, "user-shares"),
]
