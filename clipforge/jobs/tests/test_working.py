"""Jobs as the worker sees them: claim, beat, succeed, fail, hand back, and the heartbeat."""

from __future__ import annotations

import datetime

import pytest
from django.utils import timezone

from clipforge.common.shutdown import stopping
from clipforge.devtools.testing.factories import make_organization, make_project
from clipforge.devtools.testing.faults import end_the_connection
from clipforge.devtools.testing.state import Funds, funds, jobs_of, lapse_lease, nothing_changes
from clipforge.jobs import failures, lifecycle, sweeping
from clipforge.jobs.failures import HoldLost
from clipforge.jobs.heartbeat import Heartbeat
from credits import invariants, reconciling
from credits import services as credit_services
from credits.invariants import Breach
from credits.models import CreditHold, CreditTransaction, TransactionType
from projects.models import Project

pytestmark = pytest.mark.django_db


def claim(project: Project) -> Project:
    claimed = lifecycle.claim(Project, project.pk, fence=project.fence)
    assert claimed is not None
    return claimed


def hold_of(project: Project) -> CreditHold:
    assert project.hold_id is not None
    return CreditHold.objects.get(pk=project.hold_id)


# --- claim ----------------------------------------------------------------------------


def test_a_claim_takes_the_row_and_its_hold_under_a_new_fence(settings):
    settings.WORK_LEASE_SECONDS = 60
    claimed = claim(make_project(status="QUEUED"))
    stored = Project.objects.get(pk=claimed.pk)
    assert (stored.status, stored.fence, stored.attempts) == ("ANALYZING", 1, 1)
    assert (claimed.fence, claimed.attempts) == (1, 1)
    assert hold_of(stored).fence == 1
    assert stored.started_at is not None
    assert stored.lease_expires_at == stored.started_at + datetime.timedelta(seconds=60)


def test_a_second_claim_under_the_same_fence_gets_nothing():
    project = make_project(status="QUEUED")
    claim(project)
    with nothing_changes():
        assert lifecycle.claim(Project, project.pk, fence=0) is None


@pytest.mark.parametrize("fence", [0, 1, 3])
def test_a_job_with_another_fence_claims_nothing(fence: int):
    project = make_project(status="ANALYZING")  # fence 1
    assert lifecycle.hand_back(project)  # fence 2
    with nothing_changes():
        assert lifecycle.claim(Project, project.pk, fence=fence) is None


@pytest.mark.parametrize("status", ["UPLOADED", "READY", "EMPTY", "FAILED", "CANCELLED"])
def test_what_is_not_queued_cannot_be_claimed(status: str):
    project = make_project(status=status)
    with nothing_changes():
        assert lifecycle.claim(Project, project.pk, fence=project.fence) is None


def test_a_deleted_row_cannot_be_claimed():
    project = make_project(status="CANCELLED")
    Project.objects.all().delete()
    assert lifecycle.claim(Project, project.pk, fence=0) is None


def test_work_whose_hold_is_gone_fails_when_it_is_claimed():
    project = make_project(status="QUEUED")
    assert project.hold_id is not None
    assert credit_services.release(hold_id=project.hold_id, actor="staff")
    assert lifecycle.claim(Project, project.pk, fence=0) is None
    project.refresh_from_db()
    assert (project.status, project.error_code) == ("FAILED", "hold_lapsed")
    assert "not charged" in project.error_message
    assert funds(project.org) == Funds(available=1, held=0)


# --- beat -----------------------------------------------------------------------------


def test_a_beat_renews_the_lease_and_shows_the_progress(settings):
    settings.WORK_LEASE_SECONDS = 60
    project = make_project(status="ANALYZING")
    lapse_lease(project)
    assert lifecycle.beat(project, stage="decoding", progress=0.25)
    project.refresh_from_db()
    assert (project.stage, project.progress) == ("decoding", 0.25)
    assert project.lease_expires_at is not None
    assert project.lease_expires_at > timezone.now() + datetime.timedelta(seconds=50)


# --- succeed and fail -----------------------------------------------------------------


def test_success_captures_the_hold():
    project = make_project(make_organization(credits_=10), status="ANALYZING")
    assert lifecycle.succeed(project, status="READY", actor="worker", scorer_version="7")
    stored = Project.objects.get(pk=project.pk)
    assert (stored.status, stored.progress, stored.scorer_version) == ("READY", 1, "7")
    assert (stored.reserved, stored.charged) == (0, 1)
    assert stored.finished_at is not None
    assert stored.lease_expires_at is None
    assert hold_of(stored).status == "CAPTURED"
    assert funds(project.org) == Funds(available=10, held=0)
    spend = CreditTransaction.objects.get(type=TransactionType.SPEND)
    assert (spend.amount, spend.reference_id, spend.actor) == (-1, str(project.pk), "worker")


@pytest.mark.breaks_ledger
def test_a_row_that_says_something_else_about_its_cost_than_its_hold_is_a_breach(
    monkeypatch: pytest.MonkeyPatch,
):
    project, other = make_project(), make_project()
    assert reconciling.breaches() == []
    Project.objects.filter(pk=project.pk).update(charged=2)
    breach = Breach(
        8, project.org_id, f"project {project.pk}: charged is 2 but its hold captured 1"
    )
    assert reconciling.breaches() == [breach]
    assert reconciling.breaches(project.org) == [breach]
    assert reconciling.breaches(other.org) == []
    unpaid = make_project(status="UPLOADED")
    Project.objects.filter(pk=unpaid.pk).update(charged=1)
    assert [each.org_id for each in reconciling.breaches()] == [project.org_id, unpaid.org_id]
    monkeypatch.setattr(invariants, "MOST_BREACHES", 1)
    assert len(reconciling.breaches()) == 1


def test_an_empty_result_releases_the_hold():
    project = make_project(make_organization(credits_=10), status="ANALYZING")
    assert lifecycle.succeed(project, status="EMPTY", actor="worker", charged=False)
    project.refresh_from_db()
    assert (project.status, project.charged) == ("EMPTY", 0)
    assert hold_of(project).status == "RELEASED"
    assert funds(project.org) == Funds(available=11, held=0)
    assert not CreditTransaction.objects.filter(type=TransactionType.SPEND).exists()


def test_a_failure_is_recorded_and_releases_the_hold():
    project = make_project(make_organization(credits_=10), status="ANALYZING")
    assert lifecycle.fail(project, error=("truncated", "It ends early."), actor="worker")
    project.refresh_from_db()
    assert (project.status, project.error_code) == ("FAILED", "truncated")
    assert (project.error_message, project.lease_expires_at) == ("It ends early.", None)
    assert hold_of(project).status == "RELEASED"
    assert funds(project.org) == Funds(available=11, held=0)


def test_a_finish_is_recorded_once():
    project = make_project(status="ANALYZING")
    assert lifecycle.succeed(project, status="READY", actor="worker")
    with nothing_changes():
        assert not lifecycle.succeed(project, status="READY", actor="worker")
        assert not lifecycle.succeed(project, status="EMPTY", actor="worker", charged=False)
        assert not lifecycle.fail(project, error=("timed_out", ""), actor="worker")


@pytest.mark.parametrize("status", ["RELEASED", "EXPIRED"])
def test_success_without_a_hold_left_changes_nothing_until_the_worker_says_so(status: str):
    project = make_project(make_organization(credits_=10), status="ANALYZING")
    assert project.hold_id is not None
    assert credit_services.release(hold_id=project.hold_id, actor="staff", status=status)
    with nothing_changes(), pytest.raises(HoldLost):
        lifecycle.succeed(project, status="READY", actor="worker")
    assert lifecycle.fail(project, error=failures.HOLD_LAPSED, actor="worker")
    project.refresh_from_db()
    assert (project.status, project.error_code) == ("FAILED", "hold_lapsed")
    assert funds(project.org) == Funds(available=11, held=0)


def test_handing_back_costs_no_attempt_and_keeps_the_hold():
    project = make_project(make_organization(credits_=10), status="ANALYZING")
    assert lifecycle.hand_back(project)
    project.refresh_from_db()
    assert (project.status, project.fence, project.attempts) == ("QUEUED", 2, 0)
    assert (project.stage, project.progress, project.lease_expires_at) == ("", 0, None)
    assert jobs_of(project) == [0, 2]
    assert hold_of(project).fence == 2
    assert funds(project.org) == Funds(available=10, held=1)
    assert claim(project).attempts == 1


# --- a worker that came back from the dead --------------------------------------------


def test_a_worker_whose_work_was_requeued_can_change_nothing():
    zombie = make_project(status="ANALYZING")
    lapse_lease(zombie)
    assert sweeping.sweep(Project) == (1, 0)
    assert_powerless(zombie)


def test_a_worker_whose_work_is_done_by_another_can_change_nothing():
    zombie = make_project(status="ANALYZING")
    lapse_lease(zombie)
    sweeping.sweep(Project)
    other = claim(Project.objects.get(pk=zombie.pk))
    assert_powerless(zombie)
    assert lifecycle.succeed(other, status="READY", actor="worker")
    assert_powerless(zombie)


def test_a_worker_whose_work_was_cancelled_and_retried_can_change_nothing():
    zombie = make_project(status="ANALYZING")
    lifecycle.cancel(zombie, actor="test")
    assert_powerless(zombie)


def assert_powerless(zombie: Project) -> None:
    with nothing_changes():
        assert not lifecycle.beat(zombie, stage="decoding", progress=0.9)
        assert not lifecycle.succeed(zombie, status="READY", actor="worker")
        assert not lifecycle.succeed(zombie, status="EMPTY", actor="worker", charged=False)
        assert not lifecycle.fail(zombie, error=("timed_out", "Late."), actor="worker")
        assert not lifecycle.hand_back(zombie)


# --- the heartbeat ------------------------------------------------------------------------


class Clock:
    """Seconds that pass when the test says so."""

    def __init__(self) -> None:
        self.now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock(settings) -> Clock:
    settings.WORK_LEASE_SECONDS = 60
    return Clock()


@pytest.fixture
def asked_to_stop():
    stopping.set()
    yield
    stopping.clear()


def progress_of(project: Project) -> tuple[str, float]:
    return Project.objects.values_list("stage", "progress").get(pk=project.pk)


def test_a_heartbeat_without_news_beats_a_third_into_the_lease(
    clock: Clock, django_assert_num_queries
):
    project = make_project(status="ANALYZING")
    lapse_lease(project)
    heartbeat = Heartbeat(project, clock=clock)
    clock.now += 19.9
    with django_assert_num_queries(0):
        assert not heartbeat.must_stop()
    clock.now += 0.1
    with django_assert_num_queries(1):
        assert not heartbeat.must_stop()
        assert not heartbeat.must_stop()
    project.refresh_from_db()
    assert project.lease_expires_at is not None
    assert project.lease_expires_at > timezone.now()


def test_a_heartbeat_shows_a_new_stage_at_once_and_progress_once_a_second_at_most(
    clock: Clock, django_assert_num_queries
):
    project = make_project(status="ANALYZING")
    heartbeat = Heartbeat(project, clock=clock)
    heartbeat.note("decoding", 0.1)
    assert not heartbeat.must_stop()
    assert progress_of(project) == ("decoding", 0.1)
    heartbeat.note("decoding", 0.5)
    with django_assert_num_queries(0):
        assert not heartbeat.must_stop()
    clock.now += 1
    with django_assert_num_queries(1):
        assert not heartbeat.must_stop()
    assert progress_of(project) == ("decoding", 0.5)
    clock.now += 1
    with django_assert_num_queries(0):  # nothing new
        assert not heartbeat.must_stop()


def test_a_heartbeat_says_stop_once_the_fence_is_another(clock: Clock):
    project = make_project(status="ANALYZING")
    heartbeat = Heartbeat(project, clock=clock)
    Project.objects.filter(pk=project.pk).update(fence=5)
    clock.now += 19
    assert not heartbeat.must_stop()
    clock.now += 1
    assert heartbeat.must_stop()
    assert heartbeat.lost


def test_a_heartbeat_says_stop_within_a_second_of_a_cancel_while_there_is_progress(clock: Clock):
    project = make_project(status="ANALYZING")
    heartbeat = Heartbeat(project, clock=clock)
    lifecycle.cancel(project, actor="test")
    heartbeat.note("decoding", 0.1)
    clock.now += 1
    assert heartbeat.must_stop()
    assert heartbeat.lost


@pytest.mark.usefixtures("asked_to_stop")
def test_a_worker_that_has_to_stop_stops_without_losing_its_work(clock: Clock):
    heartbeat = Heartbeat(make_project(status="ANALYZING"), clock=clock)
    assert heartbeat.must_stop()
    assert not heartbeat.lost


@pytest.mark.django_db(transaction=True)
def test_a_heartbeat_survives_the_loss_of_its_connection(clock: Clock, caplog):
    project = make_project(status="ANALYZING")
    heartbeat = Heartbeat(project, clock=clock)
    heartbeat.note("decoding", 0.5)
    end_the_connection()
    clock.now += 20
    assert not heartbeat.must_stop()
    assert "heartbeat failed" in caplog.text
    assert not heartbeat.must_stop()  # at once, over a new connection
    assert progress_of(project) == ("decoding", 0.5)


@pytest.mark.django_db(transaction=True)
def test_a_heartbeat_gives_up_when_the_database_stays_away_for_a_whole_lease(clock: Clock):
    heartbeat = Heartbeat(make_project(status="ANALYZING"), clock=clock)
    clock.now += 59.9
    end_the_connection()
    assert not heartbeat.must_stop()
    assert not heartbeat.lost
    heartbeat = Heartbeat(heartbeat.job, clock=clock)
    clock.now += 60
    end_the_connection()
    assert heartbeat.must_stop()
    assert heartbeat.lost
