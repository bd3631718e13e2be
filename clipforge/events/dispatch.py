"""The life of a delivery, in the database.

An endpoint is sent to by one worker at a time, which has it under a lease:

    claim     a lease, if nobody has one that holds; then
    take      up to AT_ONCE deliveries that are due, each of another object
    settle    what became of them, in one transaction; the lease begins anew
    release   the lease is given up, unless something is due again

A worker that dies leaves its lease to end: what it sent and could not settle is sent again, under
the same id. One that comes back from the dead finds the lease to be another's, and settles nothing.
"""

from __future__ import annotations

import datetime
import uuid
from dataclasses import dataclass

from django.db import transaction
from django.db.models import Exists, F, OuterRef, QuerySet
from django.db.models.functions import Coalesce, Now

from clipforge.common.models import uuid7
from clipforge.events import outbox
from clipforge.events.disabling import disable_after_failures
from clipforge.events.models import Attempt, Delivery, DeliveryStatus, Endpoint
from clipforge.events.schedule import delay_after, pause_after
from clipforge.events.selectors import due_deliveries, free_endpoints

# Requests to one endpoint at the same time.
AT_ONCE = 4
# Longer than a round takes: the requests of one, and a database that is busy. Seconds.
LEASE_SECONDS = 60


@dataclass(frozen=True)
class Outcome:
    """One attempt, and what came back: a status, or the reason for which there is none."""

    delivery: Delivery
    url: str
    sent_at: datetime.datetime
    seconds: float
    status: int | None = None
    answer: str = ""
    error: str = ""

    @property
    def is_success(self) -> bool:
        return self.status is not None and 200 <= self.status < 300


def claim(endpoint_id: uuid.UUID) -> uuid.UUID | None:
    """A lease on the endpoint, by which its holder is known. None: it is another's, or must rest."""
    holder = uuid7()
    free = free_endpoints().filter(pk=endpoint_id)
    return holder if free.update(holder=holder, lease_expires_at=_lease_end()) else None


def take(endpoint_id: uuid.UUID, holder: uuid.UUID) -> tuple[Endpoint, list[Delivery]] | None:
    """The endpoint, and the next of its deliveries. None: it is no longer ours, or is to be left alone."""
    endpoint = _held(endpoint_id, holder).filter(is_enabled=True, deleted_at=None).first()
    if endpoint is None:
        return None
    due = due_deliveries().filter(endpoint=endpoint).select_related("event")
    return endpoint, list(due[:AT_ONCE])


def settle(endpoint: Endpoint, holder: uuid.UUID, outcomes: list[Outcome]) -> bool:
    """Record what became of deliveries. False: the endpoint is another's by now, nothing is recorded.

    An endpoint of which none gave an answer is left alone for a while, whatever is due: its other
    deliveries would only wait as long, one after the other.
    """
    answered = any(outcome.status is not None for outcome in outcomes)
    took = any(outcome.is_success for outcome in outcomes)
    unanswered = 0 if answered else endpoint.unanswered + 1
    pause = 0.0 if answered else pause_after(unanswered)
    with transaction.atomic():
        ours = _held(endpoint.pk, holder).update(
            lease_expires_at=_lease_end(),
            unanswered=unanswered,
            paused_until=Now() + datetime.timedelta(seconds=pause) if pause else None,
            failing_since=None if took else Coalesce(F("failing_since"), Now()),
        )
        if not ours:
            return False
        for outcome in outcomes:
            _settle_one(outcome, at_least=pause)
        Attempt.objects.bulk_create([_attempt(outcome) for outcome in outcomes])
        if not took:
            disable_after_failures(endpoint)
    return True


def release(endpoint_id: uuid.UUID, holder: uuid.UUID) -> bool:
    """Give the lease up, unless something is due. False: something is, or the lease was lost.

    A task that found the lease held, and did nothing, was committed before this statement: it is seen
    here. One that comes while it runs waits for it, and finds the endpoint free.
    """
    due = due_deliveries().filter(endpoint=OuterRef("pk"))
    held = _held(endpoint_id, holder).filter(~Exists(due))
    return bool(held.update(holder=None, lease_expires_at=None))


def hand_on(endpoint_id: uuid.UUID, holder: uuid.UUID) -> None:
    """Give the lease up with a task for whatever is due: others shall have their turn."""
    with transaction.atomic():
        if _held(endpoint_id, holder).update(holder=None, lease_expires_at=None):
            outbox.defer_sending(endpoint_id)


def _settle_one(outcome: Outcome, *, at_least: float) -> None:
    mine = Delivery.objects.filter(
        pk=outcome.delivery.pk, status=DeliveryStatus.PENDING, tries=outcome.delivery.tries
    )
    tries = outcome.delivery.tries + 1
    known = {"tries": tries, "answer_status": outcome.status, "error": outcome.error}
    if outcome.is_success:
        mine.update(status=DeliveryStatus.DELIVERED, delivered_at=Now(), next_try_at=None, **known)
        return
    delay = delay_after(tries)
    if delay is None:
        mine.update(status=DeliveryStatus.FAILED, next_try_at=None, **known)
        return
    delay = max(delay, at_least)
    if mine.update(next_try_at=Now() + datetime.timedelta(seconds=delay), **known):
        outbox.defer_sending(outcome.delivery.endpoint_id, in_seconds=delay)


def _attempt(outcome: Outcome) -> Attempt:
    return Attempt(
        delivery=outcome.delivery,
        url=outcome.url,
        sent_at=outcome.sent_at,
        seconds=outcome.seconds,
        answer_status=outcome.status,
        error=outcome.error,
        answer=outcome.answer,
    )


def _held(endpoint_id: uuid.UUID, holder: uuid.UUID) -> QuerySet[Endpoint]:
    return Endpoint.objects.filter(pk=endpoint_id, holder=holder).select_related("org")


def _lease_end() -> object:
    return Now() + datetime.timedelta(seconds=LEASE_SECONDS)
