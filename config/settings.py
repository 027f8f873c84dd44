"""Every setting of Bourse, read from the environment once, here.

Nothing else reads the environment. Each name below can be set as an environment variable of the same
name or in the file `.data/env`.
"""

import os
import re
import secrets
from datetime import time, timedelta
from decimal import Decimal
from pathlib import Path

import environ
from django.core.exceptions import ImproperlyConfigured

BASE_DIR = Path(__file__).resolve().parent.parent
env = environ.Env()

# Everything made at run time: database, secret key, the embedded broker's files.
DATA_DIR = Path(env.str("BOURSE_DATA_DIR", default=str(BASE_DIR / ".data")))
if (DATA_DIR / "env").exists():
    env.read_env(str(DATA_DIR / "env"))


def kept_secret_key() -> str:
    """The secret key of this installation: made at the first run and kept, never committed."""
    path = DATA_DIR / "secret_key"
    if not path.exists():
        DATA_DIR.mkdir(parents=True, exist_ok=True)
        draft = path.with_name(f"secret_key.{os.getpid()}")
        draft.touch(mode=0o600)
        draft.write_text(secrets.token_urlsafe(50))
        try:
            # Two processes may start together: the first name wins, both then read the same key.
            os.link(draft, path)
        except FileExistsError:
            pass
        finally:
            draft.unlink()
    return path.read_text().strip()


def one_of(name: str, word: str, words: tuple[str, ...]) -> str:
    """The setting `name`, whose value `word` must be one of `words`."""
    if word not in words:
        raise ImproperlyConfigured(f"{name} is {word!r}, but must be one of: {', '.join(words)}")
    return word


def time_of_day(name: str, text: str) -> time | None:
    """The setting `name`, a time such as "22:00"; None when its `text` is empty."""
    if not text:
        return None
    if re.fullmatch(r"([01]\d|2[0-3]):[0-5]\d", text, re.ASCII) is None:
        raise ImproperlyConfigured(f'{name} is {text!r}, but must be a time such as "22:00", or empty')
    return time.fromisoformat(text)


SECRET_KEY = env.str("SECRET_KEY", default="") or kept_secret_key()
DEBUG = env.bool("DEBUG", default=False)
ALLOWED_HOSTS = env.list("ALLOWED_HOSTS", default=["localhost", "127.0.0.1", "[::1]"])
CSRF_TRUSTED_ORIGINS = env.list("CSRF_TRUSTED_ORIGINS", default=[])
HTTPS = env.bool("HTTPS", default=False)
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SECURE_SSL_REDIRECT = False
SECURE_PROXY_SSL_HEADER = (
    ("HTTP_X_FORWARDED_PROTO", "https") if env.bool("BEHIND_PROXY", default=False) else None
)
X_FRAME_OPTIONS = "DENY"
CSRF_FAILURE_VIEW = "config.errors.csrf_failure"

INSTALLED_APPS = [
    "daphne",
    "django.contrib.admin",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "django.contrib.staticfiles",
    "rest_framework",
    "knox",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "drf_standardized_errors",
    "channels",
    "users",
    "stocks",
    "trade",
    "market_feed",
    "pages",
    "config",
]

MIDDLEWARE = [
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "config.urls"
APPEND_SLASH = False
TEMPLATES = [
    {
        "BACKEND": "django.template.backends.django.DjangoTemplates",
        "APP_DIRS": True,
        "OPTIONS": {
            "context_processors": [
                "django.template.context_processors.request",
                "django.contrib.auth.context_processors.auth",
                "django.contrib.messages.context_processors.messages",
            ]
        },
    }
]
ASGI_APPLICATION = "config.asgi.application"
WSGI_APPLICATION = "config.wsgi.application"
TEST_RUNNER = "config.testing.runner.BourseTestRunner"

# --- Database -------------------------------------------------------------------------------------

DATABASES = {"default": env.db("DATABASE_URL", default=f"sqlite:///{DATA_DIR / 'bourse.sqlite3'}")}
_database = DATABASES["default"]
if _database["ENGINE"].endswith("sqlite3"):
    # IMMEDIATE takes the write lock at BEGIN: two writers queue instead of failing half-way. WAL lets
    # readers go on meanwhile; with it, NORMAL loses nothing to a crash of the process.
    _database["OPTIONS"] = {
        "transaction_mode": "IMMEDIATE",
        "timeout": 30,
        "init_command": "PRAGMA journal_mode=WAL; PRAGMA synchronous=NORMAL; PRAGMA cache_size=-65536;",
    }
    # Threads of a test share a file, not an in-memory database.
    _database["TEST"] = {"NAME": env.str("TEST_DATABASE_FILE", default=str(DATA_DIR / "test.sqlite3"))}
    Path(_database["NAME"]).parent.mkdir(parents=True, exist_ok=True)
else:
    _database["CONN_MAX_AGE"] = env.int("CONN_MAX_AGE", default=60)
    _database["CONN_HEALTH_CHECKS"] = True
    _database["OPTIONS"] = {
        "options": "-c lock_timeout=10s -c statement_timeout=60s -c idle_in_transaction_session_timeout=60s"
    }
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"

# --- Users ----------------------------------------------------------------------------------------

AUTH_USER_MODEL = "users.User"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in ("UserAttributeSimilarityValidator", "MinimumLengthValidator", "CommonPasswordValidator")
]
LOGIN_URL = "log-in"
STARTING_BALANCE = Decimal(env.str("STARTING_BALANCE", default="0"))

# --- Trading --------------------------------------------------------------------------------------

# A market order trades within this fraction around the last price.
MARKET_ORDER_COLLAR = Decimal(env.str("MARKET_ORDER_COLLAR", default="0.10"))
# Threads that reserve and match in each process. SQLite has one writer, so more would only wait.
ENGINE_THREADS = env.int("ENGINE_THREADS", default=1 if _database["ENGINE"].endswith("sqlite3") else 3)
# Deferred: what a trade brings is not spendable before it is settled, by REST or `manage.py settle_trades`.
SETTLEMENT = one_of("SETTLEMENT", env.str("SETTLEMENT", default="immediate"), ("immediate", "deferred"))
# Day orders end at this time, in UTC; empty: when somebody calls `manage.py close_trading_day`.
TRADING_DAY_CLOSES_AT = time_of_day("TRADING_DAY_CLOSES_AT", env.str("TRADING_DAY_CLOSES_AT", default=""))
# How long a caller waits for the match before the answer says PENDING.
ORDER_ANSWER_TIMEOUT_S = env.float("ORDER_ANSWER_TIMEOUT_S", default=10.0)
# A pending order this old has lost the process that took it: any other may match it.
ORPHAN_AGE_S = env.float("ORPHAN_AGE_S", default=5.0)

# --- Feed -----------------------------------------------------------------------------------------

MQTT_URL = env.str("MQTT_URL", default="mqtt://127.0.0.1:1883")
MQTT_FEED_TOPIC = env.str("MQTT_FEED_TOPIC", default="market/ticks/#")
MQTT_CLIENT_ID = env.str("MQTT_CLIENT_ID", default="bourse-feed")
FEED_LISTS_STOCKS = env.bool("FEED_LISTS_STOCKS", default=True)
FEED_PRICE_INCREMENT = Decimal(env.str("FEED_PRICE_INCREMENT", default="0.01"))
# A tick whose price is this many times above or below the last price is dropped; 0 takes any.
FEED_MAX_PRICE_RATIO = env.int("FEED_MAX_PRICE_RATIO", default=10)
FEED_MAX_CLOCK_SKEW_S = env.int("FEED_MAX_CLOCK_SKEW_S", default=300)
# A feed that has been silent for longer makes /health/ answer 503; 0 never does.
HEALTH_FEED_MAX_AGE_S = env.int("HEALTH_FEED_MAX_AGE_S", default=0)

# --- REST -----------------------------------------------------------------------------------------

NUM_PROXIES = env.int("NUM_PROXIES", default=0)
REST_FRAMEWORK = {
    "DEFAULT_AUTHENTICATION_CLASSES": [
        "users.authentication.CachedTokenAuthentication",
        "rest_framework.authentication.SessionAuthentication",
    ],
    "DEFAULT_PERMISSION_CLASSES": ["rest_framework.permissions.IsAuthenticated"],
    "DEFAULT_PARSER_CLASSES": [
        "users.parsers.StrictJSONParser",
        "rest_framework.parsers.FormParser",
        "rest_framework.parsers.MultiPartParser",
    ],
    "DEFAULT_RENDERER_CLASSES": ["rest_framework.renderers.JSONRenderer"],
    "DEFAULT_PAGINATION_CLASS": "users.pagination.PageNumbers",
    "DEFAULT_THROTTLE_CLASSES": ["users.throttling.UserThrottle"],
    "DEFAULT_SCHEMA_CLASS": "config.schema.AutoSchema",
    "DEFAULT_METADATA_CLASS": "users.metadata.PlainMetadata",
    "EXCEPTION_HANDLER": "drf_standardized_errors.handler.exception_handler",
    "DEFAULT_THROTTLE_RATES": {
        "sign_up": env.str("THROTTLE_SIGN_UP", default="30/min"),
        "log_in": env.str("THROTTLE_LOG_IN", default="30/min"),
        "user": env.str("THROTTLE_USER", default="") or None,
    },
    "NUM_PROXIES": NUM_PROXIES,
    "TEST_REQUEST_DEFAULT_FORMAT": "json",
}
DRF_STANDARDIZED_ERRORS = {"EXCEPTION_HANDLER_CLASS": "config.errors.ExceptionHandler"}
REST_KNOX = {
    "AUTH_HEADER_PREFIX": "Token",
    "TOKEN_TTL": timedelta(hours=env.int("TOKEN_HOURS", default=24 * 30)),
    "AUTO_REFRESH": False,
}
# Seconds for which a process trusts a token it has checked; a revoked one may live on that long elsewhere.
TOKEN_CACHE_S = env.float("TOKEN_CACHE_S", default=5.0)
SPECTACULAR_SETTINGS = {
    "TITLE": "Bourse",
    "DESCRIPTION": "A self-hosted stock market.",
    "VERSION": "1",
    "SERVE_INCLUDE_SCHEMA": False,
    "SERVE_PERMISSIONS": ["rest_framework.permissions.AllowAny"],
    "SWAGGER_UI_DIST": "SIDECAR",
    "SWAGGER_UI_FAVICON_HREF": "SIDECAR",
    "REDOC_DIST": "SIDECAR",
    "ENUM_NAME_OVERRIDES": {
        "OrderStatus": "trade.models.Order.Status",
        "OrderType": "trade.models.Order.Type",
        "PlacedOrderType": "trade.apis.inputs.PLACED_TYPES",
        "FillType": "trade.apis.schemas.FILL_TYPES",
        "StockStatus": "stocks.models.Stock.Status",
    },
}

# --- Streams and caches ---------------------------------------------------------------------------

REDIS_URL = env.str("REDIS_URL", default="")
if REDIS_URL:
    CHANNEL_LAYERS = {
        "default": {
            "BACKEND": "channels_redis.pubsub.RedisPubSubChannelLayer",
            "CONFIG": {"hosts": [REDIS_URL]},
        }
    }
    CACHES = {"default": {"BACKEND": "django.core.cache.backends.redis.RedisCache", "LOCATION": REDIS_URL}}
else:
    CHANNEL_LAYERS = {"default": {"BACKEND": "channels.layers.InMemoryChannelLayer"}}
    CACHES = {"default": {"BACKEND": "django.core.cache.backends.locmem.LocMemCache"}}
# What one visitor may ask of the streams of one web process: connections open at a time, of one user and of one
# address that gives no token or session; stocks named on one connection; characters of a message; messages a
# second, elsewhere and where orders are entered.
STREAM_USER_CONNECTIONS = env.int("STREAM_USER_CONNECTIONS", default=50)
STREAM_ADDRESS_CONNECTIONS = env.int("STREAM_ADDRESS_CONNECTIONS", default=500)
STREAM_STOCKS = env.int("STREAM_STOCKS", default=200)
STREAM_MESSAGE_LENGTH = env.int("STREAM_MESSAGE_LENGTH", default=16_384)
STREAM_MESSAGE_RATE = env.float("STREAM_MESSAGE_RATE", default=50.0)
STREAM_ORDER_RATE = env.float("STREAM_ORDER_RATE", default=1_000.0)
METRICS_PUBLIC = env.bool("METRICS_PUBLIC", default=False)

# --- The rest -------------------------------------------------------------------------------------

LANGUAGE_CODE = "en"
TIME_ZONE = "UTC"
USE_TZ = True
STATIC_URL = "/static/"
# Static files are served from where they are, in the demo as behind gunicorn: nothing collects them, so
# there is no STATIC_ROOT.
WHITENOISE_USE_FINDERS = True
DATA_UPLOAD_MAX_MEMORY_SIZE = 2_621_440

LOGGING = {
    "version": 1,
    "disable_existing_loggers": False,
    "formatters": {"line": {"format": "{asctime} {levelname} {name}: {message}", "style": "{"}},
    "handlers": {"console": {"class": "logging.StreamHandler", "formatter": "line"}},
    "root": {"handlers": ["console"], "level": env.str("LOG_LEVEL", default="INFO")},
    "loggers": {
        "daphne": {"level": "WARNING"},
        "django.channels": {"level": "WARNING"},
        # A client's mistake (4xx) is the client's to read.
        "django.request": {"level": "ERROR"},
    },
}
