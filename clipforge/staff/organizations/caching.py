"""The cache of sums over many rows of an organization, for staff pages.

    staff:storage:<organization>                 its bytes, and when they were added up: STORAGE_SECONDS
    staff:days:<organization>:<first day left>   the days that are over: DAYS_SECONDS

Nothing is decided by either, and neither is invalidated: the first says how old it is, and what
happened on a day that is over does not change.
"""

from __future__ import annotations

import datetime
import uuid
from typing import Any

from clipforge.common.cache.backend import default_cache

STORAGE_SECONDS = 10 * 60
DAYS_SECONDS = 26 * 60 * 60


def storage(org_id: uuid.UUID) -> Any:
    """The value that `keep_storage` stored, or None."""
    return default_cache().get(f"staff:storage:{org_id}")


def keep_storage(org_id: uuid.UUID, kept: Any) -> None:
    default_cache().set(f"staff:storage:{org_id}", kept, STORAGE_SECONDS)


def forget(org_id: uuid.UUID, until: datetime.date) -> None:
    """For who measures what adding them up takes."""
    default_cache().delete(f"staff:storage:{org_id}")
    default_cache().delete(f"staff:days:{org_id}:{until}")


def days(org_id: uuid.UUID, until: datetime.date) -> Any:
    """The value that `keep_days` stored for the days before `until`, or None."""
    return default_cache().get(f"staff:days:{org_id}:{until}")


def keep_days(org_id: uuid.UUID, until: datetime.date, kept: Any) -> None:
    default_cache().set(f"staff:days:{org_id}:{until}", kept, DAYS_SECONDS)
