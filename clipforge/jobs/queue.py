"""The queue behind the jobs, as staff see it: its entries, the workers, and what may be done about both.

An entry is a row of procrastinate: one task that waits, is done, or failed. An entry whose task does
a job names that job and its fence; the row of the job is the truth.
"""

from __future__ import annotations

import datetime
import uuid
from collections.abc import Iterable, Mapping
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
from django.db.models.functions import Cast, Coalesce, Now
from django.utils import timezone
from procrastinate.contrib.django import app
from procrastinate.contrib.django import models as tables
from procrastinate.exceptions import UniqueViolation

from clipforge.common.errors import Conflict, NotFound
from clipforge.jobs.kinds import JobKind, entries_of, kind_of_task
from clipforge.jobs.models import QUEUED
from clipforge.jobs.rules import Action, Refusal

# procrastinate has them read-only and without types.
QueueEntry: Any = tables.ProcrastinateJob
QueueWorker: Any = tables.ProcrastinateWorker
QueueEvent: Any = tables.ProcrastinateEvent

# A worker says every ten seconds that it is alive, and is given up after three times that.
SILENCE = datetime.timedelta(seconds=30)
# Failed entries of a kind that the sweeper looks at, the newest first.
GIVEN_UP_AT_ONCE = 1000
# Workers of procrastinate in a process: of jobs, preparations, maintenance and what goes out.
WORKERS_OF_A_PROCESS = 4


class Workers(NamedTuple):
    """How many are alive (each process has several), and when any was last seen; None: none ever."""

    alive: int
    last_seen: datetime.datetime | None

    @property
    def processes(self) -> int:
        """How many processes those are; one that has just begun, or is ending, counts as well."""
        return -(-self.alive // WORKERS_OF_A_PROCESS)


def workers() -> Workers:
    """The table holds those that run, and those that were killed since another one started."""
    alive = Count("pk", filter=Q(last_heartbeat__gt=Now() - SILENCE))
    return Workers(**QueueWorker.objects.aggregate(alive=alive, last_seen=Max("last_heartbeat")))


def entry_of(kind: JobKind[Any]) -> Subquery:
    """Of a row of this kind: the entry for its fence that waits or runs, or None.

    Looked up row by row. As EXISTS it would be joined, and the planner sort all entries of the queue.
    """
    own = entries_of(kind).filter(
        status__in=["todo", "doing"],
        of_job=Cast(OuterRef("pk"), CharField()),
        of_fence=Cast(OuterRef("fence"), CharField()),
    )
    return Subquery(own.values("pk")[:1])


def job_of_entry(task: str, arguments: Mapping[str, Any]) -> tuple[str, str] | None:
    """The name of the kind and the id of the job that an entry is for. None: it does no job."""
    kind = kind_of_task(task)
    pk = arguments.get(kind.argument) if kind else None
    return (kind.name, str(pk)) if kind and pk else None


def waiting_entries() -> QuerySet[Any]:
    entries: QuerySet[Any] = QueueEntry.objects.filter(status="todo")
    return entries


def failed_entries() -> QuerySet[Any]:
    """Those that will not come again by themselves, the newest first."""
    entries: QuerySet[Any] = QueueEntry.objects.filter(status="failed").order_by("-id")
    return entries


def given_up(kind: JobKind[Any]) -> list[tuple[uuid.UUID, int]]:
    """Jobs of the kind whose entry failed and which wait for it still, each with its fence."""
    failed = entries_of(kind).filter(status="failed", task_name__in=kind.tasks).order_by("-id")
    # A job has one of each time that it was given up.
    entries = {
        (uuid.UUID(pk), int(fence))
        for pk, fence in failed.values_list("of_job", "of_fence")[:GIVEN_UP_AT_ONCE]
    }
    if not entries:
        return []
    waiting = kind.model._default_manager.filter(status=QUEUED, pk__in={pk for pk, _ in entries})
    return [row for row in waiting.values_list("pk", "fence") if row in entries]


def orphaned_entries() -> QuerySet[Any]:
    """Those that are marked as being done, by a worker that is not alive."""
    gone = Q(worker=None) | Q(worker__last_heartbeat__lt=Now() - SILENCE)
    entries: QuerySet[Any] = QueueEntry.objects.filter(gone, status="doing").order_by("-id")
    return entries


def events_of(entries: Iterable[int]) -> QuerySet[Any]:
    """The events of these entries, in the order of time."""
    events: QuerySet[Any] = QueueEvent.objects.filter(job__in=list(entries)).order_by("id")
    return events


def since_last_event(entries: QuerySet[Any], state: str) -> Any:
    """Each with the time of its last event as `since`, and `state`."""
    events = QueueEvent.objects.filter(job=OuterRef("pk")).order_by("-id").values("at")
    return entries.annotate(
        since=Coalesce(Subquery(events[:1]), "scheduled_at", Now()), state=Value(state)
    )


def entries_with_worker() -> QuerySet[Any]:
    """The queue's entries with the columns that `why_not_entry` reads."""
    entries: QuerySet[Any] = QueueEntry.objects.select_related("worker")
    return entries


def locked_entry(pk: str) -> Any:
    """The entry, locked until the caller commits. Raises NotFound."""
    entry = entries_with_worker().select_for_update(of=("self",)).filter(pk=pk).first()
    if entry is None:
        raise NotFound("It is not there any more.")
    return entry


def why_not_entry(action: Action, entry: Any) -> Refusal | None:
    """Why an entry cannot be retried or requeued; None: it can. Nothing else is done to one."""
    if action is Action.RETRY:
        failed = entry.status == "failed"
        return None if failed else Refusal(f"It is {entry.status}; only a failed entry is retried.")
    if entry.status != "doing":
        return Refusal(f"It is {entry.status}; only an entry whose worker is gone is requeued.")
    alive = entry.worker and entry.worker.last_heartbeat > timezone.now() - SILENCE
    return Refusal("Its worker is alive.") if alive else None


def put_back(action: Action, entry: Any) -> None:
    """Queue a locked entry again that failed, or whose worker is gone, in this transaction.

    Raises Conflict where `why_not_entry` has a refusal, and when another entry of its task waits
    already, which will do the same.
    """
    if refusal := why_not_entry(action, entry):
        raise refusal.as_error()
    try:
        # It keeps its queue, its priority and its lock.
        app.job_manager.retry_job_by_id(entry.pk, timezone.now())
    except UniqueViolation as error:
        raise Conflict("Another entry of its task waits already, and will do the same.") from error
