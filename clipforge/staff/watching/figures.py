"""Figures of the whole service for Prometheus, read when they are asked for: the exporter of `watch`.

What one process did is recorded by that process (`clipforge.common.telemetry`). These are what the
database and Redis know, so that one process tells them for all.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Iterable, Iterator

from django.db import DatabaseError, connection
from prometheus_client import CollectorRegistry, start_http_server
from prometheus_client.core import GaugeMetricFamily as Gauge
from prometheus_client.metrics_core import Metric
from prometheus_client.registry import Collector

from clipforge.common.telemetry import address_of
from clipforge.staff.dashboard import selectors as dashboard_selectors
from clipforge.staff.models import Alarm
from clipforge.staff.watching.conditions import CONDITIONS
from credits import selectors as credit_selectors
from credits.models import LedgerCheck

# Two scrapes within so many seconds get the same figures: whoever can ask cannot load the database.
FRESH_SECONDS = 5.0


class ServiceFigures(Collector):
    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._read_at = float("-inf")
        self._figures: list[Metric] = []

    def describe(self) -> Iterable[Metric]:
        return []  # so that registration reads nothing

    def collect(self) -> Iterator[Metric]:
        with self._lock:
            if time.monotonic() - self._read_at >= FRESH_SECONDS:
                try:
                    self._figures = list(read())
                finally:
                    connection.close()  # of this thread, which ends with the scrape
                self._read_at = time.monotonic()
            yield from self._figures


def serve(bind: str) -> None:
    host, port = address_of(bind)
    registry = CollectorRegistry()
    registry.register(ServiceFigures())
    start_http_server(port, host, registry)


def read() -> Iterator[Metric]:
    """Read all figures; those of a part that does not answer are missing, and `clipforge_up` says so."""
    found = dashboard_selectors.collect()
    up = Gauge("clipforge_up", "Whether a part that the service needs answers.", labels=["part"])
    up.add_metric(["database"], float(found.database is not None))
    up.add_metric(["redis"], float(found.redis.info is not None))
    yield up
    if found.workers is not None:
        alive = found.workers.processes
        yield Gauge("clipforge_workers", "Worker processes that are alive.", value=alive)
    if found.counts is not None:
        yield from _jobs(found.counts)
    if found.ledger is not None and found.ledger.check is not None:
        yield from _ledger(found.ledger.check)
    if found.database is not None:
        yield from _database(found.database)
    if found.redis.info is not None:
        memory = found.redis.info["used_memory"]
        yield Gauge("clipforge_redis_memory_bytes", "What Redis takes.", value=memory)
    try:
        yield from _queue()
        yield from _holds()
        yield _alarms()
    except DatabaseError:
        return


def _jobs(counts: dashboard_selectors.Counts) -> Iterator[Metric]:
    jobs = Gauge(
        "clipforge_jobs",
        "Jobs by kind and state, up to a thousand each: running, lapsed (no sign of life for a lease), "
        "failed (in 24 hours).",
        labels=["kind", "state"],
    )
    for each in counts.jobs:
        jobs.add_metric([each.kind, "running"], each.running.value)
        jobs.add_metric([each.kind, "lapsed"], each.lapsed.value)
        jobs.add_metric([each.kind, "failed"], each.failed.value)
    yield jobs
    dead = counts.queue_failed.value
    yield Gauge("clipforge_dead_letters", "Entries that are not tried again.", value=dead)
    failed = counts.events_failed.value
    yield Gauge("clipforge_payment_events_failed", "Events of Stripe not applied.", value=failed)


def _queue() -> Iterator[Metric]:
    depth = Gauge(
        "clipforge_queue_depth", "Jobs that wait, by kind and tier.", labels=["kind", "tier"]
    )
    age = Gauge(
        "clipforge_queue_age_seconds", "How long the oldest waits.", labels=["kind", "tier"]
    )
    with connection.cursor() as cursor:
        # Places are as many as jobs that wait or run.
        cursor.execute(
            """
            SELECT place.kind, org.tier, COUNT(*),
                   EXTRACT(EPOCH FROM clock_timestamp() - MIN(place.queued_at))
              FROM jobs_jobplace AS place
              JOIN orgs_organization AS org ON org.id = place.org_id
             WHERE NOT place.started
             GROUP BY place.kind, org.tier
            """
        )
        for kind, tier, count, seconds in cursor.fetchall():
            depth.add_metric([kind, tier], count)
            age.add_metric([kind, tier], float(seconds))
    yield depth
    yield age


def _holds() -> Iterator[Metric]:
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT COALESCE(SUM(open_holds), 0), COALESCE(SUM(held), 0) FROM credits_creditaccount"
            " WHERE open_holds > 0"
        )
        count, held = cursor.fetchone()
    yield Gauge("clipforge_holds", "Holds that are open.", value=count)
    yield Gauge("clipforge_held_credits", "Credits that are reserved.", value=int(held))


def _ledger(check: LedgerCheck) -> Iterator[Metric]:
    if check.breaches is not None:
        yield Gauge(
            "clipforge_ledger_breaches", "Breaches that the last check found.", value=check.breaches
        )
    if proven := credit_selectors.latest_ledger_proof():
        yield Gauge(
            "clipforge_ledger_proven_timestamp_seconds",
            "When all invariants were last found to hold.",
            value=proven.checked_at.timestamp(),
        )


def _database(state: dashboard_selectors.DatabaseState) -> Iterator[Metric]:
    yield Gauge("clipforge_database_connections", "Open connections.", value=state.connections)
    most = state.most_connections
    yield Gauge("clipforge_database_connections_limit", "What the server accepts.", value=most)
    yield Gauge("clipforge_database_size_bytes", "The size of the database.", value=state.size)


def _alarms() -> Metric:
    alarms = Gauge("clipforge_alarm", "1 while an alarm is raised.", labels=["alarm"])
    held = set(Alarm.objects.filter(since__isnull=False).values_list("code", flat=True))
    for condition in CONDITIONS:
        alarms.add_metric([condition.code], float(condition.code in held))
    return alarms
