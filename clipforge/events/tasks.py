"""Tasks of events: sending, what was left to be sent, mail, and the end of what is old."""

from __future__ import annotations

import contextlib
import uuid

from django.core.mail import send_mail
from django.db import transaction
from procrastinate import RetryStrategy
from procrastinate.contrib.django import app
from procrastinate.exceptions import AlreadyEnqueued

from clipforge.events import outbox, sending, sweeping
from clipforge.events.disabling import MAIL, PATIENCE
from clipforge.events.models import Endpoint
from clipforge.events.selectors import waiting_endpoints
from clipforge.orgs.selectors import addressees

# The queue of coroutines, of which a worker has many at once.
OUTBOUND = "outbound"
# A run stops here; the next one goes on.
BATCH = 1000


@app.task(queue=OUTBOUND, name=outbox.SEND, retry=RetryStrategy(max_attempts=5, wait=5))
async def send(endpoint_id: str) -> None:
    await sending.send_due(uuid.UUID(endpoint_id))


@app.periodic(cron="* * * * * */15")
@app.task(queue="maintenance", queueing_lock="events.waiting", name="events.waiting")
def queue_waiting(timestamp: int) -> None:
    """Queue a task for each endpoint that has one no more: its worker died, or its task was lost."""
    for endpoint_id in waiting_endpoints().values_list("pk", flat=True)[:BATCH]:
        with contextlib.suppress(AlreadyEnqueued), transaction.atomic():
            outbox.defer_sending(endpoint_id, queueing_lock=f"events.send:{endpoint_id}")


@app.task(queue="maintenance", name=MAIL, retry=RetryStrategy(max_attempts=20, exponential_wait=2))
def mail_disabled(endpoint_id: str) -> None:
    """Tell the owners and admins that an endpoint of theirs is disabled, if it still is."""
    endpoint = Endpoint.objects.select_related("org").filter(pk=endpoint_id).first()
    if endpoint is None or endpoint.is_enabled or not (to := addressees(endpoint.org)):
        return
    send_mail(
        f"{endpoint.org.name[:100]}: a webhook endpoint was disabled",
        f"{endpoint.url} took none of the events that we sent in {PATIENCE.days} days, so we send it no "
        "more. Events are kept for 30 days: enable the endpoint, and replay what it missed.\n",
        None,
        to,
    )


@app.periodic(cron="37 * * * *")
@app.task(queue="maintenance", queueing_lock="events.sweep", name="events.sweep")
def sweep(timestamp: int) -> None:
    sweeping.remove_old()
