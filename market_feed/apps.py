from django.apps import AppConfig


class MarketFeedConfig(AppConfig):
    name = "market_feed"

    def ready(self) -> None:
        from market_feed.streams import broadcaster

        broadcaster.connect()
