"""Tasks that raise: they come again after ever longer pauses, are given up, and delay nobody else."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest
from django.db import OperationalError, connection
from django.utils import timezone
from procrastinate.contrib.django import app
from procrastinate.jobs import Job as Entry

from clipforge.devtools.testing.factories import make_organization, make_project
from clipforge.devtools.testing.faults import environment
from clipforge.devtools.testing.state import Funds, funds, jobs_of, lapse_lease, nothing_changes
from clipforge.jobs import lifecycle, queue, retrying, sweeping
from clipforge.jobs import services as job_services
from clipforge.jobs.models import JobPlace
from clipforge.jobs.queue import QueueEntry
from clipforge.jobs.rules import Action
from credits.invariants import broken_invariants
from projects.jobs import ANALYSIS
from projects.models import Project


def decision_after(earlier: int) -> Any:
    task = app.tasks[ANALYSIS.task]
    entry = Entry(
        id=1, queue="analysis", lock=None, queueing_lock=None, task_name="t", attempts=earlier
    )
    return task.retry_strategy.get_retry_decision(exception=ValueError(), job=entry)  # type: ignore[union-attr]


def pause_after(earlier: int) -> float:
    return float((decision_after(earlier).retry_at - timezone.now()).total_seconds())


# --- pauses ---------------------------------------------------------------------------


def test_each_pause_is_longer_than_the_one_before_whatever_the_dice_say():
    for dice in range(20):
        pauses = [retrying.pause(tries) for tries in range(1, 7)]
        assert pauses == sorted(pauses), dice
    for tries, shortest in enumerate([5, 10, 20, 40, 80, 160, 300, 300], start=1):
        drawn = {retrying.pause(tries) for _ in range(50)}
        assert all(shortest <= seconds < 1.5 * shortest for seconds in drawn)
        assert len(drawn) > 1


def test_the_seventh_try_is_followed_by_another_and_the_eighth_by_none():
    assert 4 < pause_after(0) < 8
    assert 299 < pause_after(6) <= 450
    assert decision_after(7) is None
    assert decision_after(8) is None


def test_a_job_that_lost_its_second_worker_waits_and_one_that_lost_its_first_does_not():
    assert retrying.pause_after_loss(1) == 0
    assert 30 <= retrying.pause_after_loss(2) < 45
    assert 60 <= retrying.pause_after_loss(3) < 90


@pytest.mark.django_db
@pytest.mark.parametrize(("attempts", "shortest"), [(1, None), (2, 29)])
def test_the_sweeper_lets_such_a_job_wait(settings, attempts: int, shortest: int | None):
    settings.WORK_MAX_ATTEMPTS = 3
    project = make_project(status="ANALYZING")
    Project.objects.filter(pk=project.pk).update(attempts=attempts)
    lapse_lease(project)
    assert sweeping.sweep(Project) == (1, 0)
    at = QueueEntry.objects.latest("id").scheduled_at
    if shortest is None:
        assert at is None
    else:
        assert shortest < (at - timezone.now()).total_seconds() <= 45


# --- the end --------------------------------------------------------------------------


def entry_fails(project: Project) -> Any:
    entry = QueueEntry.objects.filter(args__project_id=str(project.pk)).latest("id")
    with connection.cursor() as cursor:
        cursor.execute("UPDATE procrastinate_jobs SET status = 'failed' WHERE id = %s", [entry.pk])
    return entry


@pytest.mark.django_db
def test_the_job_of_a_task_that_was_given_up_fails_and_frees_its_place_and_its_credits():
    org = make_organization(credits_=10, tier="FREE")  # runs one at once
    poison, second = (make_project(org, status="QUEUED") for _ in range(2))
    assert JobPlace.objects.get(job=second.pk).tag is None
    before = funds(org)
    entry = entry_fails(poison)
    assert sweeping.sweep(Project) == (0, 1)
    poison.refresh_from_db()
    assert (poison.status, poison.error_code, poison.charged) == ("FAILED", "internal_error", 0)
    assert poison.failure_detail.startswith("It could not be begun in 8 tries;")
    assert funds(org) == Funds(available=before.available + 1, held=before.held - 1)
    assert not JobPlace.objects.filter(job=poison.pk).exists()
    assert jobs_of(second) == [0]  # its turn
    assert [each.pk for each in queue.failed_entries()] == [entry.pk]  # for staff
    assert sweeping.sweep(Project) == (0, 0)
    assert broken_invariants(org) == []


@pytest.mark.django_db
def test_a_job_that_is_retried_and_given_up_again_fails_again():
    project = make_project(make_organization(credits_=10), status="QUEUED")
    for number in 1, 2:
        entry_fails(project)
        assert sweeping.sweep(Project) == (0, 1), number
        project.refresh_from_db()
        assert (project.status, funds(project.org).held) == ("FAILED", 0), number
        if number == 1:
            job_services.retry_job(job=project, actor="test")


@pytest.mark.django_db
def test_a_failed_entry_ends_no_job_that_went_on_without_it():
    requeued, running, ready = (
        make_project(status=status) for status in ("QUEUED", "ANALYZING", "READY")
    )
    for project in (requeued, running, ready):
        entry_fails(project) if jobs_of(project) else None
    job_services.requeue_job(job=requeued)
    Project.objects.filter(pk=requeued.pk, fence=1).get()
    with nothing_changes():
        assert sweeping.sweep(Project) == (0, 0)


@pytest.mark.django_db
def test_rows_that_cannot_be_swept_hold_up_none_behind_them(monkeypatch, caplog):
    poison, good = (make_project(status="ANALYZING") for _ in range(2))
    for project in (poison, good):
        lapse_lease(project)
    real = lifecycle.requeue_row

    def refuse(job: Any, **fields: Any) -> bool:
        if job.pk == poison.pk:
            raise ValueError("a row that cannot be requeued")
        return real(job, **fields)

    monkeypatch.setattr(sweeping, "requeue_row", refuse)
    assert sweeping.sweep(Project, batch=1) == (1, 0)
    good.refresh_from_db()
    assert good.status == "QUEUED"
    assert "sweeping failed" in caplog.text


@pytest.mark.django_db
def test_a_job_that_cannot_be_ended_holds_up_no_other_that_was_given_up(monkeypatch, caplog):
    poison, good = (make_project(status="QUEUED") for _ in range(2))
    for project in (poison, good):
        entry_fails(project)
    faults: list[Exception] = [ValueError("a row that cannot be ended"), OperationalError("gone")]

    def refuse(job: Any, **fields: Any) -> bool:
        if job.pk == poison.pk:
            raise faults.pop(0)
        return lifecycle.fail(job, **fields)

    monkeypatch.setattr(sweeping, "fail", refuse)
    assert sweeping.sweep(Project) == (0, 1)
    good.refresh_from_db()
    assert good.status == "FAILED"
    assert "a job that was given up could not be ended" in caplog.text
    with pytest.raises(OperationalError):
        sweeping.sweep(Project)


# --- with a real worker ----------------------------------------------------------------

# A worker's process, in which the claim of one project always raises. Works off what is due as often
# as it is told to; before each round but the first, what waits is made due.
WORK = """
import asyncio, sys
import django
django.setup()
from django.db import OperationalError, connection
from clipforge.jobs import lifecycle, worker
from projects.jobs import ANALYSIS

real = lifecycle.claim

def claim(model, pk, *, fence):
    if str(pk) == sys.argv[1]:
        raise ValueError("a row that cannot be claimed")
    return real(model, pk, fence=fence)

def analyse(project, control):
    lifecycle.succeed(project, status="READY", actor="test")

lifecycle.claim = claim
object.__setattr__(ANALYSIS, "run", analyse)

async def work():
    app = worker._worker_app()
    async with app.open_async():
        for line in sys.stdin:
            await app.run_worker_async(queues=["analysis"], concurrency=1, wait=False)
            print("worked off", flush=True)

asyncio.run(work())
"""


def make_due() -> None:
    with connection.cursor() as cursor:
        cursor.execute("UPDATE procrastinate_jobs SET scheduled_at = now() WHERE status = 'todo'")


@pytest.mark.django_db(transaction=True)
def test_a_task_that_always_raises_is_a_dead_letter_and_others_are_done_meanwhile(
    tmp_path: Path,
):
    poison = make_project(status="QUEUED")
    log = tmp_path / "worker.log"
    with (
        log.open("wb") as errors,
        subprocess.Popen(
            [sys.executable, "-c", WORK, str(poison.pk)],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=errors,
            text=True,
        ) as process,
    ):
        assert process.stdin is not None
        assert process.stdout is not None
        pauses = []
        for number in range(1, retrying.MOST_TRIES + 1):
            other = make_project(make_organization(credits_=10), status="QUEUED")
            process.stdin.write("now\n")
            process.stdin.flush()
            assert process.stdout.readline() == "worked off\n", log.read_text()
            # Beside the one that raises, not after its pause.
            assert Project.objects.get(pk=other.pk).status == "READY"
            entry = QueueEntry.objects.get(args__project_id=str(poison.pk))
            assert entry.attempts == number
            if number < retrying.MOST_TRIES:
                assert entry.status == "todo"
                pauses.append((entry.scheduled_at - timezone.now()).total_seconds())
                make_due()
        assert pauses == sorted(pauses)
        assert entry.status == "failed"
        assert sweeping.sweep(Project) == (0, 1)
        poison.refresh_from_db()
        assert (poison.status, poison.error_code) == ("FAILED", "internal_error")
        # Staff may try it again: its job has ended, so that it would do nothing but for its fault.
        queue.put_back(Action.RETRY, entry)
        process.stdin.write("now\n")
        process.stdin.close()
        assert process.wait(30) == 0, log.read_text()
    assert log.read_text().count("a job could not be done") == 9
    entry.refresh_from_db()
    assert entry.status == "failed"
    assert broken_invariants() == []
