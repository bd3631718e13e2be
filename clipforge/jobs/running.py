"""The body of a task: claim the job, run it, settle its outcome."""

from __future__ import annotations

import uuid
from typing import Any

from clipforge.common import logs
from clipforge.jobs import lifecycle
from clipforge.jobs.heartbeat import Heartbeat
from clipforge.jobs.kinds import JobKind, Preparation
from clipforge.jobs.outcome import settle_outcome


def perform(kind: JobKind[Any], pk: uuid.UUID, *, fence: int) -> None:
    """Do one queued job, or hand it over to be prepared. Does nothing if the fence moved on.

    Ends it, with a result or as FAILED, or hands it back when this worker has to stop. Raises only
    faults of the database.
    """
    job = lifecycle.claim(kind.model, pk, fence=fence)
    if job is None:
        return
    logs.bind(org=str(job.org_id))
    first = kind.preparation
    if first is not None and first.is_due(job):
        lifecycle.hand_over(job, task=first.task)
        return
    heartbeat = Heartbeat(job)
    with settle_outcome(kind, job, heartbeat):
        kind.run(job, heartbeat)


def prepare(kind: JobKind[Any], first: Preparation, pk: uuid.UUID, *, fence: int) -> None:
    """Prepare one queued job, and hand it over to be done. Ends it and raises as `perform` does."""
    job = lifecycle.claim(kind.model, pk, fence=fence)
    if job is None:
        return
    logs.bind(org=str(job.org_id))
    heartbeat = Heartbeat(job)
    with settle_outcome(kind, job, heartbeat):
        if first.is_due(job):
            first.run(job, heartbeat)
        lifecycle.hand_over(job, task=kind.task)
