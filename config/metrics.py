"""Numbers for Prometheus: what this process counts, and what the database knows at this moment."""

from collections.abc import Iterator
from typing import Any

from django.conf import settings
from django.db.models import Count, Sum
from django.http import HttpResponse
from django.utils import timezone
from prometheus_client import CONTENT_TYPE_LATEST, REGISTRY, CollectorRegistry, generate_latest
from prometheus_client.core import CounterMetricFamily, GaugeMetricFamily
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector
from rest_framework.negotiation import DefaultContentNegotiation
from rest_framework.permissions import IsAdminUser
from rest_framework.request import Request
from rest_framework.views import APIView

from market_feed.selectors import feed_age
from stocks.models import Stock
from trade.engine import get_engine


class StaffOrPublic(IsAdminUser):
    """Staff, or anybody where the setting METRICS_PUBLIC says so."""

    def has_permission(self, request: Request, view: APIView) -> bool:
        return settings.METRICS_PUBLIC or super().has_permission(request, view)


class AnyAccept(DefaultContentNegotiation):
    """Scrapers ask for their own media types: they get the only one there is."""

    def select_renderer(self, request: Request, renderers: Any, format_suffix: str | None = None) -> Any:
        return renderers[0], renderers[0].media_type


class MetricsView(APIView):
    """The text format of Prometheus."""

    permission_classes = [StaffOrPublic]
    content_negotiation_class = AnyAccept
    throttle_classes = []

    def get(self, request: Request) -> HttpResponse:
        now = CollectorRegistry()
        now.register(MarketCollector())
        return HttpResponse(
            generate_latest(REGISTRY) + generate_latest(now), content_type=CONTENT_TYPE_LATEST
        )


class MarketCollector(Collector):
    """Reads the engine and the stocks' running figures when it is asked."""

    def collect(self) -> Iterator[Metric]:
        engine = get_engine().status()
        yield _gauge("bourse_engine_threads_alive", "Engine threads that run.", engine["threads_alive"])
        yield _gauge("bourse_engine_waiting", "Commands waiting for this process.", engine["waiting"])
        yield _gauge("bourse_engine_books", "Books this process has in memory.", engine["books"])
        yield _counter("bourse_engine_batches", "Batches this process committed.", engine["batches"])
        market = Stock.objects.aggregate(stocks=Count("pk"), ticks=Sum("tick_count"), events=Sum("sequence"))
        yield _gauge("bourse_stocks", "Stocks listed.", market["stocks"])
        yield _counter("bourse_stored_ticks", "Ticks stored, of all processes.", market["ticks"] or 0)
        yield _counter(
            "bourse_stored_events", "Ticks, trades and order events stored.", market["events"] or 0
        )
        age = feed_age(timezone.now())
        if age is not None:
            yield _gauge("bourse_feed_age_seconds", "Since the feed's newest tick.", age.total_seconds())


def _gauge(name: str, text: str, value: float) -> Metric:
    return GaugeMetricFamily(name, text, value=value)


def _counter(name: str, text: str, value: float) -> Metric:
    return CounterMetricFamily(name, text, value=value)
