"""What the queue runs for the ledger."""

from __future__ import annotations

import logging

from procrastinate.contrib.django import app

from credits import expiry, reconciling

logger = logging.getLogger(__name__)

# A check that takes longer is given up: sweeps and expiry wait behind it. Seconds.
CHECK_SECONDS = 120.0


@app.periodic(cron="* * * * *")
@app.task(queue="maintenance", queueing_lock="credits.expire", name="credits.expire")
def expire(timestamp: int) -> None:
    """End what the clock has ended. Holds first: what they return to a lot may be owed, or end."""
    expiry.expire_holds()
    expiry.settle_returned()
    expiry.expire_grants()


@app.periodic(cron="53 * * * *")
@app.task(queue="maintenance", queueing_lock="credits.check", name="credits.check")
def check(timestamp: int) -> None:
    """What `reconcile_credits` does, every hour, for the page that staff look at first."""
    found, breaches = reconciling.check_ledger(actor="system:ledger", seconds=CHECK_SECONDS)
    if breaches:
        logger.error("the ledger does not add up", extra={"breaches": found.first})
    elif found.breaches is None:
        logger.warning("the check of the ledger took too long", extra={"seconds": CHECK_SECONDS})
