"""Storing an event of Stripe, once, before it is applied."""

from __future__ import annotations

import datetime
from typing import Any

from django.db import DataError

from billing import gateway
from billing.models import StripeEvent
from clipforge.common.errors import Invalid

# Characters, as the row has room for. Stripe's are of 28.
MOST_ID = 255


def receive_event(document: dict[str, Any]) -> StripeEvent:
    """Store what came, once. Raises Invalid for what is no event of our mode."""
    event_id, kind, created = (document.get(key) for key in ("id", "type", "created"))
    if not (isinstance(event_id, str) and isinstance(kind, str) and 0 < len(event_id) <= MOST_ID):
        raise _no_event()
    created_at = _moment(created)
    if document.get("livemode") is not gateway.is_live():
        raise Invalid("This event is of the other mode, test or live.", code="wrong_mode")
    try:
        event, _ = StripeEvent.objects.get_or_create(
            pk=event_id,
            defaults={
                "type": kind[:100],
                "payload": document,
                "is_test": gateway.is_test(),
                "created_at": created_at,
            },
        )
    except DataError as error:  # NUL, which JSON can say and PostgreSQL cannot store
        raise _no_event() from error
    return event


def _moment(created: object) -> datetime.datetime:
    """Raises Invalid for what is no time of Stripe's, which counts seconds."""
    try:
        if type(created) is int and created >= 0:
            return datetime.datetime.fromtimestamp(created, datetime.UTC)
    except (OverflowError, ValueError, OSError):  # after the year 9999
        pass
    raise _no_event()


def _no_event() -> Invalid:
    return Invalid("This is no event.", code="invalid_event")
