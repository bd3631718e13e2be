"""Tasks of billing."""

from __future__ import annotations

import logging

from procrastinate.contrib.django import app

from billing import alerts, reconciling, sandboxes, subscriptions

logger = logging.getLogger(__name__)


# A minute after the hour: periods begin on it.
@app.periodic(cron="1 * * * *")
@app.task(queue="maintenance", queueing_lock="billing.monthly", name="billing.monthly")
def grant_monthly(timestamp: int) -> None:
    subscriptions.grant_monthly()


@app.periodic(cron="23 * * * *")
@app.task(queue="maintenance", queueing_lock="billing.reconcile", name="billing.reconcile")
def reconcile(timestamp: int) -> None:
    """Reconcile with Stripe as `reconcile_stripe` does, and log the findings."""
    findings = reconciling.reconcile()
    if not findings.ok:
        logger.error("payments do not add up", extra=findings._asdict())


@app.periodic(cron="* * * * *")
@app.task(queue="maintenance", queueing_lock="billing.alerts", name="billing.alerts")
def alert(timestamp: int) -> None:
    try:
        alerts.notice()
    finally:  # what was noticed before is mailed in any case
        alerts.send()


@app.periodic(cron="17 4 * * *")
@app.task(queue="maintenance", queueing_lock="billing.sandboxes", name="billing.sandboxes")
def fill_up_sandboxes(timestamp: int) -> None:
    sandboxes.fill_up_all()
