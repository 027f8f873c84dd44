from market_feed.management.role_command import RoleCommand
from market_feed.roles import Role, publisher


class Command(RoleCommand):
    help = "Publish trades, books and events to the broker (MQTT_URL). Run one per market."

    def make_role(self) -> Role:
        return publisher()
