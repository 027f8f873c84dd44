"""Whether this process can do its work: 200, or 503 and which part cannot.

The database, the channel layer and the engine must be well. The feed is reported, but a feed that is silent
takes no server out of service: users still trade with one another, and at night every market is quiet.
Where that is not so, the setting HEALTH_FEED_MAX_AGE_S says from which age on a feed counts as down.
"""

import logging
import time
from collections.abc import Callable
from typing import Any

from django.conf import settings
from django.db import connection
from django.utils import timezone
from drf_spectacular.utils import OpenApiResponse, extend_schema
from rest_framework import serializers, status
from rest_framework.permissions import AllowAny
from rest_framework.request import Request
from rest_framework.response import Response
from rest_framework.views import APIView

from market_feed.selectors import feed_age
from trade.engine import get_engine

logger = logging.getLogger(__name__)

Part = dict[str, Any]
OK = "ok"
DOWN = "down"
# The feed only: it never sent a tick; it has not sent one for a while.
SILENT = "silent"
STALE = "stale"
STALE_AFTER_S = 60
REDIS_TIMEOUT_S = 1.0


class PartOut(serializers.Serializer):
    status = serializers.CharField(help_text="`ok` or `down`; the feed may be `stale` or `silent`.")


class HealthOut(serializers.Serializer):
    status = serializers.CharField(help_text="`ok` or `down`.")
    database = PartOut()
    feed = PartOut()
    channel_layer = PartOut()
    engine = PartOut()


class HealthView(APIView):
    """The health of this process."""

    authentication_classes = []
    permission_classes = [AllowAny]
    throttle_classes = []

    @extend_schema(
        operation_id="health",
        summary="Health of the service",
        responses={200: HealthOut, 503: OpenApiResponse(HealthOut, "A part is down.")},
        auth=[],
    )
    def get(self, request: Request) -> Response:
        parts = {name: _checked(name, check) for name, check in CHECKS.items()}
        is_down = any(part["status"] == DOWN for part in parts.values())
        return Response(
            {"status": DOWN if is_down else OK, **parts},
            status=status.HTTP_503_SERVICE_UNAVAILABLE if is_down else status.HTTP_200_OK,
            headers={"Cache-Control": "no-store"},
        )


def _checked(name: str, check: Callable[[], Part]) -> Part:
    try:
        return check()
    except Exception as error:
        # Whatever goes wrong in a part is what this page is for; the words may name hosts, the log may.
        logger.warning("health: %s is down: %s", name, error)
        return {"status": DOWN, "error": type(error).__name__}


def check_database() -> Part:
    started = time.perf_counter()
    with connection.cursor() as cursor:
        cursor.execute("SELECT 1")
        cursor.fetchone()
    return {"status": OK, "latency_ms": round((time.perf_counter() - started) * 1000, 3)}


def check_feed() -> Part:
    age = feed_age(timezone.now())
    if age is None:
        return {"status": SILENT, "age_s": None}
    age_s = round(age.total_seconds(), 3)
    limit = settings.HEALTH_FEED_MAX_AGE_S
    if limit and age_s > limit:
        return {"status": DOWN, "age_s": age_s}
    return {"status": STALE if age_s > STALE_AFTER_S else OK, "age_s": age_s}


def check_channel_layer() -> Part:
    if not settings.REDIS_URL:
        return {"status": OK, "kind": "in memory"}
    from redis import Redis

    timeouts = {"socket_timeout": REDIS_TIMEOUT_S, "socket_connect_timeout": REDIS_TIMEOUT_S}
    with Redis.from_url(settings.REDIS_URL, **timeouts) as redis:
        redis.ping()
    return {"status": OK, "kind": "redis"}


def check_engine() -> Part:
    state = get_engine().status()
    is_well = state["threads_alive"] == state["threads"]
    # The error's text stays in the log.
    shown = {name: value for name, value in state.items() if name != "last_error"}
    return {"status": OK if is_well else DOWN, **shown}


CHECKS: dict[str, Callable[[], Part]] = {
    "database": check_database,
    "feed": check_feed,
    "channel_layer": check_channel_layer,
    "engine": check_engine,
}
