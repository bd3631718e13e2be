"""Reads of jobs and of the queue's entries: each finds its own rows, and no others."""

from __future__ import annotations

import datetime
import os
import time
import uuid
from typing import Any

import pytest
import time_machine
from django.db import connection, transaction
from django.utils import timezone
from procrastinate.contrib.django import app

from clipforge.common import storage
from clipforge.common.errors import Conflict, NotFound
from clipforge.devtools.testing.factories import make_organization, make_project
from clipforge.jobs import kinds, queue, registry, store_areas
from clipforge.jobs import selectors as job_selectors
from clipforge.jobs.queue import QueueEntry
from clipforge.jobs.rules import Action, Refusal, why_not_release
from clipforge.jobs.tests.third_kind import third_kind
from credits import services as credit_services
from credits.models import CreditHold, HoldStatus
from projects.jobs import ANALYSIS
from projects.models import Project

pytestmark = pytest.mark.django_db

STATUSES = ("QUEUED", "ANALYZING", "READY", "EMPTY", "FAILED", "CANCELLED")


def statuses(rows: Any) -> set[str]:
    return {row.status for row in rows}


def sql(statement: str, *params: Any) -> None:
    with connection.cursor() as cursor:
        cursor.execute(statement, params)


def entry_of(project: Project) -> Any:
    return QueueEntry.objects.get(args__project_id=str(project.pk))


def set_status(entry: Any, status: str) -> None:
    sql("UPDATE procrastinate_jobs SET status = %s WHERE id = %s", status, entry.pk)


# --- jobs ---------------------------------------------------------------------------------


def test_jobs_are_found_by_their_state():
    for status in STATUSES:
        make_project(status=status)
    assert statuses(job_selectors.open_jobs(Project)) == {"QUEUED", "ANALYZING"}
    assert statuses(job_selectors.running_jobs(Project)) == {"ANALYZING"}
    assert statuses(job_selectors.queued_jobs(Project)) == {"QUEUED"}
    assert statuses(job_selectors.failed_jobs(Project)) == {"FAILED"}
    assert statuses(job_selectors.all_jobs(Project)) == set(STATUSES)


def test_jobs_are_found_by_their_organization():
    ours, _ = make_project(), make_project()
    assert list(job_selectors.jobs_of(Project, ours.org)) == [ours]


def test_what_a_job_of_which_the_hold_is_settled_has_reserved_is_nothing():
    project = make_project(status="QUEUED")
    make_project(status="QUEUED")
    assert project.hold_id is not None
    credit_services.release(hold_id=project.hold_id, actor="staff")
    (row,) = job_selectors.with_reserved(Project.objects.filter(pk=project.pk))
    assert vars(row)["reserved"] == 0


@pytest.mark.parametrize(
    ("position", "seconds"), [(None, 5), (1, 5), (2, 8), (9, 29), (10, 30), (500, 30)]
)
def test_one_that_waits_is_asked_for_again_by_its_place(position: int | None, seconds: int):
    assert job_selectors.seconds_until_news(Project(status="QUEUED"), position) == seconds


@pytest.mark.parametrize(
    ("passed", "seconds"),
    [(0, 2), (24, 2), (26, 3), (94, 9), (96, 10), (144, 14), (146, 15), (156, 15), (9000, 15)],
)
def test_one_that_runs_is_asked_for_again_after_a_tenth_of_what_has_passed(
    passed: int, seconds: int
):
    began = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)
    project = Project(status="ANALYZING", started_at=began)
    with time_machine.travel(began + datetime.timedelta(seconds=passed), tick=False):
        assert job_selectors.seconds_until_news(project, None) == seconds


@pytest.mark.parametrize("status", ["READY", "EMPTY", "FAILED", "CANCELLED"])
def test_one_that_has_ended_is_not_asked_for_again(status: str):
    project = Project(status=status, started_at=datetime.datetime.now(datetime.UTC))
    assert job_selectors.seconds_until_news(project, None) is None
    assert job_selectors.seconds_until_news(Project(status="ANALYZING"), None) is None


# --- the entries of the queue ---------------------------------------------------------------


def test_a_worker_is_given_up_after_three_heartbeats():
    assert datetime.timedelta(seconds=3 * 10) == queue.SILENCE
    assert queue.workers().alive == 0


@pytest.mark.parametrize(("alive", "processes"), [(0, 0), (1, 1), (4, 1), (5, 2), (8, 2)])
def test_four_workers_are_one_process(alive: int, processes: int):
    assert queue.Workers(alive, None).processes == processes


def test_the_entry_of_a_job_is_that_of_its_fence():
    project, other = make_project(status="QUEUED"), make_project(status="QUEUED")
    kinds.defer(ANALYSIS, project.pk, 7)
    kinds.defer(ANALYSIS, other.pk, other.fence)
    found = Project.objects.annotate(entry=queue.entry_of(ANALYSIS)).get(pk=project.pk)
    (own,) = QueueEntry.objects.filter(args__project_id=str(project.pk), args__fence=0)
    assert vars(found)["entry"] == own.pk
    Project.objects.filter(pk=project.pk).update(fence=8)
    found = Project.objects.annotate(entry=queue.entry_of(ANALYSIS)).get(pk=project.pk)
    assert vars(found)["entry"] is None
    twice = Project.objects.annotate(entry=queue.entry_of(ANALYSIS)).get(pk=other.pk)
    assert vars(twice)["entry"] is not None


def test_an_entry_without_the_id_of_a_job_is_for_none():
    assert queue.job_of_entry(ANALYSIS.task, {}) is None
    assert queue.job_of_entry("credits.expire", {"project_id": "7"}) is None
    assert queue.job_of_entry(ANALYSIS.task, {"project_id": 7}) == (ANALYSIS.name, "7")


def test_entries_are_found_by_their_state():
    entries = {}
    for status in ("todo", "doing", "failed", "succeeded"):
        entries[status] = entry_of(make_project(status="QUEUED"))
        set_status(entries[status], status)
    assert list(queue.waiting_entries()) == [entries["todo"]]
    assert list(queue.failed_entries()) == [entries["failed"]]
    assert list(queue.orphaned_entries()) == [entries["doing"]]


def test_an_entry_is_as_old_as_its_own_last_event():
    first = entry_of(make_project(status="QUEUED"))
    entry_of(make_project(status="QUEUED"))
    moment = datetime.datetime(2026, 3, 1, 12, tzinfo=datetime.UTC)
    sql("UPDATE procrastinate_events SET at = %s WHERE job_id = %s", moment, first.pk)
    found = queue.since_last_event(QueueEntry.objects.filter(pk=first.pk), "waits").get()
    assert (vars(found)["since"], vars(found)["state"]) == (moment, "waits")


def test_the_events_of_an_entry_are_its_own():
    first, other = (entry_of(make_project(status="QUEUED")) for _ in range(2))
    assert {each.job_id for each in queue.events_of([first.pk])} == {first.pk}
    assert {each.job_id for each in queue.events_of([first.pk, other.pk])} == {first.pk, other.pk}


@pytest.mark.parametrize("status", ["doing", "succeeded", "failed"])
def test_the_entry_of_a_job_waits_or_runs(status: str):
    project = make_project(status="QUEUED")
    set_status(entry_of(project), status)
    found = Project.objects.annotate(entry=queue.entry_of(ANALYSIS)).get(pk=project.pk)
    assert (vars(found)["entry"] is None) == (status != "doing")


def test_given_up_is_a_job_that_waits_for_a_failed_entry_of_its_own_tasks():
    projects = [make_project(status="QUEUED") for _ in range(4)]
    waits, failed, other, given_up = projects
    for project in (failed, other, given_up):
        set_status(entry_of(project), "failed")
    Project.objects.filter(pk=failed.pk).update(status="FAILED", finished_at=timezone.now())
    sql("UPDATE procrastinate_jobs SET task_name = 't' WHERE id = %s", entry_of(other).pk)
    assert entry_of(waits).status == "todo"
    assert queue.given_up(ANALYSIS) == [(given_up.pk, 0)]


def test_the_entry_that_is_asked_for_is_locked_and_another_is_not_there():
    make_project(status="QUEUED")
    entry = entry_of(make_project(status="QUEUED"))
    assert queue.locked_entry(entry.pk) == entry
    with pytest.raises(NotFound):
        queue.locked_entry(str(entry.pk + 1))


def test_only_a_failed_entry_is_retried():
    entry = entry_of(make_project(status="QUEUED"))
    assert queue.why_not_entry(Action.RETRY, entry) == Refusal(
        "It is todo; only a failed entry is retried."
    )
    set_status(entry, "failed")
    entry.refresh_from_db()
    assert queue.why_not_entry(Action.RETRY, entry) is None


def test_an_entry_that_is_put_back_keeps_its_queue_its_priority_and_its_lock():
    app.configure_task("credits.expire", queue="elsewhere", priority=3, lock="one").defer(
        timestamp=0
    )
    entry = QueueEntry.objects.latest("id")
    set_status(entry, "failed")
    queue.put_back(Action.RETRY, queue.locked_entry(entry.pk))
    entry.refresh_from_db()
    assert (entry.status, entry.queue_name) == ("todo", "elsewhere")
    assert (entry.priority, entry.lock) == (3, "one")


def test_an_entry_is_not_put_back_beside_one_that_waits():
    task = app.configure_task("credits.expire", queue="maintenance", queueing_lock="one")
    failed = QueueEntry.objects.get(pk=task.defer(timestamp=0))
    set_status(failed, "failed")
    task.defer(timestamp=0)
    failed.refresh_from_db()
    with pytest.raises(Conflict, match="waits already"), transaction.atomic():
        queue.put_back(Action.RETRY, failed)


# --- what is registered -----------------------------------------------------------------------


def test_a_task_of_a_job_comes_again_after_any_fault_and_waits_in_the_queue_of_its_kind():
    with third_kind() as kind:
        task: Any = app.tasks[kind.task]
        assert (task.queue, task.retry_strategy) == (kind.queue, registry.RETRY_EVERY_FAULT)


def test_of_each_maintenance_at_most_one_waits():
    with third_kind() as kind:
        task: Any = app.tasks[f"{kind.maintenance_name}.sweep"]
        assert task.queue == "maintenance"
        assert task.queueing_lock == f"{kind.maintenance_name}.sweep"


def test_the_removal_of_files_is_logged_where_there_were_any(caplog):
    area = store_areas.area_of(ANALYSIS)
    assert area is not None
    registry.remove_orphans(area)
    assert "removed orphaned files" not in caplog.text
    folder = storage.path_of(f"{make_organization().pk}/projects/{uuid.uuid4()}")
    folder.mkdir(parents=True)
    two_days_ago = time.time() - 2 * registry.ORPHAN_SECONDS
    os.utime(folder, (two_days_ago, two_days_ago))
    registry.remove_orphans(area)
    assert not folder.exists()
    assert "removed orphaned files" in caplog.text


# --- a hold without a job -----------------------------------------------------------------------


def test_a_hold_is_released_by_hand_while_it_is_held_and_pays_for_nothing():
    held, settled = CreditHold(status=HoldStatus.HELD), CreditHold(status=HoldStatus.CAPTURED)
    assert why_not_release(held, pays_open_job=False) is None
    assert why_not_release(held, pays_open_job=True) == Refusal(
        "It pays for a job that waits or runs. Cancel that instead."
    )
    assert why_not_release(settled, pays_open_job=False) == Refusal("It is CAPTURED already.")
