"""Tasks for finished exports. The tasks that render are registered with the kind of job."""

from __future__ import annotations

from procrastinate.contrib.django import app

from clipforge.jobs import retention
from exports import pinning
from exports.jobs import RENDER


@app.periodic(cron="27 * * * *")
@app.task(queue="maintenance", queueing_lock="exports.expire", name="exports.expire")
def expire_exports(timestamp: int) -> None:
    """Delete the files that are past their retention, those that are no longer pinned among them."""
    pinning.follow_tiers()
    retention.expire(RENDER)


@app.periodic(cron="*/10 * * * *")
@app.task(queue="maintenance", queueing_lock="exports.expiring", name="exports.tell_expiring")
def tell_of_expiring(timestamp: int) -> None:
    """Tell of each export whose file is deleted within a week, and again within a day."""
    retention.tell(RENDER)
