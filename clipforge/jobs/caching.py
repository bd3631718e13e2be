"""The stamp of a job: what the API last showed of it, with its ETag, so that a poll which finds nothing
new costs no SQL.

    jobs:shown:<kind>:<id>:<organization>     [ETag, seconds until it is worth asking again, origin, body]

Stored under the version of the row, which a trigger raises with every UPDATE, and read in the round
trip that admits the request. Whoever changes a job announces it here, in the same transaction: a stamp
is never older than the last commit. (The progress of a job is a statement of its own, announced once it
has committed.) What changes on a path round `lifecycle` (another row that is shown
with the job, as the hold of one that lapsed) is seen once the stamp ends. So is the place of a job in the
queue, which the jobs of others move: the stamp of one that is queued ends after a few seconds.

    jobs:lists:<kind>:<organization>:pages   what lists of the kind last showed: see `kept_pages`

A change of a job ends all pages of its kind in its organization, and of the kinds whose lists look for
theirs in it.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

from django.db.models import BigIntegerField, Func

from clipforge.common.cache.backend import default_cache
from clipforge.common.cache.kept_pages import TRANSACTION, this_transaction
from clipforge.common.cache.news import publish_on_commit
from clipforge.common.cache.versioned_cache import Versioned
from clipforge.jobs import kinds
from clipforge.jobs.models import QUEUED, Job

SECONDS = 30
# Of a job in the queue, whose place may be that old: as long as the answer says to wait before asking again.
QUEUED_SECONDS = 5
# It may be stopped and deleted in one transaction.
CHANGES_BEFORE_DELETE = 10


class Stamp(NamedTuple):
    """`moves` says that others change what is shown, without a word to this job's stamp.

    `body` is for who asks at the same `origin`, which the links in it begin with; empty, it is not kept.
    """

    etag: str
    retry_after: int
    origin: str = ""
    body: str = ""
    moves: bool = False


class Shown(NamedTuple):
    """A job and its stamp, which may be kept for `seconds`, from before it was read on."""

    job: Job
    stamp: Stamp
    seconds: float


def stamp_family(model: type[Job], pk: uuid.UUID) -> str:
    """Of one stamp: its key is this and the organization, another one of which finds nothing."""
    return f"jobs:shown:{model.REFERENCE_TYPE}:{pk}"


def stamp_of(
    model: type[Job],
    pk: uuid.UUID,
    org_id: uuid.UUID,
    load: Callable[[], Shown],
    *,
    found: bytes | None,
) -> Stamp:
    """The stamp that is kept, else that of what `load` reads. `found` is as for `get_or_load`."""

    def read() -> Shown:
        shown = load()
        moves = shown.job.status == QUEUED
        return shown._replace(stamp=shown.stamp._replace(moves=moves))

    def versioned() -> Versioned:
        job, stamp, seconds = read()
        return Versioned(list(stamp), job.version, QUEUED_SECONDS if stamp.moves else seconds)

    key = f"{stamp_family(model, pk)}:{org_id}"
    kept: Any = default_cache().get_or_load(key, versioned, seconds=SECONDS, found=found)
    if not isinstance(kept, list) or len(kept) != len(Stamp._fields):
        return read().stamp  # another release, that still runs, stores others
    return Stamp(*kept)


def channel_of(model: type[Job], pk: uuid.UUID) -> str:
    """Where news of one job is published, for requests that wait."""
    return f"jobs:news:{model.REFERENCE_TYPE}:{pk}"


def changed(model: type[Job], pk: uuid.UUID) -> None:
    """Forget the stamp. Call in the transaction that changed the row, after the change."""
    all_changed(model, [pk])


def all_changed(model: type[Job], pks: Sequence[uuid.UUID]) -> None:
    """As `changed`, of several rows in one round trip."""
    number = Func(template=TRANSACTION, output_field=BigIntegerField())
    rows = model._default_manager.filter(pk__in=pks).values_list("pk", "org_id", "version", number)
    floors: dict[str, int] = {}
    for pk, org_id, version, changed_by in rows if pks else ():
        floors[f"{stamp_family(model, pk)}:{org_id}"] = version
        floors |= _lists(model, org_id, changed_by)
        publish_on_commit(channel_of(model, pk))
    if floors:
        default_cache().invalidate_all(floors)


def has_changed(
    model: type[Job], pk: uuid.UUID, org_id: uuid.UUID, *, version: int, changed_by: int
) -> None:
    """As `changed`, of a job that is known to have this version now, by the transaction of that number."""
    stamp = {f"{stamp_family(model, pk)}:{org_id}": version}
    default_cache().invalidate_all({**stamp, **_lists(model, org_id, changed_by)})
    publish_on_commit(channel_of(model, pk))


def advanced(
    model: type[Job],
    pk: uuid.UUID,
    org_id: uuid.UUID,
    *,
    version: int,
    changed_by: int,
    is_news: bool,
) -> None:
    """As `changed`, of a job at work that is known to have this version now, by that transaction.

    What else is listed does not depend on it. Requests that wait for the job are told if it `is_news`.
    """
    stamp = f"{stamp_family(model, pk)}:{org_id}"
    page = f"{list_family(model)}:{org_id}"
    default_cache().invalidate_all({stamp: version, page: changed_by + 1})
    if is_news:
        publish_on_commit(channel_of(model, pk))


def added(model: type[Job], org_id: uuid.UUID, *, changed_by: int) -> None:
    """Forget the lists that a new job is in. Call in the transaction, of that number, that made it."""
    default_cache().invalidate_all(_lists(model, org_id, changed_by))


def deleting(job: Job) -> None:
    """Forget the stamp of a job that the caller has locked, and deletes in this transaction.

    Above whatever this transaction has made of the version that was read: of a row that is gone
    nothing is stored again.
    """
    key = f"{stamp_family(type(job), job.pk)}:{job.org_id}"
    gone = {key: job.version + CHANGES_BEFORE_DELETE}
    cache, lists = default_cache(), _lists(type(job), job.org_id, 0)
    if not all(map(cache.is_announced, lists)):  # as after the first of many
        gone |= _lists(type(job), job.org_id, this_transaction())
    cache.invalidate_all(gone)
    publish_on_commit(channel_of(type(job), job.pk))


# --- lists ----------------------------------------------------------------------------


def list_family(model: type[Job]) -> str:
    """Of the pages of lists of this kind of job: their key is this and the organization."""
    return f"jobs:lists:{model.REFERENCE_TYPE}"


def _lists(model: type[Job], org_id: uuid.UUID, changed_by: int) -> dict[str, int]:
    """The floors of the lists that a job of this kind is seen in, above the transaction of this number."""
    return {
        f"{list_family(kind.model)}:{org_id}": changed_by + 1
        for kind in kinds.all_kinds()
        if kind.model is model or model in kind.listed_by
    }
