"""The figures of the whole service that `watch` serves to Prometheus."""

from __future__ import annotations

import pytest
from django.db import connection
from prometheus_client import CollectorRegistry

from clipforge.devtools.testing.factories import make_organization, make_project
from clipforge.devtools.testing.queries import statements
from clipforge.devtools.testing.state import lapse_lease
from clipforge.staff.watching import alarms, figures
from credits.models import LedgerCheck

pytestmark = pytest.mark.django_db


def read() -> dict[tuple[str, tuple[str, ...]], float]:
    return {
        (sample.name.removeprefix("clipforge_"), tuple(sample.labels.values())): sample.value
        for family in figures.read()
        for sample in family.samples
    }


def test_the_queue_is_told_by_kind_and_tier_with_the_age_of_its_oldest():
    pro, free = (make_organization(tier=tier, credits_=10) for tier in ("PRO", "FREE"))
    for org in (pro, pro, free):
        make_project(org, status="QUEUED")
    make_project(free, status="ANALYZING")
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE jobs_jobplace SET queued_at = now() - interval '90 s' WHERE org_id = %s",
            [free.pk],
        )
    found = read()
    assert found["queue_depth", ("project", "PRO")] == 2
    assert found["queue_depth", ("project", "FREE")] == 1
    assert 90 <= found["queue_age_seconds", ("project", "FREE")] < 3600
    assert found["queue_age_seconds", ("project", "PRO")] < 90
    assert found["jobs", ("project", "running")] == 1


def test_holds_leases_dead_letters_and_the_ledger():
    make_project(status="QUEUED")
    lapse_lease(make_project(status="ANALYZING"))
    with connection.cursor() as cursor:
        cursor.execute("UPDATE procrastinate_jobs SET status = 'failed'")
    proof = LedgerCheck.objects.create(seconds=1, breaches=0, actor="test")
    LedgerCheck.objects.create(seconds=1, breaches=2, actor="test")
    alarms.check()
    found = read()
    assert (found["holds", ()], found["held_credits", ()]) == (2, 2)
    assert found["jobs", ("project", "lapsed")] == 1
    assert found["dead_letters", ()] == 2
    assert (found["ledger_breaches", ()], found["workers", ()]) == (2, 0)
    assert found["ledger_proven_timestamp_seconds", ()] == proof.checked_at.timestamp()
    assert (found["alarm", ("ledger_broken",)], found["alarm", ("payments_failed",)]) == (1, 0)
    assert (found["up", ("database",)], found["up", ("redis",)]) == (1, 1)
    assert 0 < found["database_connections", ()] < found["database_connections_limit", ()]


def test_scrapes_that_follow_each_other_ask_the_database_once(monkeypatch):
    monkeypatch.setattr(connection, "close", lambda: None)  # the one of this test
    registry = CollectorRegistry()
    registry.register(figures.ServiceFigures())
    assert registry.get_sample_value("clipforge_workers") == 0
    with statements() as asked:
        assert registry.get_sample_value("clipforge_workers") == 0
    assert list(asked) == []
