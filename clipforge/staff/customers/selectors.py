"""Who is refused, whose work fails, and what it costs: of all organizations, or of one.

Refusals are counted by the hour, so a stretch of time begins with an hour or a day of UTC.
"""

from __future__ import annotations

import datetime
import json
import uuid
from typing import Any, NamedTuple

from django.db import connection

from clipforge.common.admin_filters import midnight
from clipforge.common.lists.by_time import first_number_since
from clipforge.jobs.kinds import JobKind, all_kinds
from clipforge.orgs.models import Organization
from credits.models import CreditTransaction

# Of each list of organizations.
TOP = 10
# Rows of a table about one organization: different refusals, different failures.
MOST = 50
THROTTLED, NO_CREDITS, NOT_ALLOWED = 429, 402, 403


class Span(NamedTuple):
    """A stretch of time until now: its name in addresses, how it is called, and how long it is."""

    name: str
    label: str
    hours: int = 0
    days: int = 0

    def since(self, now: datetime.datetime) -> datetime.datetime:
        """Its first hour, the running one among them; or the first midnight of UTC of so many days."""
        now = now.astimezone(datetime.UTC)
        if self.days:
            return midnight(now.date() - datetime.timedelta(days=self.days - 1))
        hour = now.replace(minute=0, second=0, microsecond=0)
        return hour - datetime.timedelta(hours=self.hours - 1)


HOURS = Span("hours", "This hour and the last", hours=2)
TODAY = Span("today", "Today", days=1)
WEEK = Span("week", "7 days", days=7)
MONTH = Span("month", "30 days", days=30)
# The first unless another is asked for.
SPANS = {span.name: span for span in (WEEK, HOURS, TODAY, MONTH)}


class Refused(NamedTuple):
    """An organization, and how many of its requests were refused."""

    org: uuid.UUID
    name: str
    tier: str
    throttled: int
    no_credits: int
    not_allowed: int
    refused: int  # in all


def most_refused(since: datetime.datetime, *, throttled: bool) -> list[Refused]:
    """The TOP by throttled requests, or by those that were refused for other reasons."""
    by = "throttled" if throttled else "refused - throttled"
    rows = _rows(
        f"""
        SELECT org.id, org.name, org.tier, throttled, no_credits, not_allowed, refused
          FROM (SELECT org_id, SUM(count) AS refused,
                       COALESCE(SUM(count) FILTER (WHERE status = {THROTTLED}), 0) AS throttled,
                       COALESCE(SUM(count) FILTER (WHERE status = {NO_CREDITS}), 0) AS no_credits,
                       COALESCE(SUM(count) FILTER (WHERE status = {NOT_ALLOWED}), 0) AS not_allowed
                  FROM orgs_refusedrequests WHERE hour >= %(since)s GROUP BY org_id) AS counted
          JOIN orgs_organization AS org ON org.id = counted.org_id
         WHERE {by} > 0 ORDER BY {by} DESC, org.id LIMIT {TOP}
        """,  # noqa: S608 - words and numbers of ours
        {"since": since},
    )
    return [Refused(*row[:3], *map(int, row[3:])) for row in rows]


class Refusals(NamedTuple):
    """The refused requests of a key, of one code and limit, in each of the spans."""

    key: uuid.UUID
    key_name: str  # empty: it is gone
    prefix: str
    is_revoked: bool
    status: int
    code: str
    limit_name: str
    counts: list[int]


def refusals(org: Organization, spans: list[Span], now: datetime.datetime) -> list[Refusals]:
    """The MOST by how many there were in the longest of the spans, which is the last."""
    starts = {f"since_{place}": span.since(now) for place, span in enumerate(spans)}
    sums = ", ".join(
        f"COALESCE(SUM(count) FILTER (WHERE hour >= %({name})s), 0) AS {name}" for name in starts
    )
    longest = f"since_{len(spans) - 1}"
    rows = _rows(
        f"""
        SELECT counted.key_id, COALESCE(key.name, ''), COALESCE(key.prefix, ''),
               key.revoked_at IS NOT NULL, status, code, limit_name, {", ".join(starts)}
          FROM (SELECT key_id, status, code, limit_name, {sums}
                  FROM orgs_refusedrequests WHERE org_id = %(org)s AND hour >= %({longest})s
                 GROUP BY key_id, status, code, limit_name
                 ORDER BY {longest} DESC, code, key_id LIMIT {MOST}) AS counted
          LEFT JOIN orgs_apikey AS key ON key.id = counted.key_id
         ORDER BY {longest} DESC, code, key_id
        """,  # noqa: S608 - words and numbers of ours
        {"org": org.pk, **starts},
    )
    return [
        Refusals(key, name, prefix, revoked, status, code, limit, list(map(int, counts)))
        for key, name, prefix, revoked, status, code, limit, *counts in rows
    ]


class RefusedDay(NamedTuple):
    date: datetime.date
    throttled: int
    others: int


def refused_days(org: Organization, now: datetime.datetime) -> list[RefusedDay]:
    """The days of a MONTH, the oldest first."""
    since = MONTH.since(now)
    rows = _rows(
        f"""
        SELECT (hour AT TIME ZONE 'UTC')::date,
               COALESCE(SUM(count) FILTER (WHERE status = {THROTTLED}), 0),
               COALESCE(SUM(count) FILTER (WHERE status <> {THROTTLED}), 0)
          FROM orgs_refusedrequests WHERE org_id = %(org)s AND hour >= %(since)s GROUP BY 1
        """,  # noqa: S608 - a number of ours
        {"org": org.pk, "since": since},
    )
    counted = {date: (int(throttled), int(others)) for date, throttled, others in rows}
    dates = [since.date() + datetime.timedelta(days=day) for day in range(MONTH.days)]
    return [RefusedDay(date, *counted.get(date, (0, 0))) for date in dates]


class Failing(NamedTuple):
    """An organization, and how many of its jobs failed."""

    org: uuid.UUID
    name: str
    tier: str
    failed: dict[str, int]  # by the kind


def most_failing(since: datetime.datetime) -> list[Failing]:
    """The TOP by the jobs that failed since then."""
    rows = _rows(
        f"""
        SELECT org.id, org.name, org.tier, counts
          FROM (SELECT org_id, SUM(failed) AS failed, jsonb_object_agg(kind, failed) AS counts
                  FROM ({_failed("org_id")} GROUP BY kind, org_id) AS each
                 GROUP BY org_id ORDER BY 2 DESC, org_id LIMIT {TOP}) AS counted
          JOIN orgs_organization AS org ON org.id = counted.org_id
         ORDER BY failed DESC, org.id
        """,  # noqa: S608 - words and numbers of ours
        {"since": since},
    )
    return [Failing(org, name, tier, json.loads(counts)) for org, name, tier, counts in rows]


class Failures(NamedTuple):
    """The jobs of a kind that failed with a code, and of how many organizations they are."""

    kind: str
    code: str
    failed: int
    orgs: int


def failures(since: datetime.datetime, org: Organization | None = None) -> list[Failures]:
    """Of all organizations, or of one: the most first."""
    rows = _rows(
        f"""
        SELECT kind, error_code, failed, orgs
          FROM ({_failed("error_code", org)} GROUP BY kind, error_code) AS counted
         ORDER BY failed DESC, kind, error_code LIMIT {MOST}
        """,  # noqa: S608 - words and a number of ours
        {"since": since, "org": org and org.pk},
    )
    return [Failures(*row) for row in rows]


def _failed(by: str, org: Organization | None = None) -> str:
    """The failed jobs of all kinds by this column, to be grouped by it."""
    whose = "AND org_id = %(org)s" if org else ""
    each = " UNION ALL ".join(
        f"SELECT '{kind.name}' AS kind, {by}, org_id AS owner FROM {_table(kind)}"  # noqa: S608 - words of ours
        f" WHERE status = 'FAILED' AND finished_at >= %(since)s {whose}"
        for kind in all_kinds()
    )
    return f"""
        SELECT kind, {by}, COUNT(*) AS failed, COUNT(DISTINCT owner) AS orgs FROM ({each}) AS jobs
    """  # noqa: S608 - words of ours


class Cost(NamedTuple):
    """The work that an organization gives us, and what it brings.

    `seconds`: how long workers had its jobs, of those asked for in the stretch of time that have ended. `stored`: bytes, as of
    now. `spent`: credits, less what was given back. `paid`: what stayed of it, in minor units by currency.
    """

    org: uuid.UUID
    name: str
    tier: str
    seconds: float
    jobs: int
    stored: int
    spent: int
    paid: dict[str, int]


def most_work(since: datetime.datetime) -> list[Cost]:
    """The TOP by the time of workers."""
    work = f"SELECT * FROM ({_worked()}) AS w ORDER BY seconds DESC, org_id LIMIT {TOP}"  # noqa: S608 - words and a number of ours
    return _costs(since, work)


def most_stored(since: datetime.datetime) -> list[Cost]:
    """The TOP by the bytes of their files."""
    work = f"""
        SELECT top.org_id, COALESCE(w.seconds, 0) AS seconds, COALESCE(w.jobs, 0) AS jobs
          FROM (SELECT org_id FROM orgs_storageusage WHERE bytes > 0
                 ORDER BY bytes DESC, org_id LIMIT {TOP}) AS top
          LEFT JOIN LATERAL ({_worked("org_id = top.org_id")}) AS w ON true
    """  # noqa: S608 - words and numbers of ours
    return sorted(_costs(since, work), key=lambda cost: (-cost.stored, str(cost.org)))


def most_spent(since: datetime.datetime) -> list[Cost]:
    """The TOP by the credits that they spent."""
    work = f"""
        SELECT top.org_id, COALESCE(w.seconds, 0) AS seconds, COALESCE(w.jobs, 0) AS jobs
          FROM (SELECT org_id FROM credits_credittransaction
                 WHERE id >= %(first)s AND created_at >= %(since)s AND type IN ('SPEND', 'REFUND')
                 GROUP BY org_id HAVING SUM(amount) < 0
                 ORDER BY SUM(amount), org_id LIMIT {TOP}) AS top
          LEFT JOIN LATERAL ({_worked("org_id = top.org_id")}) AS w ON true
    """  # noqa: S608 - words and numbers of ours
    return sorted(_costs(since, work), key=lambda cost: (-cost.spent, str(cost.org)))


def cost(org: Organization, since: datetime.datetime) -> Cost | None:
    """Of one organization."""
    work = f"""
        SELECT org.id AS org_id, COALESCE(w.seconds, 0) AS seconds, COALESCE(w.jobs, 0) AS jobs
          FROM orgs_organization AS org
          LEFT JOIN LATERAL ({_worked("org_id = org.id")}) AS w ON true
         WHERE org.id = %(org)s
    """  # noqa: S608 - words of ours
    return next(iter(_costs(since, work, org=org.pk)), None)


def _worked(of: str = "true") -> str:
    """The seconds of workers and the jobs, by organization."""
    each = " UNION ALL ".join(
        f"SELECT org_id, EXTRACT(EPOCH FROM finished_at - started_at)::float8 AS seconds"  # noqa: S608 - words of ours
        f" FROM {_table(kind)} WHERE created_at >= %(since)s AND {of}"
        " AND started_at IS NOT NULL AND finished_at IS NOT NULL"
        for kind in all_kinds()
    )
    return f"""
        SELECT org_id, SUM(seconds) AS seconds, COUNT(*) AS jobs FROM ({each}) AS j GROUP BY org_id
    """  # noqa: S608 - words of ours


def _costs(since: datetime.datetime, work: str, **params: Any) -> list[Cost]:
    rows = _rows(
        f"""
        SELECT org.id, org.name, org.tier, work.seconds, work.jobs, COALESCE(stored.bytes, 0),
               COALESCE((SELECT -SUM(amount) FROM credits_credittransaction AS moved
                          WHERE moved.org_id = org.id AND moved.created_at >= %(since)s
                            AND moved.type IN ('SPEND', 'REFUND')), 0),
               COALESCE((SELECT jsonb_object_agg(currency, stayed)
                           FROM (SELECT currency, SUM(amount - reversed_amount) AS stayed
                                   FROM billing_payment AS payment
                                  WHERE payment.org_id = org.id AND payment.status = 'PAID'
                                    AND payment.paid_at >= %(since)s
                                  GROUP BY currency) AS paid), '{{}}')
          FROM ({work}) AS work
          JOIN orgs_organization AS org ON org.id = work.org_id
          LEFT JOIN orgs_storageusage AS stored ON stored.org_id = org.id
         ORDER BY work.seconds DESC, org.id
        """,  # noqa: S608 - words of ours
        {"since": since, "first": first_number_since(CreditTransaction, since), **params},
    )
    return [
        Cost(org, name, tier, float(seconds), jobs, int(stored), int(spent), json.loads(paid))
        for org, name, tier, seconds, jobs, stored, spent, paid in rows
    ]


def _table(kind: JobKind[Any]) -> str:
    return connection.ops.quote_name(kind.model._meta.db_table)


def _rows(sql: str, params: dict[str, Any]) -> list[tuple[Any, ...]]:
    with connection.cursor() as cursor:
        cursor.execute(sql, params)
        return list(cursor.fetchall())
