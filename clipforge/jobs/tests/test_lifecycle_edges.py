"""The lifecycle of a job beside its neighbours and its own past."""

from __future__ import annotations

import contextlib
import datetime
from typing import Any, cast

import pytest
from django.db import connection, transaction
from django.test.utils import CaptureQueriesContext
from django.utils import timezone

from clipforge.common.cache.backend import default_cache
from clipforge.common.cache.versioned_cache import FLOOR_SUFFIX
from clipforge.common.errors import Conflict, StorageUnavailable
from clipforge.devtools.testing.factories import make_organization, make_project
from clipforge.devtools.testing.state import lapse_lease, nothing_changes
from clipforge.jobs import caching, lifecycle, rules
from clipforge.jobs import services as job_services
from clipforge.jobs.failures import INTERNAL_ERROR
from clipforge.jobs.heartbeat import Heartbeat
from clipforge.jobs.outcome import settle_outcome
from clipforge.jobs.queue import QueueEntry
from clipforge.media import ErrorCode, MediaError
from credits import services as credit_services
from credits.models import CreditHold
from credits.pricing import Charge
from projects.jobs import ANALYSIS
from projects.models import Project

pytestmark = pytest.mark.django_db

EARLIER = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)


def hold_of(project: Project) -> CreditHold:
    assert project.hold_id is not None
    return CreditHold.objects.get(pk=project.hold_id)


def test_a_claim_begins_without_a_stage_and_at_nothing():
    project = make_project(status="QUEUED")
    Project.objects.filter(pk=project.pk).update(stage="decoding", progress=0.5)
    claimed = lifecycle.claim(Project, project.pk, fence=0)
    assert claimed is not None
    assert (claimed.stage, claimed.progress) == ("", 0)


@pytest.mark.parametrize("act", ["claim", "hand back"])
def test_a_claim_and_its_return_are_changes_of_the_job(act: str):
    """Copies that are kept in step ask for what was updated after a moment."""
    project = make_project(status="QUEUED" if act == "claim" else "ANALYZING")
    Project.objects.filter(pk=project.pk).update(updated_at=EARLIER)
    if act == "claim":
        assert lifecycle.claim(Project, project.pk, fence=0) is not None
    else:
        assert lifecycle.hand_back(project)
    project.refresh_from_db()
    assert project.updated_at > EARLIER


@pytest.mark.parametrize("act", ["claim", "beat", "hand back", "price", "fail", "cancel", "retry"])
def test_whoever_polls_is_told_of_each_change(act: str):
    """No stamp of a version before it is stored any more."""
    status = {"claim": "QUEUED", "cancel": "QUEUED", "retry": "FAILED"}.get(act, "ANALYZING")
    project = make_project(make_organization(credits_=10), status=status)
    version = Project.objects.values_list("version", flat=True)
    before = version.get(pk=project.pk)
    floor = f"{caching.stamp_family(Project, project.pk)}:{project.org_id}{FLOOR_SUFFIX}"
    default_cache().redis.delete(floor)
    match act:
        case "claim":
            lifecycle.claim(Project, project.pk, fence=0)
        case "beat":
            lifecycle.beat(project, stage="decoding", progress=0.5)
        case "hand back":
            lifecycle.hand_back(project)
        case "price":
            lifecycle.reserve_anew(project, charge=Charge(2, 1, "test", {}))
        case "fail":
            lifecycle.fail(project, error=INTERNAL_ERROR, actor="worker")
        case "cancel":
            lifecycle.cancel(project, actor="test")
        case "retry":
            job_services.retry_job(job=project, actor="test")
    told = default_cache().redis.get(floor)
    assert told is not None
    assert int(cast(bytes, told).rpartition(b":")[2]) == version.get(pk=project.pk) > before


def test_nothing_is_kept_for_polls_of_a_job_that_is_deleted():
    project = make_project(status="READY")
    floor = f"{caching.stamp_family(Project, project.pk)}:{project.org_id}{FLOOR_SUFFIX}"
    default_cache().redis.delete(floor)
    with transaction.atomic():
        lifecycle.abandon(project, actor="test")
    told = default_cache().redis.get(floor)
    assert told is not None
    version = Project.objects.values_list("version", flat=True).get(pk=project.pk)
    assert int(cast(bytes, told).rpartition(b":")[2]) == version + 10


def test_a_beat_is_of_its_own_job():
    project, other = make_project(status="ANALYZING"), make_project(status="ANALYZING")
    assert lifecycle.beat(project, stage="decoding", progress=0.5)
    other.refresh_from_db()
    assert other.stage == ""


def test_a_job_that_has_ended_does_not_beat():
    project = make_project(status="ANALYZING")
    assert lifecycle.succeed(project, status="READY", actor="worker")
    with nothing_changes():
        assert not lifecycle.beat(project, stage="decoding", progress=0.5)


def test_an_end_has_its_time_and_no_stage_and_no_lease():
    project = make_project(status="ANALYZING")
    assert lifecycle.beat(project, stage="decoding", progress=0.5)
    Project.objects.filter(pk=project.pk).update(updated_at=project.created_at)
    assert lifecycle.fail(project, error=INTERNAL_ERROR, actor="worker")
    project.refresh_from_db()
    assert (project.stage, project.lease_expires_at) == ("", None)
    assert project.updated_at == project.finished_at


def test_a_hold_that_follows_another_attempt_is_not_given_back_by_this_one():
    project = make_project(status="ANALYZING")
    CreditHold.objects.filter(pk=hold_of(project).pk).update(fence=9)
    assert lifecycle.fail(project, error=INTERNAL_ERROR, actor="worker")
    assert hold_of(project).status == "HELD"


def test_work_that_comes_back_goes_before_new_work():
    project = make_project(status="ANALYZING")
    assert lifecycle.hand_back(project)
    new, returned = (
        QueueEntry.objects.get(args__project_id=str(project.pk), args__fence=fence)
        for fence in (0, 2)
    )
    assert returned.priority > new.priority
    assert (returned.task_name, returned.scheduled_at) == (ANALYSIS.task, None)


def test_a_job_is_handed_over_to_the_task_that_is_named():
    project = make_project(status="ANALYZING")
    assert lifecycle.hand_over(project, task="projects.import")
    entry = QueueEntry.objects.get(args__project_id=str(project.pk), args__fence=2)
    assert (entry.task_name, entry.queue_name) == ("projects.import", "imports")
    with nothing_changes():
        assert not lifecycle.hand_over(project, task="projects.import")


@pytest.mark.parametrize(
    ("attempts", "code"), [(2, None), (3, "storage_unavailable"), (4, "storage_unavailable")]
)
def test_a_store_that_is_away_ends_only_the_last_attempt(attempts: int, code: str | None, settings):
    settings.WORK_MAX_ATTEMPTS = 3
    project = make_project(status="ANALYZING")
    Project.objects.filter(pk=project.pk).update(attempts=attempts)
    project.refresh_from_db()
    expected = contextlib.nullcontext() if code else pytest.raises(StorageUnavailable)
    with expected, settle_outcome(ANALYSIS, project, Heartbeat(project)):
        raise StorageUnavailable("The store does not answer.")
    project.refresh_from_db()
    assert (project.status, project.error_code) == (("FAILED", code) if code else ("ANALYZING", ""))


@pytest.mark.parametrize("act", ["requeue", "release_left_hold"])
def test_what_staff_do_locks_the_job_before_it_looks(act: str):
    project = make_project(status="ANALYZING")
    options: dict[str, Any] = {}
    if act == "requeue":
        lapse_lease(project)
    else:
        Project.objects.filter(pk=project.pk).update(status="FAILED", finished_at=timezone.now())
        options = {"actor": "staff"}
    with CaptureQueriesContext(connection) as queries:
        getattr(lifecycle, act)(project, **options)
    selects = [each["sql"] for each in queries if each["sql"].startswith("SELECT")]
    assert "FOR UPDATE" in selects[0]
    assert 'FROM "projects_project"' in selects[0]


def test_a_hold_that_was_settled_while_staff_looked_is_a_conflict(monkeypatch):
    project = make_project(status="ANALYZING")
    Project.objects.filter(pk=project.pk).update(status="FAILED", finished_at=timezone.now())
    require = rules.require

    def settle_meanwhile(action: rules.Action, job: Any) -> None:
        require(action, job)
        credit_services.release(hold_id=job.hold_id, actor="somebody else")

    monkeypatch.setattr(rules, "require", settle_meanwhile)
    with pytest.raises(Conflict, match="It was settled meanwhile"):
        lifecycle.release_left_hold(project, actor="staff")


@pytest.mark.parametrize(("lost", "status"), [(False, "QUEUED"), (True, "ANALYZING")])
def test_an_interrupted_job_is_handed_back_while_it_is_ours(lost: bool, status: str):
    project = make_project(status="ANALYZING")
    heartbeat = Heartbeat(project)
    heartbeat.lost = lost
    with settle_outcome(ANALYSIS, project, heartbeat):
        raise MediaError(ErrorCode.CANCELLED, "It was stopped.")
    project.refresh_from_db()
    assert project.status == status
