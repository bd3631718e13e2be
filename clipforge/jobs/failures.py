"""How a job fails: a stable code and a sentence for the customer."""

from __future__ import annotations

from typing import NamedTuple

from django.db import InterfaceError, OperationalError

from clipforge.common.errors import StorageFull, StorageUnavailable

# The database is away, overloaded or restarting: no fault of the job, which is worth a retry.
DATABASE_FAULTS = (OperationalError, InterfaceError)


class Failure(NamedTuple):
    """The end of a job that has no result. Clients see both; never rename a code."""

    code: str
    message: str


WORKER_LOST = Failure(
    "worker_lost",
    "The machine that did this stopped several times. You were not charged; retry it.",
)
INTERNAL_ERROR = Failure(
    "internal_error",
    "Something failed on our side. You were not charged; retry it.",
)
STORAGE_FULL = Failure(
    StorageFull.code,
    "There was no room for the finished file. You were not charged; retry it later.",
)
STORAGE_UNAVAILABLE = Failure(
    StorageUnavailable.code,
    "The storage did not answer, several times. You were not charged; retry it later.",
)
HOLD_LAPSED = Failure(
    "hold_lapsed",
    "The reserved credits were given back before the work finished. You were not charged; retry it.",
)
# Those that any kind of job can end with.
COMMON = (WORKER_LOST, INTERNAL_ERROR, STORAGE_FULL, STORAGE_UNAVAILABLE, HOLD_LAPSED)

# What `JobKind.errors` returns for the error with which a run obeys `RunControl.must_stop`. It is no
# failure: the job is handed back to the queue, unless it was taken away meanwhile.
INTERRUPTED = Failure("interrupted", "The worker has to stop.")


class HoldLost(Exception):
    """The hold of a job was settled by another transaction while the job ran."""


class JobFailed(Exception):
    """Raised by the run of a job that can have no result, with the failure to record."""

    def __init__(self, failure: Failure) -> None:
        super().__init__(failure.code)
        self.failure = failure
