"""A snapshot of the whole service: jobs, ledger, requests, cache, database and Redis.

A few statements whatever the tables hold: counts are capped, and the oldest rows come out of an
index. A part that does not answer is None; asking costs no more than the timeouts of Redis.
"""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, NamedTuple, TypeVar

from django.db import DatabaseError, connection
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.utils import timezone

from billing import selectors as billing_selectors
from clipforge.common.cache.backend import default_cache
from clipforge.common.cache.log import families_of
from clipforge.common.cache.metrics import HOUR, metrics
from clipforge.common.cache.redis import RedisError
from clipforge.common.query_times import percentile
from clipforge.jobs import queue
from clipforge.jobs import selectors as job_selectors
from clipforge.jobs.kinds import all_kinds
from clipforge.orgs.models import Tier
from clipforge.staff.approvals import selectors as approval_selectors
from clipforge.staff.capped_counts import Count, capped_counts
from clipforge.staff.work import selectors as work_selectors
from credits import selectors as credit_selectors
from credits.models import LedgerCheck

T = TypeVar("T")

DAY = datetime.timedelta(hours=24)
# An older check proves nothing: the queue checks the ledger every hour.
CHECK_IS_STALE = datetime.timedelta(hours=3)
# A minute sends all alerts; one that is unsent after five is held up by something.
ALERT_IS_LATE = datetime.timedelta(minutes=5)
# How long the oldest queued job may wait.
LATE, VERY_LATE = datetime.timedelta(minutes=10), work_selectors.WAITS_LONG
# Of the connections that PostgreSQL accepts; and how long a transaction keeps VACUUM from its work.
MANY_CONNECTIONS = 0.8
OLD_TRANSACTION = datetime.timedelta(minutes=5)


class Badge(NamedTuple):
    """A state: its colour, and the word beside it."""

    kind: str  # ok, busy, warn, bad, idle
    word: str


@dataclass(frozen=True)
class JobCounts:
    """The jobs of one kind, by state."""

    kind: str
    label: str
    queued: Count
    oldest: datetime.datetime | None  # queued at
    running: Count
    lapsed: Count
    failed: Count  # in the last 24 hours
    dead: Count

    @property
    def badge(self) -> Badge:
        age = timezone.now() - self.oldest if self.oldest else datetime.timedelta()
        if age > VERY_LATE:
            return Badge("bad", "Very late")
        if age > LATE:
            return Badge("warn", "Late")
        return Badge("busy", "At work") if self.queued or self.running else Badge("idle", "Idle")


@dataclass(frozen=True)
class Counts:
    """Everything that is counted, read by one statement."""

    jobs: list[JobCounts]
    queue_waiting: Count
    queue_orphaned: Count
    queue_failed: Count
    alerts_failed: Count
    alerts_late: Count
    approvals: Count
    events_failed: Count


class TierRequests(NamedTuple):
    """Requests of one tier: answered, and refused with 429, in the running hour and in 24 hours."""

    tier: str
    passed: int
    limited: int
    passed_day: int
    limited_day: int


class KeyFamily(NamedTuple):
    """The hit rates of one family of cache keys. None: no key of it was read."""

    name: str
    hit_rate: float | None
    hit_rate_day: float | None
    errors_day: int

    @property
    def percent(self) -> str:
        return _percent(self.hit_rate)

    @property
    def percent_day(self) -> str:
        return _percent(self.hit_rate_day)


@dataclass(frozen=True)
class Usage:
    """The counters of all processes, of the running hour and of the last 24."""

    since: datetime.datetime
    requests: list[TierRequests]
    families: list[KeyFamily]
    statement_ms: float | None


@dataclass(frozen=True)
class DatabaseState:
    connections: int
    most_connections: int
    oldest_transaction: datetime.timedelta | None
    waiting_for_locks: int
    size: int  # bytes

    @property
    def badge(self) -> Badge:
        if self.connections >= MANY_CONNECTIONS * self.most_connections:
            return Badge("bad", "Few connections left")
        if self.oldest_transaction and self.oldest_transaction > OLD_TRANSACTION:
            return Badge("warn", "Old transaction")
        return Badge("ok", "Up")


@dataclass(frozen=True)
class RedisState:
    """`info` is None when Redis is down, or when the breaker of this process is open."""

    breaker_open: bool
    info: dict[str, Any] | None

    @property
    def badge(self) -> Badge:
        return Badge("ok", "Up") if self.info else Badge("bad", "Not reachable")

    @property
    def breaker(self) -> str:
        return "left alone for a second: it failed" if self.breaker_open else "asked"


class LedgerState(NamedTuple):
    check: LedgerCheck | None

    @property
    def badge(self) -> Badge:
        if self.check is None:
            return Badge("bad", "Never checked")
        if self.check.breaches:
            return Badge("bad", "Does not add up")
        if timezone.now() - self.check.checked_at > CHECK_IS_STALE:
            return Badge("warn", "Stale")
        return Badge("warn", "Given up") if self.check.breaches is None else Badge("ok", "Adds up")


@dataclass(frozen=True)
class Snapshot:
    """Every part of the dashboard; a part that did not answer is None."""

    at: datetime.datetime
    counts: Counts | None
    workers: queue.Workers | None
    usage: Usage | None
    ledger: LedgerState | None
    database: DatabaseState | None
    redis: RedisState


def collect() -> Snapshot:
    """Read each part once. Never raises for a part that does not answer."""
    counts = _answer(_counts)
    # First of the two that ask Redis: if it is down, this waits for it, and the other does not.
    redis = _redis()
    return Snapshot(
        at=timezone.now(),
        counts=counts,
        workers=_answer(queue.workers),
        usage=_answer(_usage),
        ledger=_answer(lambda: LedgerState(credit_selectors.latest_ledger_check())),
        database=_answer(_database),
        redis=redis,
    )


def _answer(ask: Callable[[], T]) -> T | None:
    try:
        return ask()
    except (DatabaseError, RedisError):
        return None


def _counts() -> Counts:
    counts: dict[str, QuerySet[Any]] = {
        "queue_waiting": queue.waiting_entries(),
        "queue_orphaned": queue.orphaned_entries(),
        "queue_failed": queue.failed_entries(),
        "alerts_failed": billing_selectors.failed_alerts(),
        "alerts_late": billing_selectors.unsent_alerts(created_before=Now() - ALERT_IS_LATE),
        "approvals": approval_selectors.open_requests(),
        "events_failed": billing_selectors.failed_events(),
    }
    singles = [*counts]
    firsts: dict[str, QuerySet[Any]] = {}
    for kind in all_kinds():
        name, model = kind.name, kind.model
        queued, failed = job_selectors.queued_jobs(model), job_selectors.failed_jobs(model)
        counts |= {
            f"{name}_queued": queued,
            f"{name}_running": job_selectors.running_jobs(model),
            f"{name}_lapsed": job_selectors.lapsed_jobs(model),
            f"{name}_failed": failed.filter(finished_at__gt=Now() - DAY),
            f"{name}_dead": failed.filter(error_code=work_selectors.DEAD_CODE),
        }
        firsts[f"{name}_oldest"] = queued.values("queued_at")
    found = capped_counts(counts, firsts)
    names = ("queued", "oldest", "running", "lapsed", "failed", "dead")
    jobs = [
        JobCounts(
            kind=kind.name,
            label=kind.staff.title,
            **{name: found[f"{kind.name}_{name}"] for name in names},
        )
        for kind in all_kinds()
    ]
    return Counts(jobs=jobs, **{name: found[name] for name in singles})


def _usage() -> Usage:
    hour, day = metrics.totals(hours=1), metrics.totals(hours=24)
    now = timezone.now()
    return Usage(
        since=datetime.datetime.fromtimestamp(now.timestamp() // HOUR * HOUR, datetime.UTC),
        requests=[_requests(tier, hour, day) for tier in Tier.values],
        families=_families(hour, day),
        statement_ms=percentile(day, 95),
    )


def _requests(tier: str, hour: Counter[str], day: Counter[str]) -> TierRequests:
    names = [f"requests|{tier}|{outcome}" for outcome in ("passed", "limited")]
    return TierRequests(
        str(Tier(tier).label), *(counted[name] for counted in (hour, day) for name in names)
    )


def _families(hour: Counter[str], day: Counter[str]) -> list[KeyFamily]:
    now = families_of(hour)
    return [
        KeyFamily(name, now.get(name, {}).get("hit_rate"), found["hit_rate"], found["errors"])
        for name, found in families_of(day).items()
    ]


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


def _database() -> DatabaseState:
    """The state of our PostgreSQL server, as far as our role may see it."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            SELECT COUNT(*),
                   current_setting('max_connections')::int
                   - current_setting('superuser_reserved_connections')::int,
                   MAX(clock_timestamp() - xact_start) FILTER (WHERE pid <> pg_backend_pid()),
                   COUNT(*) FILTER (WHERE wait_event_type = 'Lock'),
                   pg_database_size(current_database())
              FROM pg_stat_activity
             WHERE backend_type = 'client backend'
            """
        )
        return DatabaseState(*cursor.fetchone())


def _redis() -> RedisState:
    client = default_cache().redis
    info = _answer(client.info)
    return RedisState(client.connection_pool.breaker.is_open, info)
