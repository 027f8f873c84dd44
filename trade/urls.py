"""Paths of trading, below /api/. Two of them replace those of users and stocks and show more."""

from trade.apis.batches import BasketView, BatchView
from trade.apis.bounded import BuyView, SellView
from trade.apis.candles import CandlesView
from trade.apis.orders import OrdersView, OrderView
from trade.apis.portfolio import PortfolioView, TransactionsView
from trade.apis.stocks import MarketStockView
from trade.apis.trades import OrderBookView, SettleView, TradesView, TradeView
from trade.apis.why import WhyView
from users.routes import route

urlpatterns = [
    route("users/<user_id>", PortfolioView, "user"),
    route("users/<user_id>/buy", BuyView, "user-buy"),
    route("users/<user_id>/sell", SellView, "user-sell"),
    route("users/<user_id>/transactions", TransactionsView, "user-transactions"),
    route("stocks/<stock_id>", MarketStockView, "stock"),
    route("stocks/<stock_id>/candles", CandlesView, "stock-candles"),
    route("orders", OrdersView, "orders"),
    route("orders/batch", BatchView, "orders-batch"),
    route("orders/basket", BasketView, "orders-basket"),
    route("orders/<order_id>", OrderView, "order"),
    route("orders/<order_id>/why", WhyView, "order-why"),
    route("trades", TradesView, "trades"),
    route("trades/<trade_id>", TradeView, "trade"),
    route("trades/<trade_id>/settle", SettleView, "trade-settle"),
    route("orderbook", OrderBookView, "orderbook"),
]
