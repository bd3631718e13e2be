"""Tasks for finished exports. The tasks that render are registered with the kind of job."""

from __future__ import annotations

from django.db.models import QuerySet
from django.db.models.functions import Now
from procrastinate.contrib.django import app

from clipforge.common import storage
from exports.models import Export


@app.periodic(cron="27 * * * *")
@app.task(queue="maintenance", queueing_lock="exports.expire", name="exports.expire")
def expire_exports(timestamp: int) -> None:
    """Delete the files that are past their retention."""
    for export in due_exports()[:1000]:
        # The file first: a crash in between leaves a row that is found again in an hour, never a
        # file that no row knows.
        storage.delete(export.file_key)
        Export.objects.filter(pk=export.pk, status=Export.Status.READY).update(
            status=Export.Status.EXPIRED, file_key="", updated_at=Now()
        )


def due_exports() -> QuerySet[Export]:
    """Finished exports past their retention, the longest first."""
    due = Export.objects.filter(status=Export.Status.READY, expires_at__lt=Now())
    return due.order_by("expires_at")
