"""Where everything is. REST is below /api/; each path answers with and without its trailing slash."""

from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path, re_path
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerView

import pages.urls
import stocks.urls
import trade.urls
import users.urls
from config.errors import UnknownPath
from config.health import HealthView
from config.metrics import MetricsView
from users.routes import route

handler400 = "config.errors.bad_request"
handler403 = "config.errors.permission_denied"
handler404 = "config.errors.page_not_found"
handler500 = "config.errors.server_error"


api: list[URLPattern | URLResolver] = [
    # Trading first: it shows users and stocks with what is theirs.
    *trade.urls.urlpatterns,
    *users.urls.urlpatterns,
    *stocks.urls.urlpatterns,
    route("health", HealthView, "api-health"),
    route("schema", SpectacularAPIView, "schema"),
    route("docs", SpectacularSwaggerView, "docs", url_name="schema"),
    re_path("", UnknownPath.as_view(schema=None)),
]

urlpatterns: list[URLPattern | URLResolver] = [
    path("api/", include(api)),
    route("health", HealthView, "health", schema=None),
    route("metrics", MetricsView, "metrics", schema=None),
    path("admin/", admin.site.urls),
    *pages.urls.urlpatterns,
]
