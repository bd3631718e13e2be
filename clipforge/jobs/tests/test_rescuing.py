"""Jobs for staff: the excerpt of a failure, and jobs that no worker does."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest
from django.db import connection
from procrastinate.contrib.django import app

from clipforge.common.errors import Conflict
from clipforge.devtools.testing.factories import make_organization, make_project
from clipforge.devtools.testing.races import run_together
from clipforge.devtools.testing.state import Funds, funds, jobs_of, lapse_lease, nothing_changes
from clipforge.jobs import lifecycle
from clipforge.jobs import services as job_services
from clipforge.jobs.heartbeat import Heartbeat
from clipforge.jobs.outcome import settle_outcome
from clipforge.jobs.queue import QueueEntry, failed_entries
from clipforge.media import ErrorCode, MediaError
from credits import services as credit_services
from credits.models import CreditHold, CreditTransaction, TransactionType
from projects.jobs import ANALYSIS
from projects.models import Project

pytestmark = pytest.mark.django_db


def end(project: Project, error: Exception) -> Project:
    """Let the work of a running project end with this error."""
    with settle_outcome(ANALYSIS, project, Heartbeat(project)):
        raise error
    project.refresh_from_db()
    return project


# --- what it left to read -------------------------------------------------------------


def test_the_last_words_of_the_child_are_kept_without_its_folders():
    error = MediaError(ErrorCode.TRUNCATED, "It ends early.")
    error.add_note("child ended with 1; last words:\nfile:/srv/x/source: moov atom not found")
    project = end(make_project(status="ANALYZING"), error)
    assert (project.error_code, project.error_message) == ("truncated", "It ends early.")
    assert project.failure_detail == (
        "child ended with 1; last words:\nfile:…/source: moov atom not found"
    )


def test_of_a_fault_of_ours_the_lines_are_kept_and_not_the_message():
    project = end(make_project(status="ANALYZING"), RuntimeError("password=hunter2"))
    assert project.error_code == "internal_error"
    assert "test_rescuing.py" in project.failure_detail
    assert project.failure_detail.endswith("RuntimeError")
    assert "hunter2" not in project.failure_detail


def test_lost_work_says_when_it_was_last_seen(settings):
    settings.WORK_MAX_ATTEMPTS = 1
    project = make_project(status="ANALYZING")
    Project.objects.update(stage="decoding", progress=0.5)
    lapse_lease(project)
    app.tasks["projects.sweep"](timestamp=0)
    project.refresh_from_db()
    assert project.error_code == "worker_lost"
    assert project.failure_detail.startswith(
        "Attempt 1 gave its last sign of life in decoding at 50%; its lease ended at "
    )


def test_a_retry_forgets_what_the_failure_left(settings):
    project = end(make_project(status="ANALYZING"), RuntimeError("broken"))
    job_services.retry_job(job=project, actor="test")
    project.refresh_from_db()
    assert (project.status, project.failure_detail) == ("QUEUED", "")


def test_the_customer_never_sees_it(api, organization):
    project = end(make_project(organization, status="ANALYZING"), RuntimeError("broken"))
    for url in ("/api/v1/projects", f"/api/v1/projects/{project.pk}"):
        assert "RuntimeError" not in api.get(url).content.decode()


@pytest.mark.slow
def test_a_real_video_that_cannot_be_analysed_leaves_no_folder_of_ours(sound_only: Path, settings):
    project = make_project(status="QUEUED", source=sound_only, duration=30.0)
    app.tasks["projects.analyse"](project_id=str(project.pk), fence=0)
    project.refresh_from_db()
    assert project.status == "FAILED"
    assert str(settings.MEDIA_ROOT) not in project.failure_detail


# --- queued again by hand -------------------------------------------------------------


def test_queued_work_whose_job_was_lost_gets_a_new_one_and_keeps_its_hold():
    project = make_project(make_organization(credits_=10), status="QUEUED")
    job_services.requeue_job(job=project)
    project.refresh_from_db()
    assert (project.status, project.fence, project.attempts) == ("QUEUED", 1, 0)
    assert jobs_of(project) == [0, 1]
    hold = CreditHold.objects.get()
    assert (hold.status, hold.fence) == ("HELD", 1)
    assert funds(project.org) == Funds(available=10, held=1)
    assert lifecycle.claim(Project, project.pk, fence=0) is None
    assert lifecycle.claim(Project, project.pk, fence=1) is not None


def test_running_work_whose_lease_is_over_is_queued_again_however_often_it_was_tried(settings):
    settings.WORK_MAX_ATTEMPTS = 1
    project = make_project(status="ANALYZING")
    lapse_lease(project)
    job_services.requeue_job(job=project)
    project.refresh_from_db()
    assert (project.status, project.fence, project.attempts) == ("QUEUED", 2, 1)
    assert jobs_of(project) == [0, 2]


def test_running_work_that_gives_signs_of_life_is_left_alone():
    project = make_project(status="ANALYZING")
    with nothing_changes(), pytest.raises(Conflict, match="signs of life"):
        job_services.requeue_job(job=project)


@pytest.mark.parametrize("status", ["UPLOADED", "READY", "EMPTY", "FAILED", "CANCELLED"])
def test_what_does_not_wait_or_run_is_not_queued_again(status: str):
    project = make_project(status=status)
    with nothing_changes(), pytest.raises(Conflict, match=status):
        job_services.requeue_job(job=project)


def test_work_whose_hold_is_gone_is_not_queued_again():
    project = make_project(status="QUEUED")
    assert project.hold_id is not None
    credit_services.release(hold_id=project.hold_id, actor="staff")
    with nothing_changes(), pytest.raises(Conflict, match="given back"):
        job_services.requeue_job(job=project)


def test_work_whose_hold_follows_another_fence_is_not_queued_again():
    """Neither its own hold, which is open, nor another's of the fence that it would get is taken."""
    project, other = (make_project(status="QUEUED") for _ in range(2))
    CreditHold.objects.filter(reference_id=str(project.pk)).update(fence=5)
    CreditHold.objects.filter(reference_id=str(other.pk)).update(fence=project.fence + 1)
    with nothing_changes(), pytest.raises(Conflict, match="given back"):
        job_services.requeue_job(job=project)


def test_failed_entries_are_those_that_failed_the_newest_first():
    for _ in range(4):
        make_project(status="QUEUED")
    waiting, first, done, second = QueueEntry.objects.order_by("id").values_list("id", flat=True)
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE procrastinate_jobs SET status = CASE WHEN id = %s THEN 'succeeded'"
            " ELSE 'failed' END::procrastinate_job_status WHERE id <> %s",
            [done, waiting],
        )
    assert list(failed_entries().values_list("id", flat=True)) == [second, first]


def _act(acts: list[Callable[[], object]], number: int) -> object:
    return acts[number]()


@pytest.mark.django_db(transaction=True)
def test_of_a_success_and_a_requeue_at_once_exactly_one_happens():
    org = make_organization(credits_=100)
    charged = 0
    for _ in range(8):
        project = make_project(org, status="ANALYZING")
        lapse_lease(project)
        acts: list[Callable[[], object]] = [
            partial(lifecycle.succeed, project, status="READY", actor="worker"),
            partial(job_services.requeue_job, job=project),
        ]
        done, queued = run_together(2, partial(_act, acts))
        project.refresh_from_db()
        if done is True:
            assert isinstance(queued, Conflict)
            assert project.status == "READY"
            charged += 1
        else:
            assert done is False
            assert isinstance(queued, Project)
            assert (project.status, jobs_of(project)) == ("QUEUED", [0, 2])
            lifecycle.cancel(project, actor="test")
    assert CreditTransaction.objects.filter(type=TransactionType.SPEND).count() == charged
    assert funds(org) == Funds(available=100 + 8 - charged, held=0)
