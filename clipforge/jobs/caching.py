"""The stamp of a job: the ETag of what the API last showed of it, so that a poll which finds nothing
new costs no SQL.

    jobs:stamp:<kind>:<id>:<organization>     [ETag, seconds until it is worth asking again]

Stored under the version of the row, which a trigger raises with every UPDATE, and read in the round
trip that admits the request. Whoever changes a job announces it here, in the same transaction: a stamp
is never older than the last commit. (The progress of a job is a statement of its own, announced once it
has committed.) What changes on a path round `lifecycle` (another row that is shown
with the job, as the hold of one that lapsed) is seen once the stamp ends.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable
from typing import Any, NamedTuple

from clipforge.common.cache.backend import default_cache
from clipforge.common.cache.news import publish_on_commit
from clipforge.common.cache.versioned_cache import Versioned
from clipforge.jobs.models import QUEUED, Job

SECONDS = 30
# It may be stopped and deleted in one transaction.
CHANGES_BEFORE_DELETE = 10


class Stamp(NamedTuple):
    """`etag` is empty where each answer has to be made anew."""

    etag: str
    retry_after: int


def stamp_family(model: type[Job], pk: uuid.UUID) -> str:
    """Of one stamp: its key is this and the organization, another one of which finds nothing."""
    return f"jobs:stamp:{model.REFERENCE_TYPE}:{pk}"


def stamp_of(
    model: type[Job],
    pk: uuid.UUID,
    org_id: uuid.UUID,
    load: Callable[[], tuple[Job, Stamp]],
    *,
    found: bytes | None,
) -> Stamp:
    """The stamp that is kept, else that of what `load` reads. `found` is as for `get_or_load`."""

    def versioned() -> Versioned:
        job, stamp = load()
        # Its place in the queue depends on jobs that are not announced here.
        kept = Stamp("", stamp.retry_after) if job.status == QUEUED else stamp
        return Versioned(list(kept), job.version)

    key = f"{stamp_family(model, pk)}:{org_id}"
    kept: list[Any] = default_cache().get_or_load(key, versioned, seconds=SECONDS, found=found)
    return Stamp(*kept)


def channel_of(model: type[Job], pk: uuid.UUID) -> str:
    """Where news of one job is published, for requests that wait."""
    return f"jobs:news:{model.REFERENCE_TYPE}:{pk}"


def changed(model: type[Job], pk: uuid.UUID) -> None:
    """Forget the stamp. Call in the transaction that changed the row, after the change."""
    row = model._default_manager.filter(pk=pk).values_list("org_id", "version").first()
    if row is not None:
        org_id, version = row
        now_at(model, pk, org_id, version=version)


def now_at(
    model: type[Job], pk: uuid.UUID, org_id: uuid.UUID, *, version: int, is_news: bool = True
) -> None:
    """As `changed`, of a row that is known to have this version now.

    Requests that wait for the job are told if it `is_news`.
    """
    default_cache().invalidate(f"{stamp_family(model, pk)}:{org_id}", version)
    if is_news:
        publish_on_commit(channel_of(model, pk))


def deleting(job: Job) -> None:
    """Forget the stamp of a job that the caller has locked, and deletes in this transaction.

    Above whatever this transaction has made of the version that was read: of a row that is gone
    nothing is stored again.
    """
    key = f"{stamp_family(type(job), job.pk)}:{job.org_id}"
    default_cache().invalidate(key, job.version + CHANGES_BEFORE_DELETE)
    publish_on_commit(channel_of(type(job), job.pk))
