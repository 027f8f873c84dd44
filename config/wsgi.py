"""The REST side under a WSGI server: threads with connections that stay open. Streams need `config.asgi`."""

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "config.settings")

# First: it loads the apps that the direct way imports.
usual = get_wsgi_application()

from config.direct.ways import direct_wsgi  # noqa: E402

application = direct_wsgi(usual)
