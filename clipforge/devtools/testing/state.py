"""Snapshots of everything stored, to prove that a refusal stored nothing."""

from __future__ import annotations

import datetime
import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple, cast

from django.apps import apps
from django.conf import settings
from django.core.cache import caches
from django.db import connection
from django.utils import timezone

from clipforge.common.cache.backend import Cache, default_cache
from clipforge.common.cache.counters import local_counters
from clipforge.common.cache.metrics import metrics
from clipforge.common.cache.redis import COOL_DOWN_SECONDS, Breaker
from clipforge.common.cache.versioned_cache import BORN_KEY, forget_pending
from clipforge.devtools.testing.redis_server import PATIENCE
from clipforge.orgs.refusal_log import refusal_log
from clipforge.orgs.refused import refusals
from clipforge.orgs.windows import local_windows

if TYPE_CHECKING:
    from clipforge.jobs.models import Job
    from clipforge.orgs.models import Organization

# The apps whose every row counts, and the single models besides.
WATCHED_APPS = ("credits", "events", "projects", "exports", "billing")
WATCHED_MODELS = ("orgs.IdempotencyRecord", "procrastinate.ProcrastinateJob")

# A life of links whose half, the time that one stays the same, ends in 2033 next.
STEADY_LINK_SECONDS = 1_000_000_000
# How long the tests' database may take to accept a connection, and to give a lock, and how long a test
# may think between two statements of its transaction. Seconds.
DATABASE_PATIENCE = 120
THINKING_PATIENCE = 600


def let_the_database_take_long() -> None:
    """For every connection that this process makes from now on."""
    options = connection.settings_dict["OPTIONS"]
    options["connect_timeout"] = DATABASE_PATIENCE
    # Of two, the last one wins.
    options["options"] += (
        f" -c lock_timeout={DATABASE_PATIENCE}s"
        f" -c idle_in_transaction_session_timeout={THINKING_PATIENCE}s"
    )


def forget_everything() -> None:
    """Empty Redis, and what this process remembers of it and counts instead of it."""
    be_patient()
    breaker = default_cache().redis.connection_pool.breaker
    breaker._cool_down = COOL_DOWN_SECONDS
    breaker.succeeded()
    default_cache().redis.flushdb()
    default_cache().redis.set(BORN_KEY, 0)  # long ago: it may store at once
    forget_pending()
    local_counters.clear()
    local_windows.clear()
    metrics.forget()
    refusals.forget()
    refusal_log.forget()
    # No request adds them because some seconds have passed.
    metrics._flushed_at = refusals._flushed_at = refusal_log._flushed_at = math.inf


def be_patient(name: str = "default") -> None:
    """With the Redis of this cache, which may be one of the test's own, for as long as that is well."""
    cache = cast("Cache", caches[name])
    for client in (cache.redis, cache.bypass_breaker):
        client.connection_pool.connection_kwargs |= PATIENCE


@contextmanager
def lives_for(key: str, *, least: float, most: float) -> Iterator[None]:
    """Assert that what the block stores is kept for so many seconds, however long the block takes."""
    redis = default_cache().redis
    began = _seconds(redis.time())
    yield
    pipeline: Any = redis.pipeline()
    now, left = pipeline.time().pttl(key).execute()
    rounding = 0.01
    assert began + least - rounding <= _seconds(now) + left / 1000
    assert left / 1000 <= most + rounding


def _seconds(time: tuple[int, int]) -> float:
    """Of Redis's clock."""
    return time[0] + time[1] / 1_000_000


def lasting_breaker() -> Breaker:
    """The one before the cache. Once open it stays so until the end of the test, however long that takes."""
    breaker = default_cache().redis.connection_pool.breaker
    breaker._cool_down = 600
    return breaker


class Funds(NamedTuple):
    """Credits of an organization, straight from the account."""

    available: int
    held: int


def funds(org: Organization) -> Funds:
    from credits.selectors import balance

    found = balance(org)
    return Funds(found.available, found.held)


@contextmanager
def announced_versions() -> Iterator[list[int]]:
    """The versions of accounts that are announced meanwhile: a balance from before one is not cached any more."""
    from credits.events import credits_changed

    versions: list[int] = []

    def listen(*, version: int, **_: object) -> None:
        versions.append(version)

    credits_changed.connect(listen)
    try:
        yield versions
    finally:
        credits_changed.disconnect(listen)


def jobs_of(item: Job) -> list[int]:
    """The fences that the queue has jobs for, oldest first."""
    job_model: Any = apps.get_model("procrastinate.ProcrastinateJob")
    jobs = job_model.objects.filter(**{f"args__{item.REFERENCE_TYPE}_id": str(item.pk)})
    return [job.args["fence"] for job in jobs.order_by("id")]


def stored_files() -> list[Path]:
    """Every file under MEDIA_ROOT, unfinished ones included, relative to it."""
    root = Path(settings.MEDIA_ROOT)
    return sorted(path.relative_to(root) for path in root.rglob("*") if path.is_file())


@contextmanager
def nothing_changes() -> Iterator[None]:
    """Assert that the block leaves every row, job and file as it was."""
    before = _everything()
    yield
    after = _everything()
    for name, rows in before.items():
        assert after[name] == rows, f"{name} changed"


def lapse_lease(item: Job) -> None:
    """Let the worker's lease have ended a second ago."""
    ended = timezone.now() - datetime.timedelta(seconds=1)
    assert type(item)._default_manager.filter(pk=item.pk).update(lease_expires_at=ended) == 1


def _everything() -> dict[str, list[Any]]:
    models: list[Any] = [apps.get_model(name) for name in WATCHED_MODELS]
    for label in WATCHED_APPS:
        models += apps.get_app_config(label).get_models()
    rows = {model._meta.label: list(model.objects.order_by("pk").values()) for model in models}
    return {**rows, "files": stored_files()}


# When a key was used is written at most once an hour, whatever the key is used for.
NOT_COUNTED = "last_used_at"


def fingerprint(org: Organization | None = None) -> dict[str, str]:
    """A hash of the rows of every table there is, or of those rows that belong to `org`."""
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT table_name, array_agg(column_name::text) FROM information_schema.columns"
            " WHERE table_schema = 'public' GROUP BY table_name"
        )
        hashes = [
            _hash_of(table, owner, org)
            for table, columns in cursor.fetchall()
            if (owner := {"org_id", "organization_id"} & set(columns)) or org is None
        ]
        cursor.execute(" UNION ALL ".join(hashes))
        return dict(cursor.fetchall())


def _hash_of(table: str, owner: set[str], org: Organization | None) -> str:
    where = f"WHERE {owner.pop()} = '{org.pk}'" if org is not None else ""
    rows = f"SELECT (to_jsonb(t) - '{NOT_COUNTED}')::text AS r FROM \"{table}\" AS t {where}"  # noqa: S608 - names from the catalogue
    return f"SELECT '{table}', md5(string_agg(r, chr(10) ORDER BY r)) FROM ({rows}) AS rows"  # noqa: S608
