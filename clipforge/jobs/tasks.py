"""Housekeeping of the queue itself."""

from __future__ import annotations

from procrastinate import JobContext
from procrastinate.contrib.django import app

from clipforge.jobs import store_markers

# Failed entries stay visible for so long; the rows of their jobs tell the rest. Hours.
FAILED_ENTRY_HOURS = 7 * 24


@app.periodic(cron="7 4 * * *")
@app.task(
    queue="maintenance",
    queueing_lock="clipforge.jobs",
    name="clipforge.old_jobs",
    pass_context=True,
)
async def remove_old_entries(context: JobContext, timestamp: int) -> None:
    await context.app.job_manager.delete_old_jobs(
        FAILED_ENTRY_HOURS, include_failed=True, include_cancelled=True, include_aborted=True
    )


@app.periodic(cron="*/5 * * * *")
@app.task(queue="maintenance", queueing_lock="clipforge.store", name="clipforge.mark_store")
def mark_store(timestamp: int) -> None:
    """Write a new marker into database and store, which say by it that they belong together."""
    store_markers.advance()
