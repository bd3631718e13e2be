"""Sending what an endpoint has to be told: requests of coroutines, rows of the one thread for the database.

A request waits for its endpoint without a thread and without a connection to the database, so that
an endpoint which hangs costs the others nothing but a place among many.
"""

from __future__ import annotations

import asyncio
import datetime
import time
import uuid

from asgiref.sync import sync_to_async

from clipforge.common.outbound import Outbound, Unanswered
from clipforge.common.shutdown import stopping
from clipforge.common.versions import HEADER, version_named
from clipforge.events import dispatch, outbox
from clipforge.events.dispatch import Outcome
from clipforge.events.models import Delivery, Endpoint
from clipforge.events.signing import salts_of, signed_headers

# After so many rounds others have their turn.
ROUNDS = 25

USER_AGENT = "ClipForge-Webhooks/1"
CLIENT = Outbound()


async def send_due(endpoint_id: uuid.UUID, client: Outbound | None = None) -> None:
    """Send what the endpoint has to be told by now, in order, unless another worker does."""
    holder = await sync_to_async(dispatch.claim)(endpoint_id)
    if holder is None:
        return
    for _ in range(ROUNDS):
        taken = await sync_to_async(dispatch.take)(endpoint_id, holder)
        if taken is None or stopping.is_set():
            break
        endpoint, due = taken
        if not due:
            if await sync_to_async(dispatch.release)(endpoint_id, holder):
                return
            continue
        outcomes = await asyncio.gather(
            *(_attempt(client or CLIENT, endpoint, delivery) for delivery in due)
        )
        if not await sync_to_async(dispatch.settle)(endpoint, holder, outcomes):
            return
        if all(outcome.status is None for outcome in outcomes):
            break
    await sync_to_async(dispatch.hand_on)(endpoint_id, holder)


async def _attempt(client: Outbound, endpoint: Endpoint, delivery: Delivery) -> Outcome:
    event, body = delivery.event, outbox.body_for(endpoint, delivery.event)
    now = datetime.datetime.now(datetime.UTC)
    headers = {
        **signed_headers(str(event.pk), body, salts=salts_of(endpoint, now), at=now),
        "Content-Type": "application/json",
        "User-Agent": USER_AGENT,
        HEADER: version_named(endpoint.api_version).name,
    }
    began = time.monotonic()
    try:
        answer = await client.post(endpoint.url, headers=headers, content=body.encode())
    except Unanswered as error:
        seconds = time.monotonic() - began
        return Outcome(delivery, endpoint.url, now, seconds, error=error.code)
    seconds = time.monotonic() - began
    text = answer.body.decode(errors="replace").replace("\0", "\ufffd")
    return Outcome(delivery, endpoint.url, now, seconds, status=answer.status, answer=text)
