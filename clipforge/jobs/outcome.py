"""The outcome of a run: each way in which it can go wrong, settled."""

from __future__ import annotations

import contextlib
import logging
from collections.abc import Iterator
from typing import Any

from django.conf import settings

from clipforge.common.errors import StorageFull, StorageUnavailable
from clipforge.common.failure_excerpt import safe_traceback
from clipforge.common.storage import Stopped
from clipforge.jobs.failures import (
    DATABASE_FAULTS,
    HOLD_LAPSED,
    INTERNAL_ERROR,
    INTERRUPTED,
    STORAGE_FULL,
    STORAGE_UNAVAILABLE,
    Failure,
    HoldLost,
    JobFailed,
)
from clipforge.jobs.heartbeat import Heartbeat
from clipforge.jobs.kinds import JobKind
from clipforge.jobs.lifecycle import ACTOR, fail, hand_back
from clipforge.jobs.models import Job

logger = logging.getLogger(__name__)


@contextlib.contextmanager
def settle_outcome(kind: JobKind[Any], job: Job, heartbeat: Heartbeat) -> Iterator[None]:
    """Turn an error inside into the end that it stands for.

    A failure that the kind knows: FAILED with its code, and the notes of the error for staff. This
    worker has to stop: handed back. An error that the kind does not know: FAILED as
    `internal_error`. A fault of the database is raised: the lease lapses, and the sweeper gives the
    job to another worker. So is one of the store, until the last attempt, which fails.
    """
    try:
        yield
    except DATABASE_FAULTS:
        raise
    except StorageUnavailable:
        if job.attempts < settings.WORK_MAX_ATTEMPTS:
            raise
        fail(job, error=STORAGE_UNAVAILABLE, actor=ACTOR)
    except Exception as error:
        failure = _failure_of(kind, error)
        if failure is None:
            logger.exception("job failed", extra={"kind": kind.name, "id": str(job.pk)})
            fail(job, error=INTERNAL_ERROR, actor=ACTOR, detail=safe_traceback(error))
        elif failure is not INTERRUPTED:
            notes = "\n".join(getattr(error, "__notes__", []))
            fail(job, error=failure, actor=ACTOR, detail=notes)
        elif not heartbeat.lost:
            hand_back(job)


def _failure_of(kind: JobKind[Any], error: Exception) -> Failure | None:
    if isinstance(error, JobFailed):
        return error.failure
    if (failure := kind.errors(error)) is not None:
        return failure
    if isinstance(error, Stopped):
        return INTERRUPTED
    if isinstance(error, StorageFull):
        return STORAGE_FULL
    return HOLD_LAPSED if isinstance(error, HoldLost) else None
