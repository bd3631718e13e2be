"""What the queue runs for the ledger."""

from __future__ import annotations

from procrastinate.contrib.django import app

from credits import expiry


@app.periodic(cron="* * * * *")
@app.task(queue="maintenance", queueing_lock="credits.expire", name="credits.expire")
def expire(timestamp: int) -> None:
    """End what the clock has ended. Holds first: what they return to a lot may be owed, or end."""
    expiry.expire_holds()
    expiry.settle_returned()
    expiry.expire_grants()
