from django.urls import path, re_path

from pages.accounts import log_in, log_out, sign_up
from pages.history import candles_csv, history, stocks, ticks_csv
from pages.leaderboard import leaderboard
from pages.operations import audit, operations, switch_stock
from pages.orders import orders, why
from pages.portfolio import portfolio
from pages.views import market
from users.routes import ID_PATTERNS

STOCK = rf"^stocks/(?P<stock_id>{ID_PATTERNS['stock_id']})"
SWITCH = rf"^operations/(?P<action>halt|resume)/(?P<stock_id>{ID_PATTERNS['stock_id']})/\Z"

urlpatterns = [
    path("", market, name="market"),
    path("sign-up/", sign_up, name="sign-up"),
    path("log-in/", log_in, name="log-in"),
    path("log-out/", log_out, name="log-out"),
    path("portfolio/", portfolio, name="portfolio"),
    path("orders/", orders, name="orders"),
    re_path(rf"^orders/(?P<order_id>{ID_PATTERNS['order_id']})/\Z", why, name="why"),
    path("leaderboard/", leaderboard, name="leaderboard"),
    path("stocks/", stocks, name="stocks"),
    re_path(rf"{STOCK}/\Z", history, name="history"),
    re_path(rf"{STOCK}/ticks\.csv\Z", ticks_csv, name="ticks-csv"),
    re_path(rf"{STOCK}/candles\.csv\Z", candles_csv, name="candles-csv"),
    path("operations/", operations, name="operations"),
    path("operations/audit/", audit, name="operations-audit"),
    re_path(SWITCH, switch_stock, name="operations-switch"),
]
