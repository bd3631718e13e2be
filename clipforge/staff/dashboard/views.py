"""What is going on, for the page that staff look at first.

A few statements whatever the tables hold: counts are capped, the oldest come out of an index. What
cannot be asked just now is left out and said so; asking costs no more than the timeouts of Redis.
"""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, NamedTuple, TypeVar

from django.db import DatabaseError, connection
from django.db.models import QuerySet
from django.db.models.functions import Now
from django.urls import reverse
from django.utils import timezone

from billing.models import Alert, AlertStatus, EventStatus, StripeEvent
from clipforge.common.cache.backend import default_cache
from clipforge.common.cache.log import families_of
from clipforge.common.cache.metrics import HOUR, metrics
from clipforge.common.cache.redis import RedisError
from clipforge.common.query_times import percentile
from clipforge.jobs import queue
from clipforge.jobs import selectors as job_selectors
from clipforge.jobs.models import FAILED, QUEUED
from clipforge.orgs.models import Tier
from clipforge.staff.approvals.services import REQUEST_LIFE
from clipforge.staff.capped_counts import Count, capped_counts
from clipforge.staff.models import MoneyRequest, RequestStatus
from clipforge.staff.work import selectors as work_selectors
from credits.models import LedgerCheck

T = TypeVar("T")

DAY = datetime.timedelta(hours=24)
# Older is no proof any more: the queue checks every hour.
CHECK_IS_STALE = datetime.timedelta(hours=3)
# A minute has them all; what still waits after five is waiting for something.
ALERT_WAITS = datetime.timedelta(minutes=5)
# Work that waits for longer is late.
LATE, VERY_LATE = datetime.timedelta(minutes=10), work_selectors.WAITS_LONG
# Of the connections that PostgreSQL accepts; and how long a transaction keeps VACUUM from its work.
MANY_CONNECTIONS = 0.8
OLD_TRANSACTION = datetime.timedelta(minutes=5)


class Badge(NamedTuple):
    """A state: its colour, and the word beside it."""

    kind: str  # ok, busy, warn, bad, idle
    word: str


@dataclass(frozen=True)
class Line:
    """Something that waits for a person, and where it is looked at."""

    label: str
    count: Count
    url: str
    # Who may look there: whoever has one of these. Nothing: everybody who sees this page.
    permissions: tuple[str, ...] = ()

    @property
    def badge(self) -> Badge:
        return Badge("bad", "Waits") if self.count else Badge("ok", "None")


@dataclass(frozen=True)
class Work:
    """What becomes of one kind of work."""

    label: str
    queued: Count
    oldest: datetime.datetime | None
    running: Count
    lapsed: Count
    failed: Count
    url: str

    @property
    def badge(self) -> Badge:
        age = timezone.now() - self.oldest if self.oldest else datetime.timedelta()
        if age > VERY_LATE:
            return Badge("bad", "Very late")
        if age > LATE:
            return Badge("warn", "Late")
        return Badge("busy", "At work") if self.queued or self.running else Badge("idle", "Idle")


class Requests(NamedTuple):
    """Of one tier: answered and refused with 429, in the running hour and in a day."""

    tier: str
    passed: int
    limited: int
    passed_day: int
    limited_day: int


class Family(NamedTuple):
    """Of one kind of cache key. None: nobody asked."""

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
class Counted:
    """What all processes counted, the running hour and the last 24."""

    since: datetime.datetime
    requests: list[Requests]
    families: list[Family]
    statement_ms: float | None


@dataclass(frozen=True)
class Database:
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
class Redis:
    """`answers` None: it is down, or left alone by the breaker of this process."""

    breaker_open: bool
    answers: dict[str, Any] | None

    @property
    def badge(self) -> Badge:
        return Badge("ok", "Up") if self.answers else Badge("bad", "Not reachable")

    @property
    def breaker(self) -> str:
        return "open: left alone for a second" if self.breaker_open else "closed"


class Ledger(NamedTuple):
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
class Seen:
    """All of it; a part is None where it could not be asked."""

    at: datetime.datetime
    works: list[Work] | None
    waiting: list[Line] | None
    jobs: dict[str, Any] | None
    workers: queue.Workers | None
    counted: Counted | None
    ledger: Ledger | None
    database: Database | None
    redis: Redis


def look(*, may: Callable[[str], bool] = lambda _: True) -> Seen:
    """Ask everybody once. Never raises for a part that does not answer.

    Lines lead only where whoever looks `may` go.
    """
    numbers = _asked(_numbers)
    # First of the two that ask Redis: if it is down, this waits for it, and the other does not.
    redis = _redis()
    return Seen(
        at=timezone.now(),
        works=None if numbers is None else _works(numbers),
        waiting=None if numbers is None else [_for(line, may) for line in _waiting(numbers)],
        jobs=numbers,
        workers=_asked(queue.workers),
        counted=_asked(_counted),
        ledger=_asked(lambda: Ledger(LedgerCheck.objects.order_by("-pk").first())),
        database=_asked(_database),
        redis=redis,
    )


def _asked(ask: Callable[[], T]) -> T | None:
    try:
        return ask()
    except (DatabaseError, RedisError):
        return None


def _numbers() -> dict[str, Any]:
    """Everything that is counted, in one statement."""
    counts: dict[str, QuerySet[Any]] = {
        "jobs_waiting": queue.JOBS.objects.filter(status="todo"),
        "jobs_orphaned": queue.orphaned_jobs(),
        "jobs_failed": queue.failed_jobs(),
        "alerts_failed": Alert.objects.filter(status=AlertStatus.FAILED),
        "alerts_waiting": Alert.objects.filter(
            status=AlertStatus.PENDING, created_at__lt=Now() - ALERT_WAITS
        ),
        "movements": MoneyRequest.objects.filter(
            status=RequestStatus.PENDING, requested_at__gt=Now() - REQUEST_LIFE
        ),
        "events_failed": StripeEvent.objects.filter(status=EventStatus.FAILED),
    }
    firsts: dict[str, QuerySet[Any]] = {}
    for kind, model in work_selectors.MODELS.items():
        rows = model._default_manager
        queued = rows.filter(status=QUEUED)
        failed = rows.filter(status=FAILED)
        counts |= {
            f"{kind}_queued": queued,
            f"{kind}_running": rows.filter(status=model.RUNNING),
            f"{kind}_lapsed": job_selectors.lapsed_jobs(model),
            f"{kind}_failed": failed.filter(finished_at__gt=Now() - DAY),
            f"{kind}_dead": failed.filter(error_code=work_selectors.DEAD_CODE),
        }
        firsts[f"{kind}_oldest"] = queued.order_by("queued_at").values("queued_at")
    return capped_counts(counts, firsts)


def _works(numbers: dict[str, Any]) -> list[Work]:
    return [
        Work(
            label={"project": "Analyses", "export": "Renders"}[kind],
            queued=numbers[f"{kind}_queued"],
            oldest=numbers[f"{kind}_oldest"],
            running=numbers[f"{kind}_running"],
            lapsed=numbers[f"{kind}_lapsed"],
            failed=numbers[f"{kind}_failed"],
            url=f"{reverse('admin:rescue')}?kind={kind}",
        )
        for kind in work_selectors.MODELS
    ]


def _waiting(numbers: dict[str, Any]) -> list[Line]:
    """What nobody but a person will take further."""
    dead, alerts = (
        reverse("admin:rescue") + "?state=dead",
        reverse("admin:billing_alert_changelist"),
    )
    events = reverse("admin:billing_stripeevent_changelist")
    return [
        Line("Dead letters: analyses", numbers["project_dead"], f"{dead}&kind=project"),
        Line("Dead letters: renders", numbers["export_dead"], f"{dead}&kind=export"),
        Line("Dead letters: queue jobs", numbers["jobs_failed"], f"{dead}&kind=job"),
        Line(
            "Credits that await a second person",
            numbers["movements"],
            reverse("admin:movements"),
            ("staff.grant_credits", "staff.adjust_credits", "staff.confirm_credits"),
        ),
        Line(
            "Alerts that could not be sent",
            numbers["alerts_failed"],
            f"{alerts}?status__exact=FAILED",
        ),
        Line("Alerts not sent yet", numbers["alerts_waiting"], f"{alerts}?status__exact=PENDING"),
        Line(
            "Stripe events that failed", numbers["events_failed"], f"{events}?status__exact=FAILED"
        ),
    ]


def _for(line: Line, may: Callable[[str], bool]) -> Line:
    opens = not line.permissions or any(may(permission) for permission in line.permissions)
    return line if opens else replace(line, url="")


def _counted() -> Counted:
    hour, day = metrics.totals(hours=1), metrics.totals(hours=24)
    now = timezone.now()
    return Counted(
        since=datetime.datetime.fromtimestamp(now.timestamp() // HOUR * HOUR, datetime.UTC),
        requests=[_requests(tier, hour, day) for tier in Tier.values],
        families=_families(hour, day),
        statement_ms=percentile(day, 95),
    )


def _requests(tier: str, hour: Counter[str], day: Counter[str]) -> Requests:
    names = [f"requests|{tier}|{outcome}" for outcome in ("passed", "limited")]
    return Requests(
        str(Tier(tier).label), *(counted[name] for counted in (hour, day) for name in names)
    )


def _families(hour: Counter[str], day: Counter[str]) -> list[Family]:
    now = families_of(hour)
    return [
        Family(name, now.get(name, {}).get("hit_rate"), found["hit_rate"], found["errors"])
        for name, found in families_of(day).items()
    ]


def _percent(share: float | None) -> str:
    return "" if share is None else f"{share:.1%}"


def _database() -> Database:
    """The server that we are connected to, as far as our role may see it."""
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
        return Database(*cursor.fetchone())


def _redis() -> Redis:
    client = default_cache().redis
    answers = _asked(client.info)
    return Redis(client.connection_pool.breaker.is_open, answers)
