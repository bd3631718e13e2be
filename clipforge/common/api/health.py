"""Whether this process can do its work, for load balancers and people. Never limited, never cached.

Redis is a soft dependency: without it answers come slower, so it is reported and the
answer stays 200. Without the database nothing works: 503.
"""

from __future__ import annotations

import shutil
from typing import Any

from django.conf import settings
from django.db import Error, connection
from django.http import HttpRequest, JsonResponse
from django.views.decorators.cache import never_cache

from clipforge.common.api.problems import safe_only
from clipforge.common.cache.backend import default_cache
from clipforge.common.cache.redis import RedisError
from clipforge.common.pending_migrations import pending_migrations


@safe_only
@never_cache
def live(request: HttpRequest) -> JsonResponse:
    """The process is up. Depends on nothing: a restart would not cure a missing database."""
    return JsonResponse({"status": "ok"})


@safe_only
@never_cache
def ready(request: HttpRequest) -> JsonResponse:
    """The process can serve: the database answers and its migrations are applied."""
    checks = {
        "database": _database(),
        "migrations": _migrations(),
        "cache": _cache(),
        "disk": _disk(),
    }
    down = checks["database"] != "ok" or checks["migrations"] != "ok"
    degraded = not down and any(result != "ok" for result in checks.values())
    status = "down" if down else "degraded" if degraded else "ok"
    return JsonResponse(
        {"status": status, "checks": checks},
        status=503 if down else 200,
        headers={"Retry-After": "5"} if down else {},
    )


def _database() -> str:
    try:
        with connection.cursor() as cursor:
            cursor.execute("SELECT 1")
    except Error:
        return "unreachable"
    return "ok"


def _migrations() -> str:
    # Once everything was applied it stays so for the life of this process: asking again, on every
    # probe, would load the whole migration graph.
    if _state.get("migrated"):
        return "ok"
    try:
        missing = pending_migrations()
    except Error:
        return "unreachable"
    _state["migrated"] = not missing
    return "ok" if not missing else "not applied: run manage.py migrate"


_state: dict[str, Any] = {}


def _cache() -> str:
    try:
        default_cache().redis.ping()
    except RedisError:
        return "unreachable"
    return "ok"


def _disk() -> str:
    try:
        settings.MEDIA_ROOT.mkdir(parents=True, exist_ok=True)
        usage = shutil.disk_usage(settings.MEDIA_ROOT)
    except OSError:
        return "unreachable"
    enough = usage.free * 100 >= usage.total * settings.DISK_WARNING_PERCENT
    return "ok" if enough else "nearly full"
