"""Tasks for finished exports. The tasks that render are registered with the kind of job."""

from __future__ import annotations

import datetime
import uuid

from django.db import transaction
from django.db.models import Q, QuerySet
from django.db.models.functions import Now
from procrastinate.contrib.django import app

from clipforge.common import storage
from clipforge.events import outbox
from clipforge.events import selectors as event_selectors
from clipforge.jobs import caching
from exports.models import Export

# The event, and how long before the end of the retention it is told.
EXPIRING = "export.expiring"
NOTICE = datetime.timedelta(days=1)
# Exports that are looked at together.
BATCH = 1000


@app.periodic(cron="27 * * * *")
@app.task(queue="maintenance", queueing_lock="exports.expire", name="exports.expire")
def expire_exports(timestamp: int) -> None:
    """Delete the files that are past their retention."""
    for export in due_exports()[:1000]:
        # The file first: a crash in between leaves a row that is found again in an hour, never a
        # file that no row knows.
        storage.delete(export.file_key)
        with transaction.atomic():
            Export.objects.filter(pk=export.pk, status=Export.Status.READY).update(
                status=Export.Status.EXPIRED, file_key="", updated_at=Now()
            )
            caching.changed(Export, export.pk)


@app.periodic(cron="*/10 * * * *")
@app.task(queue="maintenance", queueing_lock="exports.expiring", name="exports.tell_expiring")
def tell_of_expiring(timestamp: int) -> None:
    """Record an event for each export whose file is deleted within a day, once."""
    beginning = expiring_exports()
    while batch := list(beginning.values_list("pk", "expires_at")[:BATCH]):
        ids = [pk for pk, _ in batch]
        for pk in set(ids) - event_selectors.object_ids_told(EXPIRING, ids):
            _tell_of_expiring(pk)
        last, at = batch[-1]
        beyond = Q(expires_at__gt=at) | Q(expires_at=at, pk__gt=last)
        beginning = expiring_exports().filter(beyond)


def _tell_of_expiring(pk: uuid.UUID) -> None:
    with transaction.atomic():
        locked = Export.objects.select_for_update(of=("self",)).select_related("org")
        export = locked.filter(pk=pk, status=Export.Status.READY).first()
        # Another worker may have told of it while we waited for the lock.
        if export and not event_selectors.object_ids_told(EXPIRING, [pk]):
            outbox.record(EXPIRING, export, org=export.org)


def expiring_exports() -> QuerySet[Export]:
    """Finished exports whose retention ends within a day, the soonest first."""
    ready = Export.objects.filter(status=Export.Status.READY, expires_at__gte=Now())
    return ready.filter(expires_at__lt=Now() + NOTICE).order_by("expires_at", "pk")


def due_exports() -> QuerySet[Export]:
    """Finished exports past their retention, the longest first."""
    due = Export.objects.filter(status=Export.Status.READY, expires_at__lt=Now())
    return due.order_by("expires_at")
