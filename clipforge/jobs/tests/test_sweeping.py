"""Jobs as the sweeper sees them: work of workers that stopped, and holds that age."""

from __future__ import annotations

import datetime
from typing import Any

import psycopg
import pytest
from django.db import connection, transaction
from django.db.models import QuerySet
from django.utils import timezone
from procrastinate.contrib.django import app

from clipforge.devtools.testing.factories import make_organization, make_project
from clipforge.devtools.testing.state import Funds, funds, jobs_of, lapse_lease, nothing_changes
from clipforge.jobs import lifecycle, queue, selectors, sweeping
from credits import services as credit_services
from credits.models import CreditHold
from projects.models import Project

pytestmark = pytest.mark.django_db

HOUR = datetime.timedelta(hours=1)
NOON = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)


def sweep() -> tuple[int, int]:
    return sweeping.sweep(Project)


def abandoned(attempts: int = 1) -> Project:
    """Running work, paid with 1 of 11 credits, whose worker stopped."""
    project = make_project(make_organization(credits_=10), status="ANALYZING")
    Project.objects.filter(pk=project.pk).update(attempts=attempts, stage="decoding", progress=0.5)
    lapse_lease(project)
    project.refresh_from_db()
    return project


def hold_of(project: Project) -> QuerySet[CreditHold]:
    assert project.hold_id is not None
    return CreditHold.objects.filter(pk=project.hold_id)


def test_work_of_a_dead_worker_is_queued_again_with_its_hold_and_a_new_job():
    project = abandoned()
    assert sweep() == (1, 0)
    project.refresh_from_db()
    assert (project.status, project.fence, project.attempts) == ("QUEUED", 2, 1)
    assert (project.stage, project.progress, project.lease_expires_at) == ("", 0, None)
    assert jobs_of(project) == [0, 2]
    hold = hold_of(project).get()
    assert (hold.status, hold.fence) == ("HELD", 2)
    assert funds(project.org) == Funds(available=10, held=1)
    assert lifecycle.claim(Project, project.pk, fence=2) is not None


def test_a_lease_that_lasts_is_left_alone():
    make_project(status="ANALYZING")
    with nothing_changes():
        assert sweep() == (0, 0)


@pytest.mark.parametrize("status", ["UPLOADED", "QUEUED", "READY", "EMPTY", "FAILED", "CANCELLED"])
def test_a_job_that_no_worker_holds_is_left_alone(status: str):
    lapse_lease(make_project(status=status))
    with nothing_changes():
        assert sweep() == (0, 0)


@pytest.mark.parametrize(("attempts", "swept"), [(2, (1, 0)), (3, (0, 1)), (4, (0, 1))])
def test_work_that_lost_three_workers_fails(attempts: int, swept: tuple[int, int], settings):
    settings.WORK_MAX_ATTEMPTS = 3
    abandoned(attempts)
    assert sweep() == swept


def test_lost_work_says_so_and_costs_nothing(settings):
    settings.WORK_MAX_ATTEMPTS = 3
    project = abandoned(3)
    sweep()
    project.refresh_from_db()
    assert (project.status, project.error_code) == ("FAILED", "worker_lost")
    assert "not charged" in project.error_message
    assert (project.lease_expires_at, jobs_of(project)) == (None, [0])
    hold = hold_of(project).get()
    assert (hold.status, hold.resolved_by) == ("RELEASED", "system:sweeper")
    assert funds(project.org) == Funds(available=11, held=0)


def test_one_row_that_cannot_be_swept_keeps_no_other_waiting(caplog):
    first, second, third = abandoned(), abandoned(), abandoned()

    with connection.cursor() as cursor:  # the queue takes no entry for the second
        cursor.execute(
            "ALTER TABLE procrastinate_jobs ADD CONSTRAINT not_the_second"
            " CHECK (args ->> 'project_id' <> %s) NOT VALID",
            [str(second.pk)],
        )
    assert sweep() == (2, 0)
    assert "sweeping failed" in caplog.text
    statuses = [Project.objects.get(pk=item.pk).status for item in (first, second, third)]
    assert statuses == ["QUEUED", "ANALYZING", "QUEUED"]
    assert jobs_of(second) == [0]


def test_a_sweep_takes_the_longest_lapsed_first_and_no_more_than_its_batch():
    projects = [abandoned() for _ in range(3)]
    Project.objects.filter(pk=projects[2].pk).update(lease_expires_at=timezone.now() - HOUR)
    assert sweeping.sweep(Project, batch=1) == (1, 0)
    statuses = [Project.objects.get(pk=item.pk).status for item in projects]
    assert statuses == ["ANALYZING", "ANALYZING", "QUEUED"]
    assert sweep() == (2, 0)


@pytest.mark.parametrize("batch", [2, 3])
def test_what_fails_counts_for_the_batch_as_what_is_requeued(batch: int, settings):
    settings.WORK_MAX_ATTEMPTS = 3
    for minutes, attempts in ((4, 3), (3, 1), (2, 1), (1, 1)):  # the longest lapsed first
        lapsed = timezone.now() - datetime.timedelta(minutes=minutes)
        Project.objects.filter(pk=abandoned(attempts).pk).update(lease_expires_at=lapsed)
    assert sweeping.sweep(Project, batch=batch) == (batch - 1, 1)


@pytest.mark.parametrize("change", [{"status": "FAILED", "finished_at": NOON}, {"fence": 2}])
def test_a_job_that_went_on_since_it_was_found_given_up_is_left_alone(
    change: dict[str, Any], monkeypatch: pytest.MonkeyPatch
):
    project = make_project(status="QUEUED")
    Project.objects.filter(pk=project.pk).update(**change)
    monkeypatch.setattr(queue, "given_up", lambda _kind: [(project.pk, 0)])
    assert sweep() == (0, 0)


@pytest.mark.django_db(transaction=True)
def test_a_job_that_was_given_up_and_that_another_sweeper_has_is_skipped():
    project = make_project(status="QUEUED")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE procrastinate_jobs SET status = 'failed'")
    with psycopg.connect(**connection.get_connection_params()) as other:
        other.execute("SELECT FROM projects_project WHERE id = %s FOR UPDATE", [project.pk])
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '2s'")  # to wait would be an error
            assert sweep() == (0, 0)
    assert sweep() == (0, 1)


@pytest.mark.parametrize("status", ["QUEUED", "ANALYZING"])
def test_the_hold_of_open_work_is_renewed_past_half_of_its_life(status: str, settings):
    settings.HOLD_SECONDS = 24 * 3600
    project = make_project(status=status)
    hold = hold_of(project)
    hold.update(expires_at=timezone.now() + 11 * HOUR)
    sweep()
    assert hold.get().expires_at > timezone.now() + 23 * HOUR


def test_a_young_hold_is_not_written(settings):
    settings.HOLD_SECONDS = 24 * 3600
    project = make_project(status="QUEUED")
    hold = hold_of(project)
    hold.update(expires_at=timezone.now() + 13 * HOUR)
    with nothing_changes():
        sweep()


def test_a_hold_whose_work_is_over_is_not_renewed():
    """A hold that somebody left behind must lapse, or its credits would be gone for good."""
    project = make_project(status="QUEUED")
    Project.objects.filter(pk=project.pk).update(status="FAILED")
    hold_of(project).update(expires_at=timezone.now() + HOUR)
    with nothing_changes():
        sweep()


def test_the_periodic_task_sweeps_projects():
    project = abandoned()
    app.tasks["projects.sweep"](timestamp=0)
    project.refresh_from_db()
    assert project.status == "QUEUED"


@pytest.mark.django_db(transaction=True)
def test_a_row_that_another_sweeper_has_is_skipped_and_the_next_is_swept():
    first, second = abandoned(), abandoned()
    Project.objects.filter(pk=first.pk).update(lease_expires_at=timezone.now() - HOUR)
    with psycopg.connect(**connection.get_connection_params()) as other:
        other.execute("SELECT FROM projects_project WHERE id = %s FOR UPDATE", [first.pk])
        with transaction.atomic(), connection.cursor() as cursor:
            cursor.execute("SET LOCAL lock_timeout = '2s'")  # to wait would be an error
            assert sweep() == (1, 0)
    statuses = [Project.objects.get(pk=item.pk).status for item in (first, second)]
    assert statuses == ["ANALYZING", "QUEUED"]
    assert sweep() == (1, 0)


def test_what_a_sweep_took_is_logged_and_a_sweep_of_nothing_is_not(settings, caplog):
    def swept() -> list[tuple[int, int]]:
        caplog.clear()
        app.tasks["projects.sweep"](timestamp=0)
        found: list[Any] = [each for each in caplog.records if each.message == "swept jobs"]
        return [(each.requeued, each.failed) for each in found]

    settings.WORK_MAX_ATTEMPTS = 3
    assert swept() == []
    abandoned(2)
    assert swept() == [(1, 0)]
    abandoned(3)
    assert swept() == [(0, 1)]


def test_a_hold_that_is_not_open_any_more_does_not_age():
    project = make_project(status="QUEUED")
    hold = hold_of(project)
    hold.update(expires_at=timezone.now() - HOUR)
    assert list(selectors.aging_jobs(Project, "QUEUED")) == [project]
    assert credit_services.expire_holds() == 1
    assert list(selectors.aging_jobs(Project, "QUEUED")) == []
