"""Tasks of the ledger: expiry every minute, the check of the invariants every hour."""

from __future__ import annotations

import logging

from procrastinate.contrib.django import app

from credits import expiry, quotes, reconciling

logger = logging.getLogger(__name__)

# A check that takes longer is given up: sweeps and expiry wait behind it. Seconds.
CHECK_SECONDS = 120.0


@app.periodic(cron="* * * * *")
@app.task(queue="maintenance", queueing_lock="credits.expire", name="credits.expire")
def expire(timestamp: int) -> None:
    """Expire holds and lots.

    Holds first: credits that they return to a lot may settle debt, or expire.
    """
    expiry.expire_holds()
    expiry.settle_returned()
    expiry.expire_grants()


@app.periodic(cron="53 * * * *")
@app.task(queue="maintenance", queueing_lock="credits.check", name="credits.check")
def check(timestamp: int) -> None:
    """Check the invariants as `reconcile_credits` does. The result is on the dashboard of staff."""
    found, breaches = reconciling.check_ledger(actor="system:ledger", seconds=CHECK_SECONDS)
    if breaches:
        logger.error("the ledger does not add up", extra={"breaches": found.first})
    elif found.breaches is None:
        logger.warning("the check of the ledger took too long", extra={"seconds": CHECK_SECONDS})


@app.periodic(cron="19 * * * *")
@app.task(queue="maintenance", queueing_lock="credits.quotes", name="credits.forget_quotes")
def forget_old_quotes(timestamp: int) -> None:
    """Delete quotes that ended long ago, a batch a transaction, to the last."""
    while quotes.forget_old_quotes() == quotes.BATCH:
        pass
