"""The web application: pages and REST over HTTP, the live streams over WebSockets."""

import os

from channels.routing import ProtocolTypeRouter
from django.core.asgi import get_asgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

# First: it loads the apps that the streams import.
http = get_asgi_application()

from config.direct.ways import direct_asgi  # noqa: E402
from market_feed.streams.routing import streams  # noqa: E402

application = ProtocolTypeRouter({"http": direct_asgi(http), "websocket": streams})
