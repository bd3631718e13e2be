"""Whether Stripe, our payments and the ledger tell the same story."""

from __future__ import annotations

import logging
from typing import NamedTuple

from billing import gateway, webhooks
from billing.models import EventStatus, StripeEvent
from billing.selectors import Mismatch, mismatches

logger = logging.getLogger(__name__)


class Findings(NamedTuple):
    missed: list[str]  # events that never came, now applied where they could be
    waiting: list[str]  # events that could not be applied, and will be tried again
    mismatches: list[Mismatch]

    @property
    def ok(self) -> bool:
        return not (self.missed or self.waiting or self.mismatches)


def reconcile() -> Findings:
    """Fetch what Stripe could not deliver, apply what waits, and compare payments and ledger.

    An event is applied as if it had come. Everything else is only reported: a person repairs it.
    Without Stripe only payments and ledger are compared. Raises Unavailable when Stripe is down.
    """
    missed = _fetch_missed() if gateway.is_configured() else []
    return Findings(missed=missed, waiting=_apply_waiting(), mismatches=mismatches())


def _fetch_missed() -> list[str]:
    events = gateway.undelivered_events()
    known = set(
        StripeEvent.objects.filter(pk__in=[event["id"] for event in events]).values_list(
            "pk", flat=True
        )
    )
    missed = [event for event in events if event["id"] not in known]
    for event in missed:
        webhooks.receive(event)
    return [f"{event['id']} ({event['type']})" for event in missed]


def _apply_waiting() -> list[str]:
    waiting = []
    open_events = StripeEvent.objects.filter(status=EventStatus.RECEIVED).order_by("received_at")
    for event in list(open_events):
        try:
            webhooks.apply(event)
        except Exception as error:  # one that nobody foresaw must not keep the others waiting
            logger.exception("event still waits", extra={"event": event.pk})
            waiting.append(f"{event.pk} ({event.type}): {error}")
    return waiting
