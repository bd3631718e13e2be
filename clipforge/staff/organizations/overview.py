"""The figures of an organization for staff, in three statements however much it has done."""

from __future__ import annotations

import datetime
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Any, NamedTuple

from django.db.models import (
    BigIntegerField,
    Count,
    F,
    OuterRef,
    QuerySet,
    Subquery,
    Sum,
    TextField,
    Value,
)
from django.db.models.functions import Cast, Coalesce, JSONObject, TruncDate
from django.utils import timezone
from django.utils.dateparse import parse_datetime

from billing import selectors as billing_selectors
from clipforge.common.cache.backend import default_cache
from clipforge.common.cache.redis import RedisError
from clipforge.jobs import selectors as job_selectors
from clipforge.jobs.kinds import JobKind, all_kinds
from clipforge.jobs.models import FAILED, QUEUED
from clipforge.orgs import selectors as org_selectors
from clipforge.orgs import windows
from clipforge.orgs.models import Organization, Role
from clipforge.staff.organizations import caching
from clipforge.staff.organizations.job_texts import sources_of
from clipforge.staff.organizations.notes import notes_of
from credits import selectors as credit_selectors
from credits.models import TransactionType

DAYS = 30
# Of each list on the page of an organization.
NEWEST = 10
# The types of transaction that the days add up. By name: those are ranges of one index, amounts and all.
SUMMED = [TransactionType.SPEND, TransactionType.GRANT, TransactionType.PURCHASE]
# The status of an answer to a request over a limit a minute.
THROTTLED = 429
# Longer than a transaction takes: until then a day may get rows that began before its end.
SETTLED = datetime.timedelta(hours=1)

LIMITS = (
    "requests_per_minute",
    "uploads_per_minute",
    "exports_per_minute",
    "concurrent_jobs",
    "queued_jobs",
    "max_source_seconds",
    "max_resolution",
    "watermark",
    "retention_days",
    "storage_bytes",
    "monthly_credits",
)


# --- facts -----------------------------------------------------------------------------


class Storage(NamedTuple):
    """Bytes by the label of the files, without pictures, as they were at a moment: staff see it with
    its time. What counts against the limit is `Facts.stored`.
    """

    sizes: dict[str, int]
    at: datetime.datetime


@dataclass(frozen=True)
class Facts:
    posted: int
    held: int
    debt: int
    open_holds: int
    limits: dict[str, int]  # of the tier, by the names of LIMITS
    requests: int | None  # in the last minute; None where Redis cannot say
    waiting: int
    running: int
    failed_day: int  # of the jobs of the last 24 hours, those that failed
    failed_month: int
    throttled_day: int  # requests over a limit a minute, in this hour and the 23 before
    refused_day: int  # those and the ones that were refused for other reasons
    stored: int  # bytes of all files, pictures among them, as of now
    storage: Storage
    owner: str
    people: int  # members
    plan: dict[str, Any] | None  # name, ends_at
    subscription: dict[str, Any] | None  # name, method, status, cancels

    @property
    def available(self) -> int:
        return self.posted - self.held


def facts(org: Organization, *, now: datetime.datetime | None = None) -> Facts:
    """One statement, each figure of which is a row or a short range of an index.

    The storage is the exception: it grows with what is stored, and so it is added up at most every
    `caching.STORAGE_SECONDS`.
    """
    now = now or timezone.now()
    asked, sizes = _figures(org, now), _sizes(org)
    kept = caching.storage(org.pk)
    # What an earlier release kept knew other files.
    if not isinstance(kept, dict) or kept["sizes"].keys() != sizes.keys():
        kept = None
        asked |= {f"size_{label}": size for label, size in sizes.items()}
    row: Any = org_selectors.all_organizations().filter(pk=org.pk).values(**asked).get()
    if kept is None:
        found = {label: row.pop(f"size_{label}") for label in sizes}
        kept = {"sizes": found, "at": now.isoformat()}
        caching.keep_storage(org.pk, kept)
    for name in ("waiting", "running", "failed_day", "failed_month"):
        row[name] = sum(row.pop(f"{name}_{kind.name}") for kind in all_kinds())
    for name, parsed in (("plan", "ends_at"), ("subscription", "period_end")):
        if row[name]:
            row[name][parsed] = parse_datetime(row[name][parsed])
    return Facts(
        **row,
        requests=_requests(org),
        storage=Storage(kept["sizes"], datetime.datetime.fromisoformat(kept["at"])),
    )


def _figures(org: Organization, now: datetime.datetime) -> dict[str, Any]:
    found: dict[str, Any] = {
        name: Coalesce(F(f"credit_account__{name}"), 0)
        for name in ("posted", "held", "debt", "open_holds")
    }
    owners = org_selectors.memberships(org).filter(role=Role.OWNER).order_by("id")
    periods = billing_selectors.plan_periods(org).filter(starts_at__lte=now, ends_at__gt=now)
    subscriptions = billing_selectors.subscriptions(org).order_by("-created_at")
    found |= {
        "limits": Subquery(
            org_selectors.all_tier_limits()
            .filter(tier=OuterRef("tier"))
            .values(row=JSONObject(**{name: name for name in LIMITS}))
        ),
        **_refusals(org, now),
        "stored": Coalesce(Subquery(org_selectors.storage_usage().values("bytes")), 0),
        "owner": Coalesce(Subquery(owners.values("user__email")[:1]), Value("")),
        "people": _number(org_selectors.memberships(org), Count("*"), "organization"),
        "plan": Subquery(
            periods.order_by("-ends_at").values(
                row=JSONObject(name="price__name", ends_at="ends_at")
            )[:1]
        ),
        "subscription": Subquery(
            subscriptions.values(
                row=JSONObject(
                    name="price__name",
                    method="method",
                    status="status",
                    cancels="cancel_at_period_end",
                    period_end="period_end",
                )
            )[:1]
        ),
    }
    for kind in all_kinds():
        name, model = kind.name, kind.model
        jobs = job_selectors.jobs_of(model, org)
        failed = jobs.filter(status=FAILED)
        found |= {
            f"waiting_{name}": _number(jobs.filter(status=QUEUED), Count("*")),
            f"running_{name}": _number(jobs.filter(status=model.RUNNING), Count("*")),
            # By when they were asked for, which is what there is an index for.
            f"failed_day_{name}": _number(
                failed.filter(created_at__gte=now - datetime.timedelta(days=1)), Count("*")
            ),
            f"failed_month_{name}": _number(
                failed.filter(created_at__gte=now - datetime.timedelta(days=DAYS)), Count("*")
            ),
        }
    return found


def _refusals(org: Organization, now: datetime.datetime) -> dict[str, Any]:
    first = now.replace(minute=0, second=0, microsecond=0) - datetime.timedelta(hours=23)
    refused = org_selectors.refused_requests(org).filter(hour__gte=first)
    return {
        "refused_day": _number(refused, Sum("count")),
        "throttled_day": _number(refused.filter(status=THROTTLED), Sum("count")),
    }


def _sizes(org: Organization) -> dict[str, Any]:
    """The sum of each sort of stored files, by its label."""
    sizes = {}
    for kind in all_kinds():
        if files := kind.files:
            stored = job_selectors.jobs_of(kind.model, org).filter(files.stored)
            sizes[files.label] = _number(stored, Sum(files.size))
    return sizes


def _number(rows: QuerySet[Any], of: Any, by: str = "org") -> Coalesce:
    found = rows.order_by().values(by).annotate(number=Cast(of, BigIntegerField()))
    return Coalesce(Subquery(found.values("number")), 0)


def _requests(org: Organization) -> int | None:
    try:
        return windows.used(default_cache().redis, org)["api"]
    except RedisError:
        return None


# --- the last days ---------------------------------------------------------------------


@dataclass
class Day:
    date: datetime.date
    spent: int = 0
    granted: int = 0  # and bought
    jobs: int = 0


def last_days(org: Organization, *, now: datetime.datetime | None = None) -> list[Day]:
    """The last DAYS days (UTC) with today, the oldest first: one statement.

    The days that are over are remembered, so that of a busy organization only today is read.
    """
    now = now or timezone.now()
    today = now.astimezone(datetime.UTC).date()
    open_from = _open_from(now)
    days = [Day(today - datetime.timedelta(days=back)) for back in reversed(range(DAYS))]
    by_date = {day.date: day for day in days}
    kept = caching.days(org.pk, open_from)
    for date, spent, granted, jobs in kept or ():
        by_date[datetime.date.fromisoformat(date)] = Day(
            datetime.date.fromisoformat(date), spent, granted, jobs
        )
    for what, date, total in _totals(org, open_from if kept else days[0].date):
        if date in by_date:  # the database's clock may be in tomorrow already
            _add(by_date[date], what, int(total))
    if not kept:
        closed = [day for day in by_date.values() if day.date < open_from]
        caching.keep_days(
            org.pk,
            open_from,
            [[day.date.isoformat(), day.spent, day.granted, day.jobs] for day in closed],
        )
    return [by_date[day.date] for day in days]


def forget(org: Organization) -> None:
    """Add everything up anew the next time."""
    caching.forget(org.pk, _open_from(timezone.now()))


def _open_from(now: datetime.datetime) -> datetime.date:
    """The first day that may still get rows."""
    return (now - SETTLED).astimezone(datetime.UTC).date()


def _add(day: Day, what: str, total: int) -> None:
    if what == TransactionType.SPEND:
        day.spent -= total
    elif what in {TransactionType.GRANT, TransactionType.PURCHASE}:
        day.granted += total
    elif what == "JOB":
        day.jobs += total


def _totals(org: Organization, first: datetime.date) -> Iterable[tuple[str, datetime.date, Any]]:
    """(type, day, sum) for each type of transaction, and the number of jobs that began on each day."""
    since = datetime.datetime.combine(first, datetime.time.min, datetime.UTC)

    def by_day(rows: QuerySet[Any], what: Any, of: Any) -> Any:
        recent = rows.filter(created_at__gte=since).order_by()
        named = recent.annotate(what=what, day=TruncDate("created_at", tzinfo=datetime.UTC))
        return named.values("what", "day").annotate(total=of).values_list("what", "day", "total")

    job, counted = Value("JOB", TextField()), Cast(Count("*"), BigIntegerField())
    amount = Cast(Sum("amount"), BigIntegerField())
    ledger = credit_selectors.transactions(org).filter(type__in=SUMMED)
    moved = by_day(ledger, Cast("type", TextField()), amount)
    begun = [by_day(job_selectors.jobs_of(kind.model, org), job, counted) for kind in all_kinds()]
    totals: Iterable[Any] = moved.union(*begun, all=True)
    return totals


# --- the newest of everything ----------------------------------------------------------


class Listed(NamedTuple):
    """A list of an organization's rows, and the columns that are shown of each."""

    rows: Callable[[Organization], QuerySet[Any]]
    shown: dict[str, Any]


NEWEST_FIRST = ("-created_at", "-id")

_LISTS = {
    "members": Listed(
        lambda org: org_selectors.memberships(org).order_by("-id"),
        {"user": "user__username", "role": "role"},
    ),
    "keys": Listed(
        lambda org: org_selectors.api_keys(org).order_by(*NEWEST_FIRST),
        {
            "name": "name",
            "prefix": "prefix",
            "used_at": "last_used_at",
            "expires_at": "expires_at",
            "revoked_at": "revoked_at",
        },
    ),
    "notes": Listed(
        notes_of, {"text": "text", "is_pinned": "is_pinned", "author": "author__username"}
    ),
    "ledger": Listed(
        lambda org: credit_selectors.transactions(org).order_by(*NEWEST_FIRST),
        {"type": "type", "amount": "amount", "balance": "balance_after", "reason": "reason"},
    ),
    "payments": Listed(
        lambda org: billing_selectors.payments(org).order_by(*NEWEST_FIRST),
        {
            "price": "price__name",
            "amount": "amount",
            "currency": "currency",
            "reversed": "reversed_amount",
            "status": "status",
        },
    ),
}


def _listed_jobs(kind: JobKind[Any]) -> Listed:
    return Listed(
        lambda org: job_selectors.jobs_of(kind.model, org).order_by(*NEWEST_FIRST),
        {**sources_of(kind), "status": "status"},
    )


def newest(org: Organization) -> dict[str, list[dict[str, Any]]]:
    """The NEWEST rows of each list, by its name, in one statement: each its own range."""
    lists = {**_LISTS, **{kind.plural: _listed_jobs(kind) for kind in all_kinds()}}
    arms = [_arm(name, listed, org) for name, listed in lists.items()]
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in lists}
    for name, row in arms[0].union(*arms[1:], all=True):
        for each in {"at", *(key for key in row if key.endswith("_at"))}:
            row[each] = row[each] and parse_datetime(row[each])
        found[name].append(row)
    for rows in found.values():  # a union is in no order
        rows.sort(key=lambda row: (row["at"], row["id"]), reverse=True)
    return found


def _arm(name: str, listed: Listed, org: Organization) -> QuerySet[Any]:
    row = JSONObject(id="id", at="created_at", **listed.shown)
    named: QuerySet[Any] = listed.rows(org).annotate(arm=Value(name, TextField()), row=row)
    return named.values_list("arm", "row")[:NEWEST]
