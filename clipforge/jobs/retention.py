"""The end of stored files: owners are told of it, then the file goes, and the row stays as EXPIRED.

    READY, file      told a week before, and a day before         `tell`
    EXPIRED, file    no longer given out                          `expire`, first transaction
    EXPIRED, file?   the file is deleted
    EXPIRED, -       the row names no file, and none is counted   `expire`, second transaction

A run that dies between two of these is finished by the next one: at no moment does a row that is given
out lack its file, or a file exist that no row names. A file that cannot be deleted is passed over, and
tried again by the next run.
"""

from __future__ import annotations

import contextlib
import datetime
import logging
import uuid
from collections.abc import Iterator
from typing import Any

from django.core.mail import send_mail
from django.db import transaction
from django.db.models import F, Q, QuerySet
from django.db.models.functions import Now
from procrastinate import RetryStrategy
from procrastinate.contrib.django import app
from procrastinate.exceptions import AlreadyEnqueued

from clipforge.common import storage
from clipforge.jobs import caching, kinds, store_markers
from clipforge.jobs.events import file_ending
from clipforge.jobs.failures import DATABASE_FAULTS
from clipforge.jobs.kinds import JobFiles, JobKind
from clipforge.jobs.models import EXPIRED, QUEUED, Job
from clipforge.orgs import selectors as org_selectors
from clipforge.orgs import stored

logger = logging.getLogger(__name__)

# Owners are told so many days before the end.
DAY, WEEK = 1, 7
# Of what is kept for a week in all, only the day before is told.
LONG = datetime.timedelta(days=8)
# Files that are looked up together.
BATCH = 1000
MAIL = "jobs.mail_ending"
# A mail tells of all that are told of meanwhile. Seconds.
GATHERED = 15 * 60


def kept(kind: JobKind[Any]) -> QuerySet[Any]:
    """Jobs that have a file and are not being done, the one that ends first before the others."""
    rows = kind.model._default_manager.exclude(**{_files(kind).key: ""})
    closed: QuerySet[Any] = rows.exclude(status__in=[QUEUED, kind.model.RUNNING])
    return closed.order_by("expires_at", "pk")


def due(kind: JobKind[Any]) -> QuerySet[Any]:
    """Those of them that are past their retention."""
    return kept(kind).filter(expires_at__lt=Now())


def ending(kind: JobKind[Any], days: int) -> QuerySet[Any]:
    """Those of them that end within so many days."""
    near = Now() + datetime.timedelta(days=days)
    found = kept(kind).filter(expires_at__gte=Now(), expires_at__lt=near)
    return found.filter(expires_at__gt=F("created_at") + LONG) if days > DAY else found


def expire(kind: JobKind[Any]) -> int:
    """Delete every file that is past its retention. Returns how many."""
    expired = 0
    if not store_markers.is_known():
        return expired
    for pk in _each(due(kind)):
        try:
            expired += _expire(kind, pk)
        except DATABASE_FAULTS:
            raise
        except Exception:
            logger.exception("a file could not be deleted", extra={"row": str(pk)})
    return expired


def tell(kind: JobKind[Any]) -> int:
    """Tell of each file that ends within a day or a week, once of either. Returns how many."""
    told = 0
    for days in (DAY, WEEK):
        for pk in _each(_untold(kind, days)):
            told += _tell(kind, pk, days)
    return told


def _expire(kind: JobKind[Any], pk: uuid.UUID) -> bool:
    model, files = kind.model, _files(kind)
    with transaction.atomic():
        # Whoever is about to use the file has its row locked; it is seen here, or finds the file gone.
        job = due(kind).select_for_update(of=("self",)).filter(pk=pk).first()
        if job is None or files.is_needed(job):
            return False
        if job.status != EXPIRED:
            model._default_manager.filter(pk=pk).update(status=EXPIRED, updated_at=Now())
            caching.changed(model, pk)
    key = getattr(job, files.key)
    storage.delete(key)
    with transaction.atomic():
        named = model._default_manager.filter(pk=pk, status=EXPIRED, **{files.key: key})
        if not named.update(**{files.key: ""}, stored_bytes=0):
            return False
        caching.changed(model, pk)
        stored.settle(job.org_id)
    return True


def _untold(kind: JobKind[Any], days: int) -> QuerySet[Any]:
    earlier = Q(notice_given=None) | Q(notice_given__gt=days)
    return ending(kind, days).filter(earlier)


def _tell(kind: JobKind[Any], pk: uuid.UUID, days: int) -> bool:
    with transaction.atomic():
        # Another worker may have told of it while we waited for the lock.
        job: Job | None = _untold(kind, days).select_for_update(of=("self",)).filter(pk=pk).first()
        if job is None:
            return False
        kind.model._default_manager.filter(pk=pk).update(notice_given=days)
        caching.changed(kind.model, pk)
        file_ending.send(sender=kind.model, job=job, days=days)
        lock = f"{MAIL}:{kind.name}:{job.org_id}:{days}"
        mail = app.configure_task(
            MAIL, queueing_lock=lock, queue="maintenance", schedule_in={"seconds": GATHERED}
        )
        with contextlib.suppress(AlreadyEnqueued), transaction.atomic():
            mail.defer(kind_name=kind.name, org_id=str(job.org_id), days=days)
    return True


@app.task(queue="maintenance", name=MAIL, retry=RetryStrategy(max_attempts=20, exponential_wait=2))
def mail_ending(kind_name: str, org_id: str, days: int) -> None:
    """Tell the owners and admins of an organization which files of a kind end soon."""
    kind = kinds.find_kind(kind_name)
    org = org_selectors.all_organizations().filter(pk=org_id).first()
    if (
        kind is None
        or kind.files is None
        or org is None
        or not (to := org_selectors.addressees(org))
    ):
        return
    found = ending(kind, days).filter(org=org, notice_given=days)
    count = found.count()
    first = found.first()
    if first is None:  # deleted or pinned meanwhile
        return
    within = "a day" if days == DAY else "a week"
    send_mail(
        f"{org.name[:100]}: {count} {kind.files.label} will be deleted within {within}",
        f"{count} {kind.files.label} of {org.name} reach the end of their retention within {within}, the "
        f"first on {first.expires_at:%Y-%m-%d at %H:%M} UTC. Download what you want to keep. Each has its "
        "`expires_at` in the API.\n",
        None,
        to,
    )


def _files(kind: JobKind[Any]) -> JobFiles:
    if kind.files is None:
        raise LookupError(f"jobs of kind {kind.name} have no files")
    return kind.files


def _each(rows: QuerySet[Any]) -> Iterator[uuid.UUID]:
    """The ids of all of them, in batches, whatever becomes of those that were given already."""
    beyond = Q()
    while batch := list(rows.filter(beyond).values_list("pk", "expires_at")[:BATCH]):
        for pk, _ in batch:
            yield pk
        last, at = batch[-1]
        beyond = Q(expires_at__gt=at) | Q(expires_at=at, pk__gt=last)
