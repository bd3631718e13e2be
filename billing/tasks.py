"""What the queue runs for billing."""

from __future__ import annotations

from procrastinate.contrib.django import app

from billing import subscriptions


# A minute after the hour: periods begin on it.
@app.periodic(cron="1 * * * *")
@app.task(queue="maintenance", queueing_lock="billing.monthly", name="billing.monthly")
def grant_monthly(timestamp: int) -> None:
    subscriptions.grant_monthly()
