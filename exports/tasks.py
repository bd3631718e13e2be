"""What the queue runs. The only module of this app that knows the queue."""

from __future__ import annotations

import logging
import time
import uuid

from django.db.models.functions import Now
from procrastinate import RetryStrategy
from procrastinate.contrib.django import app

from clipforge.common import storage
from credits import paid_work
from exports import rendering
from exports.models import Export

logger = logging.getLogger(__name__)

# A file that no row knows after so long was left by a crash. Seconds.
ORPHAN_SECONDS = 24 * 3600

# A job that could not even claim its export comes again: nothing else would bring it back.
AFTER_DATABASE_FAULTS = RetryStrategy(wait=5, retry_exceptions=paid_work.DATABASE_FAULTS)


@app.task(queue="render", name="exports.render", retry=AFTER_DATABASE_FAULTS)
def render_export(export_id: str, fence: int) -> None:
    rendering.run(uuid.UUID(export_id), fence=fence, defer=defer_render)


def defer_render(export_id: uuid.UUID, fence: int) -> None:
    """Queue the render in the caller's transaction: no commit, no task."""
    render_export.defer(export_id=str(export_id), fence=fence)


@app.periodic(cron="* * * * * */15")
@app.task(queue="maintenance", queueing_lock="exports.sweep", name="exports.sweep")
def sweep_exports(timestamp: int) -> None:
    """Take renders from workers that stopped."""
    requeued, failed = paid_work.sweep(Export, defer=defer_render)
    if requeued or failed:
        logger.warning("swept renders", extra={"requeued": requeued, "failed": failed})


@app.periodic(cron="27 * * * *")
@app.task(queue="maintenance", queueing_lock="exports.expire", name="exports.expire")
def expire_exports(timestamp: int) -> None:
    """Delete the files that are past their retention."""
    due = Export.objects.filter(status=Export.Status.READY, expires_at__lt=Now())
    for export in due.order_by("expires_at")[:1000]:
        expired = Export.objects.filter(pk=export.pk, status=Export.Status.READY).update(
            status=Export.Status.EXPIRED, file_key="", updated_at=Now()
        )
        if expired:
            storage.delete(export.file_key)


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
