"""When a job that waits is expected to start: from what was measured, and nothing where that says nothing."""

from __future__ import annotations

import datetime
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from django.db import connection
from django.utils import timezone
from rest_framework.test import APIClient

from clipforge.devtools.testing.clocks import around, clocks_at
from clipforge.devtools.testing.factories import (
    make_export,
    make_grant,
    make_moment,
    make_organization,
    make_project,
)
from clipforge.jobs import lifecycle, places
from clipforge.jobs.models import JobClock, JobPlace
from clipforge.orgs.models import Organization
from projects.models import Project

pytestmark = pytest.mark.django_db

NOON = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)
SECOND = datetime.timedelta(seconds=1)


@contextmanager
def at(seconds: float) -> Iterator[None]:
    with clocks_at(NOON + seconds * SECOND):
        yield


def queued(org: Organization, *, since: float = -1000) -> Project:
    """A project that waits, and has done so since then."""
    project = make_project(org, status="QUEUED")
    JobPlace.objects.filter(pk=project.pk).update(queued_at=NOON + since * SECOND)
    return project


def begin(project: Project) -> None:
    assert lifecycle.claim(Project, project.pk, fence=project.fence)


def starts(*times: float, since: float = -1000) -> None:
    """A job that waits begins at each of these times."""
    org = make_organization(tier="ENTERPRISE", credits_=100)
    for project, each in [(queued(org, since=since), each) for each in times]:
        with at(each):
            begin(project)


def measured(*, pace: float, paces: int = 5, started: float = 0) -> None:
    JobClock.objects.update_or_create(
        pk=1, defaults={"pace": pace, "paces": paces, "started_at": NOON + started * SECOND}
    )


def expected(ahead: int) -> float | None:
    """Seconds after noon."""
    with connection.cursor() as cursor:
        cursor.execute("SELECT jobs_expected_start(%s)", [ahead])
        (found,) = cursor.fetchone()
    return None if found is None else (found - NOON).total_seconds()


def pace() -> tuple[float | None, int]:
    clock = JobClock.objects.get(pk=1)
    return clock.pace, clock.paces


# --- the pace ---------------------------------------------------------------------------


def test_the_pace_is_the_mean_of_the_times_between_starts_of_which_the_latest_counts_an_eighth():
    starts(0)
    assert pace() == (None, 0)
    starts(8)
    assert pace() == (8.0, 1)
    starts(24)
    assert pace() == (9.0, 2)  # 8 + (16 - 8) / 8


def test_a_job_that_came_after_the_latest_start_says_nothing_of_how_fast_workers_are():
    starts(0, 10)
    starts(70, since=10.001)  # for a minute nobody waited
    assert pace() == (10.0, 1)
    starts(80)
    assert pace() == (10.0, 2)
    starts(90, since=79.999)
    assert pace() == (10.0, 3)


def test_a_clock_that_was_set_back_measures_nothing():
    starts(100, 50)
    assert pace() == (None, 0)


def test_more_than_a_day_between_two_starts_is_a_clock_that_was_set():
    starts(0, 86_400, 2 * 86_400 + 1)
    assert pace() == (86_400.0, 1)


def test_finding_out_that_a_source_is_to_be_fetched_is_no_start():
    starts(0, 8)
    org = make_organization(credits_=10)
    project = queued(org)
    Project.objects.filter(pk=project.pk).update(source_key="")
    with at(9):
        begin(project)
    assert pace() == (8.0, 1)


# --- what follows from it ---------------------------------------------------------------


def test_each_job_ahead_takes_a_pace():
    measured(pace=7.5)
    with at(1):
        assert [expected(ahead) for ahead in (0, 1, 9)] == [7, 15, 75]  # to the second


def test_fewer_than_five_paces_say_nothing():
    with at(1):
        assert expected(0) is None
        for paces, known in ((4, None), (5, 10)):
            measured(pace=10, paces=paces)
            assert expected(0) == known


def test_what_should_have_started_is_not_expected_any_more():
    measured(pace=10)
    assert around(NOON + 10 * SECOND, lambda: expected(0)) == [10, None, None]


def test_workers_that_have_begun_nothing_for_ten_paces_and_a_minute_say_nothing():
    measured(pace=10)
    assert around(NOON + 160 * SECOND, lambda: expected(500)) == [5010, 5010, None]


# --- over HTTP --------------------------------------------------------------------------


def working_now(seconds: float) -> datetime.datetime:
    """Workers begin a job in so many seconds; the latest start was now."""
    now = timezone.now().replace(microsecond=0)
    JobClock.objects.update_or_create(
        pk=1, defaults={"pace": seconds, "paces": 9, "started_at": now}
    )
    return now


def shown(moment: datetime.datetime) -> str:
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")


def test_a_job_that_waits_says_when_it_is_expected_to_start(
    api: APIClient, organization: Organization
):
    now = working_now(600)
    jobs: list[Any] = [make_project(status="QUEUED"), make_project(organization, status="QUEUED")]
    jobs.append(make_export(make_project(organization), status="QUEUED"))
    answers = [
        api.get(f"/api/v1/{path}/{job.pk}").json()
        for path, job in (("projects", jobs[1]), ("exports", jobs[2]))
    ]
    assert [each["queue_position"] for each in answers] == [2, 3]
    expected_at = [now + 2 * 600 * SECOND, now + 3 * 600 * SECOND]
    assert [each["expected_start_at"] for each in answers] == list(map(shown, expected_at))
    (row,) = api.get("/api/v1/exports").json()["results"]
    assert row["expected_start_at"] is None  # a list counts nothing


def test_the_answer_that_a_job_was_queued_says_it_too(api: APIClient, organization: Organization):
    make_grant(organization, 100)
    moment = make_moment(make_project(organization))
    now = working_now(600)
    made = api.post("/api/v1/exports", {"moment": str(moment.pk)}, format="json").json()
    url = f"/api/v1/exports/{made['id']}"
    api.post(f"{url}/cancel")
    again = api.post(f"{url}/retry", {}, format="json").json()
    for each in (made, again, api.get(url).json()):
        assert (each["queue_position"], each["expected_start_at"]) == (1, shown(now + 600 * SECOND))


def test_beyond_what_is_counted_nothing_is_expected(
    api: APIClient, organization: Organization, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(places, "MAX_POSITION", 1)
    working_now(600)
    make_project(status="QUEUED")
    project = make_project(organization, status="QUEUED")
    body = api.get(f"/api/v1/projects/{project.pk}").json()
    assert (body["queue_position"], body["expected_start_at"]) == (2, None)


def test_of_one_that_waits_to_be_imported_nothing_is_expected(
    api: APIClient, organization: Organization
):
    working_now(600)
    project = make_project(organization, status="QUEUED")
    url = f"/api/v1/projects/{project.pk}"
    assert api.get(url).json()["expected_start_at"] is not None
    Project.objects.filter(pk=project.pk).update(source_key="")
    body = api.get(url).json()
    assert (body["queue_position"], body["expected_start_at"]) == (1, None)


@pytest.mark.parametrize("status", ["ANALYZING", "READY", "FAILED"])
def test_what_does_not_wait_has_no_expected_start(
    api: APIClient, organization: Organization, status: str
):
    working_now(600)
    project = make_project(organization, status=status)
    assert api.get(f"/api/v1/projects/{project.pk}").json()["expected_start_at"] is None
