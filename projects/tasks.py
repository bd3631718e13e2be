"""Tasks for uploads. The tasks that analyse are registered with the kind of job."""

from __future__ import annotations

import time

from procrastinate.contrib.django import app

from clipforge.common import storage
from clipforge.jobs import retention
from projects import importing, uploads
from projects.jobs import ANALYSIS

# An upload that was not written to for so long was left by a crash. Seconds.
ABANDONED_UPLOAD_SECONDS = 24 * 3600
# The same of parts in a bucket, which do not say when the last of them came. Seconds.
ABANDONED_PARTS_SECONDS = 2 * ABANDONED_UPLOAD_SECONDS


@app.periodic(cron="17 * * * *")
@app.task(queue="maintenance", queueing_lock="projects.uploads", name="projects.remove_uploads")
def remove_uploads(timestamp: int) -> None:
    """Remove what broken uploads left behind."""
    now = time.time()
    storage.remove_old_incoming(older_than_seconds=ABANDONED_UPLOAD_SECONDS, now=now)
    storage.abort_uploads(
        older_than_seconds=ABANDONED_PARTS_SECONDS, now=now, is_wanted=uploads.is_awaited
    )
    importing.release_room()


@app.periodic(cron="*/10 * * * *")
@app.task(queue="maintenance", queueing_lock="projects.parts", name="projects.expire_uploads")
def expire_uploads(timestamp: int) -> None:
    """Remove uploads that were not finished, or not used, in time."""
    uploads.remove_expired()
    uploads.remove_orphans(time.time())


@app.periodic(cron="47 * * * *")
@app.task(queue="maintenance", queueing_lock="projects.expire", name="projects.expire")
def expire_sources(timestamp: int) -> None:
    """Delete the sources that are past their retention."""
    retention.expire(ANALYSIS)


@app.periodic(cron="*/10 * * * *")
@app.task(queue="maintenance", queueing_lock="projects.expiring", name="projects.tell_expiring")
def tell_of_expiring(timestamp: int) -> None:
    """Tell of each source that is deleted within a week, and again within a day."""
    retention.tell(ANALYSIS)
