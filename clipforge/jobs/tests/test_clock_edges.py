"""When a lease, a hold and a worker are over: before, on and after the microsecond."""

from __future__ import annotations

import datetime

import pytest
from django.db import connection

from clipforge.devtools.testing.clocks import around, clocks_at
from clipforge.devtools.testing.factories import make_project
from clipforge.jobs import heartbeat, lifecycle, queue, selectors, sweeping
from clipforge.jobs.heartbeat import Heartbeat
from clipforge.jobs.rules import Action, Refusal
from credits.models import CreditHold
from projects.models import Project

pytestmark = pytest.mark.django_db

EDGE = datetime.datetime(2026, 12, 1, 12, tzinfo=datetime.UTC)


def test_a_lease_is_over_after_its_end():
    make_project(status="ANALYZING")
    Project.objects.update(lease_expires_at=EDGE)
    assert around(EDGE, selectors.lapsed_jobs(Project).count) == [0, 0, 1]
    sweep = around(EDGE, lambda: sweeping.sweep(Project))
    assert sweep == [(0, 0), (0, 0), (1, 0)]


def test_a_claim_and_a_beat_lease_for_so_many_seconds(settings):
    settings.WORK_LEASE_SECONDS = 60
    lease = datetime.timedelta(seconds=60)
    project = make_project(status="QUEUED")
    with clocks_at(EDGE):
        claimed = lifecycle.claim(Project, project.pk, fence=project.fence)
    assert claimed is not None
    assert (claimed.started_at, claimed.lease_expires_at) == (EDGE, EDGE + lease)
    with clocks_at(EDGE + lease):
        assert lifecycle.beat(claimed, stage="decoding", progress=0.5)
    project.refresh_from_db()
    assert project.lease_expires_at == EDGE + 2 * lease


@pytest.mark.parametrize("status", ["QUEUED", "ANALYZING"])
def test_a_hold_ages_once_less_than_half_of_its_life_is_left(status: str, settings):
    settings.HOLD_SECONDS = 24 * 3600
    make_project(status=status)
    half = datetime.timedelta(hours=12)
    CreditHold.objects.update(expires_at=EDGE + half)
    Project.objects.update(lease_expires_at=EDGE + half)
    assert around(EDGE, selectors.aging_jobs(Project, status).count) == [0, 0, 1]

    def end_after_a_sweep() -> datetime.datetime:
        sweeping.sweep(Project)
        return CreditHold.objects.get().expires_at

    *kept, renewed = around(EDGE, end_after_a_sweep)
    assert kept == [EDGE + half] * 2
    assert renewed > EDGE + 2 * half


def silent_worker() -> int:
    """One that was heard of last when its silence began. Returns its id."""
    with connection.cursor() as cursor:
        cursor.execute(
            "INSERT INTO procrastinate_workers (last_heartbeat) VALUES (%s) RETURNING id",
            [EDGE - queue.SILENCE],
        )
        return int(cursor.fetchone()[0])


def test_a_worker_that_was_heard_within_thirty_seconds_is_alive():
    silent_worker()
    assert around(EDGE, lambda: queue.workers().alive) == [1, 0, 0]


def test_a_job_is_orphaned_once_its_worker_was_silent_for_more_than_thirty_seconds():
    """On the edge itself the worker is neither alive nor given up."""
    make_project(status="QUEUED")
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE procrastinate_jobs SET status = 'doing', worker_id = %s", [silent_worker()]
        )
    assert around(EDGE, queue.orphaned_entries().count) == [0, 0, 1]


def test_an_entry_is_requeued_by_hand_once_its_worker_was_silent_for_thirty_seconds():
    make_project(status="QUEUED")
    with connection.cursor() as cursor:
        cursor.execute(
            "UPDATE procrastinate_jobs SET status = 'doing', worker_id = %s", [silent_worker()]
        )
    entry = queue.entries_with_worker().get()
    alive = Refusal("Its worker is alive.")
    assert around(EDGE, lambda: queue.why_not_entry(Action.REQUEUE, entry)) == [alive, None, None]
    with connection.cursor() as cursor:
        cursor.execute("UPDATE procrastinate_jobs SET worker_id = NULL")
    entry = queue.entries_with_worker().get()
    assert queue.why_not_entry(Action.REQUEUE, entry) is None


# --- the heartbeat, whose clock only counts ----------------------------------------------


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def beats(monkeypatch: pytest.MonkeyPatch, settings) -> list[str]:
    """The stages of the beats that are sent from now on; a lease is 60 seconds."""
    settings.WORK_LEASE_SECONDS = 60
    sent: list[str] = []

    def note_beat(item: Project, *, stage: str, progress: float) -> bool:
        sent.append(stage)
        return lifecycle.beat(item, stage=stage, progress=progress)

    monkeypatch.setattr(heartbeat, "beat", note_beat)
    return sent


@pytest.mark.parametrize(("seconds", "count"), [(19.999, 0), (20.0, 1), (20.001, 1)])
def test_a_beat_is_sent_when_a_third_of_the_lease_is_over(beats, seconds: float, count: int):
    clock = Clock()
    heartbeat = Heartbeat(make_project(status="ANALYZING"), clock=clock)
    clock.now += seconds
    assert not heartbeat.must_stop()
    assert len(beats) == count


@pytest.mark.parametrize(("seconds", "count"), [(0.999, 0), (1.0, 1), (1.001, 1)])
def test_progress_is_shown_once_a_second(beats, seconds: float, count: int):
    clock = Clock()
    heartbeat = Heartbeat(make_project(status="ANALYZING"), clock=clock)
    heartbeat.note("", 0.5)
    clock.now += seconds
    assert not heartbeat.must_stop()
    assert len(beats) == count
