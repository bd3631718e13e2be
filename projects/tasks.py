"""Tasks for uploads. The tasks that analyse are registered with the kind of job."""

from __future__ import annotations

import time

from procrastinate.contrib.django import app

from clipforge.common import storage
from clipforge.jobs import retention
from projects.jobs import ANALYSIS

# An upload that was not written to for so long was left by a crash. Seconds.
ABANDONED_UPLOAD_SECONDS = 24 * 3600


@app.periodic(cron="17 * * * *")
@app.task(queue="maintenance", queueing_lock="projects.uploads", name="projects.remove_uploads")
def remove_uploads(timestamp: int) -> None:
    """Remove what broken uploads left behind."""
    storage.remove_old_incoming(older_than_seconds=ABANDONED_UPLOAD_SECONDS, now=time.time())


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
