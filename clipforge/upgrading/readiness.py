"""Whether settings, servers, this machine and those who work now are ready for this release."""

from __future__ import annotations

import difflib
import os
import platform
import shutil
from collections.abc import Iterator
from enum import StrEnum
from typing import Any, NamedTuple

from django.conf import settings
from django.core import checks
from django.db import connection

from clipforge import environment
from clipforge.common.cache.backend import default_cache
from clipforge.common.cache.redis import RedisError
from clipforge.media import isolation

# What the tests run with. Another one may do, but nobody has seen it.
TESTED_POSTGRESQL = 18
# A migration waits for its lock this long, and for transactions that are older. Seconds.
LONG_TRANSACTION = 5
# Read by gunicorn.conf.py, by programs beside Django and by compose, not through the settings.
ELSEWHERE = frozenset(
    {
        *("WEB_BIND", "WEB_PROCESSES", "WEB_THREADS", "WEB_PATIENCE_SECONDS", "WEB_WAITING"),
        *("WEB_WAITING_PER_ORGANIZATION", "FORWARDED_ALLOW_IPS", "STATIC_ROOT", "SPEECH_MODEL"),
        *("FACE_MODEL", "DATABASE_URL", "REDIS_URL", "DATABASE_POOLER_URL", "IMAGEIO_FFMPEG_EXE"),
        *("BACKUP_FOLDER", "TLS_FOLDER", "POSTGRES_PASSWORD", "REDIS_PASSWORD", "POOL_SIZE"),
    }
)
# As alike as STORAGE_ULR and STORAGE_URL.
ALIKE = 0.85


class Severity(StrEnum):
    STOP = "stop"
    LOOK = "look"


class Finding(NamedTuple):
    severity: Severity
    about: str
    says: str


class Client(NamedTuple):
    """Connections of web, workers and commands of one release."""

    release: str
    connections: int


def stop(about: str, says: str) -> Finding:
    return Finding(Severity.STOP, about, says)


def look(about: str, says: str) -> Finding:
    return Finding(Severity.LOOK, about, says)


def versions() -> dict[str, str]:
    return {
        "release": settings.RELEASE,
        "python": platform.python_version(),
        "postgresql": _postgresql(),
        "redis": str(_redis().get("redis_version", "unreachable")),
    }


def clients() -> list[Client]:
    """Those that are connected to the database now; one that is idle for a minute may not be."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT application_name, COUNT(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name LIKE 'clipforge%%'"
            " AND pid <> pg_backend_pid() GROUP BY 1 ORDER BY 1"
        )
        return [
            Client(name.removeprefix("clipforge").strip() or "unknown", count)
            for name, count in cursor.fetchall()
        ]


def others(found: list[Client]) -> list[Client]:
    """Those of another release than this one; all, where this one has no name."""
    return [each for each in found if each.release != settings.RELEASE or is_nameless()]


def is_nameless() -> bool:
    return bool(settings.RELEASE == "unknown")


def findings(*, pending: bool) -> list[Finding]:
    """Raises django.db.Error without a database."""
    return [*_settings(), *_servers(pending=pending), *_machine(), *_database()]


def _settings() -> Iterator[Finding]:
    if not settings.EMBEDDED:
        for message in checks.run_checks(include_deployment_checks=True):
            if message.level >= checks.WARNING and not message.is_silenced():
                is_error = message.level >= checks.ERROR
                yield (stop if is_error else look)(f"check {message.id}", message.msg)
    known = environment.asked | ELSEWHERE
    for name in sorted(set(os.environ) - known):
        meant = difflib.get_close_matches(name, known, n=1, cutoff=ALIKE)
        if meant and name.isupper():
            yield look(name, f"nothing reads it; {meant[0]} may be meant")
    for name in ("SECRET_KEY_FALLBACKS", "API_KEY_PEPPER_FALLBACKS"):
        if earlier := len(getattr(settings, name)):
            yield look(name, f"{earlier} earlier value still good: take it out two weeks after")
    if not settings.ALARM_EMAILS and not settings.ALARM_WEBHOOK_URL:
        yield look(
            "ALARM_EMAILS, ALARM_WEBHOOK_URL", "nobody is told when something needs a person"
        )
    if settings.ALARM_EMAILS and not settings.EMAIL_HOST:
        yield look("EMAIL_HOST", "mail, alarms too, is written to the log and sent nowhere")
    if is_nameless():
        yield look("CLIPFORGE_VERSION", "not set: releases cannot be told from each other")


def _servers(*, pending: bool) -> Iterator[Finding]:
    major = _postgresql().partition(".")[0]
    if major != str(TESTED_POSTGRESQL):
        yield look("PostgreSQL", f"{major}; the tests run with {TESTED_POSTGRESQL}")
    if pending and settings.DATABASE_POOLER:
        yield stop("DATABASE_POOLER", "migrations set what holds for a session: go past the pooler")
    redis = _redis()
    if not redis:
        yield look("Redis", "does not answer: the service works without it, and slower")
    elif (policy := redis.get("maxmemory_policy", "noeviction")) != "noeviction":
        yield look("Redis", f"maxmemory-policy is {policy}: it forgets limits; set noeviction")


def _machine() -> Iterator[Finding]:
    try:
        usage = shutil.disk_usage(settings.MEDIA_ROOT)
    except OSError as error:
        yield look("MEDIA_ROOT", f"{settings.MEDIA_ROOT} cannot be read here: {error.strerror}")
    else:
        if usage.free * 100 < usage.total * settings.DISK_WARNING_PERCENT:
            yield look("MEDIA_ROOT", f"only {usage.free / usage.total:.0%} of its disk are free")
    for what in isolation.missing():
        yield look("kernel", f"cannot keep decoders from {what}")


def _database() -> Iterator[Finding]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT pid, application_name, extract(epoch FROM clock_timestamp() - xact_start)::int"
            " FROM pg_stat_activity WHERE datname = current_database() AND pid <> pg_backend_pid()"
            " AND xact_start < clock_timestamp() - make_interval(secs => %s)",
            [LONG_TRANSACTION],
        )
        for pid, name, seconds in cursor.fetchall():
            yield look(
                "transaction",
                f"process {pid} ({name or 'no name'}) has had one open for {seconds} s: a migration waits for it",
            )
        cursor.execute(
            "SELECT indexrelid::regclass::text FROM pg_index WHERE NOT indisvalid"
            " UNION SELECT conrelid::regclass || '.' || conname FROM pg_constraint WHERE NOT convalidated"
        )
        for (name,) in cursor.fetchall():
            yield look(name, "half made by a migration that was interrupted: run it again")


def _postgresql() -> str:
    number = connection.pg_version  # type: ignore[attr-defined]
    return f"{number // 10000}.{number % 10000}"


def _redis() -> dict[str, Any]:
    """The report of the server on itself; nothing, where it does not answer."""
    try:
        found: dict[str, Any] = default_cache().redis.info()
    except RedisError:
        return {}
    return found
