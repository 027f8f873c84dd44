"""The settings of a server with empty views and no middleware: what REST is held against."""

from config.settings import *  # noqa: F403

ROOT_URLCONF = "config.benchmarks.bare_urls"
MIDDLEWARE = []
