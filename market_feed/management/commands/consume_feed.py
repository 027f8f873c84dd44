from market_feed.management.role_command import RoleCommand
from market_feed.roles import Role, feed_consumer
from trade.engine import get_engine, reset_engine


class Command(RoleCommand):
    help = "Take ticks from the broker (MQTT_URL, MQTT_FEED_TOPIC) into the market. Run one per market."

    def make_role(self) -> Role:
        return feed_consumer(get_engine())

    def clean_up(self) -> None:
        reset_engine()
