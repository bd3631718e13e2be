"""The queue as staff see it: who works, which jobs nobody works on, and which failed."""

from __future__ import annotations

import datetime
from typing import Any, NamedTuple

from django.db.models import (
    CharField,
    Count,
    Max,
    OuterRef,
    Q,
    QuerySet,
    Subquery,
    Value,
)
from django.db.models.fields.json import KT
from django.db.models.functions import Cast, Coalesce, Now
from django.utils import timezone
from procrastinate.contrib.django import app
from procrastinate.contrib.django import models as tables
from procrastinate.exceptions import UniqueViolation

from clipforge.common.errors import Conflict

# Read-only, says procrastinate, and typed for nobody.
JOBS: Any = tables.ProcrastinateJob
WORKERS: Any = tables.ProcrastinateWorker
EVENTS: Any = tables.ProcrastinateEvent

# A worker says every ten seconds that it is alive, and is given up after three times that.
SILENCE = datetime.timedelta(seconds=30)

# The id of the work that a job is for, as the index staff_jobs_of_work has it.
WORK = Coalesce(KT("args__project_id"), KT("args__export_id"))


class Workers(NamedTuple):
    """How many are alive (each process has two), and when any was last seen; None: none ever."""

    alive: int
    last_seen: datetime.datetime | None


def workers() -> Workers:
    """The table holds those that run, and those that were killed since another one started."""
    alive = Count("pk", filter=Q(last_heartbeat__gt=Now() - SILENCE))
    return Workers(**WORKERS.objects.aggregate(alive=alive, last_seen=Max("last_heartbeat")))


def job_of_work() -> Subquery:
    """Of a row of work: the job for its fence that waits or runs, or None.

    Looked up row by row. As EXISTS it would be joined, and the planner sort all jobs of the queue.
    """
    jobs = JOBS.objects.filter(status__in=["todo", "doing"])
    mine = jobs.annotate(work=WORK, of_fence=KT("args__fence")).filter(
        work=Cast(OuterRef("pk"), CharField()),
        of_fence=Cast(OuterRef("fence"), CharField()),
    )
    return Subquery(mine.values("pk")[:1])


def waiting_jobs() -> QuerySet[Any]:
    """Jobs that no worker has begun, whatever they are for."""
    jobs: QuerySet[Any] = JOBS.objects.filter(status="todo")
    return jobs


def failed_jobs() -> QuerySet[Any]:
    """Jobs that will not come again by themselves, the newest first."""
    jobs: QuerySet[Any] = JOBS.objects.filter(status="failed").order_by("-id")
    return jobs


def orphaned_jobs() -> QuerySet[Any]:
    """Jobs that are marked as being done, by a worker that is not alive."""
    gone = Q(worker=None) | Q(worker__last_heartbeat__lt=Now() - SILENCE)
    jobs: QuerySet[Any] = JOBS.objects.filter(gone, status="doing").order_by("-id")
    return jobs


def since_its_last_event(jobs: QuerySet[Any], state: str) -> Any:
    """Each with the time of what happened to it last, as `since`, and `state`."""
    events = EVENTS.objects.filter(job=OuterRef("pk")).order_by("-id").values("at")
    return jobs.annotate(
        since=Coalesce(Subquery(events[:1]), "scheduled_at", Now()), state=Value(state)
    )


def do_again(job: Any) -> None:
    """Put a job that failed, or whose worker is gone, back into the queue, in this transaction.

    Raises Conflict when another of its kind waits already, which will do the same.
    """
    try:
        app.job_manager.retry_job_by_id(
            job.pk, timezone.now(), priority=job.priority, queue=job.queue_name, lock=job.lock
        )
    except UniqueViolation as error:
        raise Conflict("Another job of its kind waits already, and will do the same.") from error
