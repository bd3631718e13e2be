"""What the queue runs. The only module of this app that knows the queue."""

from __future__ import annotations

import logging
import time
import uuid

from django.db.models import QuerySet
from django.db.models.functions import Now
from procrastinate import RetryStrategy
from procrastinate.contrib.django import app

from clipforge.common import storage
from clipforge.jobs import sweeping
from exports import rendering
from exports.models import Export

logger = logging.getLogger(__name__)

# A file that no row knows after so long was left by a crash. Seconds.
ORPHAN_SECONDS = 24 * 3600

# A job that failed comes again, whatever the fault: one that could not even claim its export is
# brought back by nothing else, and to one that had claimed it the fence says no.
COMES_AGAIN = RetryStrategy(wait=5)


@app.task(queue="render", name="exports.render", retry=COMES_AGAIN)
def render_export(export_id: str, fence: int) -> None:
    rendering.run(uuid.UUID(export_id), fence=fence, defer=defer_render)


def defer_render(pk: uuid.UUID, fence: int, *, priority: int = 0) -> None:
    """Queue the render in the caller's transaction: no commit, no task."""
    render_export.configure(priority=priority).defer(export_id=str(pk), fence=fence)


@app.periodic(cron="* * * * * */15")
@app.task(queue="maintenance", queueing_lock="exports.sweep", name="exports.sweep")
def sweep_exports(timestamp: int) -> None:
    """Take renders from workers that stopped."""
    requeued, failed = sweeping.sweep(Export, defer=defer_render)
    if requeued or failed:
        logger.warning("swept renders", extra={"requeued": requeued, "failed": failed})


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


@app.periodic(cron="37 * * * *")
@app.task(queue="maintenance", queueing_lock="exports.files", name="exports.remove_orphans")
def remove_orphans(timestamp: int) -> None:
    """Remove the files of exports that do not exist."""
    removed = storage.remove_orphans(
        "exports",
        exists=lambda ids: Export.objects.filter(pk__in=ids).values_list("pk", flat=True),
        older_than_seconds=ORPHAN_SECONDS,
        now=time.time(),
    )
    if removed:
        logger.warning("removed orphaned exports", extra={"removed": removed})
