"""Storing an event of Stripe, once, before it is applied."""

from __future__ import annotations

import datetime
from typing import Any

from billing import gateway
from billing.models import StripeEvent
from clipforge.common.errors import Invalid


def receive_event(document: dict[str, Any]) -> StripeEvent:
    """Store what came, once. Raises Invalid for what is no event of our mode."""
    event_id, kind, created = (document.get(key) for key in ("id", "type", "created"))
    if not (isinstance(event_id, str) and isinstance(kind, str) and isinstance(created, int)):
        raise Invalid("This is no event.", code="invalid_event")
    if document.get("livemode") is not gateway.is_live():
        raise Invalid("This event is of the other mode, test or live.", code="wrong_mode")
    event, _ = StripeEvent.objects.get_or_create(
        pk=event_id,
        defaults={
            "type": kind[:100],
            "payload": document,
            "is_test": gateway.is_test(),
            "created_at": datetime.datetime.fromtimestamp(created, datetime.UTC),
        },
    )
    return event
