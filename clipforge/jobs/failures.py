"""How a job fails: a stable code and a sentence for the customer."""

from __future__ import annotations

from django.db import InterfaceError, OperationalError

from clipforge.media import ErrorCode

# The database is away, overloaded or restarting: no fault of the work, which is worth a retry.
DATABASE_FAULTS = (OperationalError, InterfaceError)

WORKER_LOST = (
    "worker_lost",
    "The machine that did this stopped several times. You were not charged; retry it.",
)
INTERNAL_ERROR = (
    "internal_error",
    "Something failed on our side. You were not charged; retry it.",
)
STORAGE_FULL = (
    ErrorCode.STORAGE_FULL.value,
    "There was no room for the finished file. You were not charged; retry it later.",
)
SOURCE_MISSING = (
    "source_missing",
    "The uploaded file is not there any more. You were not charged; upload it again.",
)
HOLD_LAPSED = (
    "hold_lapsed",
    "The reserved credits were given back before the work finished. You were not charged; retry it.",
)


class HoldLost(Exception):
    """The hold was settled by somebody else while the work ran."""
