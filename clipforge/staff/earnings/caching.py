"""The cache of sums of the ledger over stretches of time that have ended: it is only added to.

staff:business:<from>:<until>     the sums of that stretch: KEPT_SECONDS
"""

from __future__ import annotations

import datetime
from typing import Any

from clipforge.common.cache.backend import default_cache

KEPT_SECONDS = 26 * 60 * 60


def sums(since: datetime.datetime, until: datetime.datetime) -> Any:
    """The value that `keep_sums` stored, or None."""
    return default_cache().get(_key(since, until))


def keep_sums(since: datetime.datetime, until: datetime.datetime, kept: Any) -> None:
    default_cache().set(_key(since, until), kept, KEPT_SECONDS)


def forget(since: datetime.datetime, until: datetime.datetime) -> None:
    """For who measures what adding them up takes."""
    default_cache().delete(_key(since, until))


def _key(since: datetime.datetime, until: datetime.datetime) -> str:
    return f"staff:business:{since:%Y-%m-%d}:{until:%Y-%m-%d}"
