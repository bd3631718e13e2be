"""The bytes that the files of an organization take, and what its tier allows.

The database counts (`StorageUsage`). The figure is shown from the cache, `orgs:storage:<organization>`,
under the version of its row, so that it is never older than the last commit. Whether an upload may stay
is decided by the row.
"""

from __future__ import annotations

import uuid

from django.db import connection

from clipforge.common.cache.backend import default_cache
from clipforge.common.cache.versioned_cache import Versioned
from clipforge.common.errors import StorageLimitReached
from clipforge.orgs import caching
from clipforge.orgs.models import Organization, StorageUsage

SECONDS = 300
FAMILY = "orgs:storage"


def stored_bytes(org_id: uuid.UUID, *, found: bytes | None = None) -> int:
    """The bytes that its files take. `found` is as for `get_or_load`."""

    def load() -> Versioned:
        row = usage(org_id)
        return Versioned(row.bytes, row.version)

    return int(
        default_cache().get_or_load(f"{FAMILY}:{org_id}", load, seconds=SECONDS, found=found)
    )


def usage(org_id: uuid.UUID) -> StorageUsage:
    """The row of an organization; one of zeros where nothing was ever stored."""
    row = StorageUsage.objects.filter(pk=org_id).first()
    return row or StorageUsage(org_id=org_id, bytes=0, version=0)


def settle(org_id: uuid.UUID) -> int:
    """Count what this transaction has changed, and announce it. Returns what is stored now.

    Call at the end of a transaction that changed `stored_bytes` of a row: from here on it holds the
    lock that all such transactions of the organization take, and take last.
    """
    with connection.cursor() as cursor:
        cursor.execute("SELECT bytes, version FROM orgs_settle_storage(%s)", [org_id])
        stored, version = cursor.fetchone()
    if version is None:
        return 0
    default_cache().invalidate(f"{FAMILY}:{org_id}", version)
    return int(stored)


def require_within_limit(org: Organization) -> None:
    """Settle, and raise StorageLimitReached where the transaction has stored more than the tier allows.

    Exact however many try at once: they wait for one another.
    """
    _require(org, settle(org.pk))


def require_room(org: Organization, *, size: int = 1, now: int | None = None) -> None:
    """Raise StorageLimitReached where a file of `size` bytes would be too much.

    An early word: what others store meanwhile is not in it. `now` is what is stored, where the caller
    has that from the cache; inside a transaction nothing is cached.
    """
    _require(org, (stored_bytes(org.pk) if now is None else now) + size)


def _require(org: Organization, stored: int) -> None:
    most = caching.limits_of(org).storage_bytes
    if stored > most:
        raise StorageLimitReached(
            f"The {org.tier} tier stores up to {most} bytes of sources and finished files; this would "
            f"make it {stored}. Delete what is no longer needed. Nothing was stored or charged.",
            limit=most,
        )
