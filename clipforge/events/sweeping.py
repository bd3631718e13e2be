"""The end of events that are old, with their deliveries, and of endpoints that were deleted."""

from __future__ import annotations

import datetime

from django.db import transaction
from django.db.models import Exists, OuterRef
from django.db.models.functions import Now

from clipforge.events.models import Attempt, Delivery, Endpoint, Event

# How long an event can be looked at and replayed.
RETENTION = datetime.timedelta(days=30)
# Events that one transaction removes; and how many of those a run does, of which there is one an hour.
BATCH, BATCHES = 1000, 100


def remove_old() -> int:
    """Remove events past their retention, and endpoints of which nothing is left. Returns how many events.

    A run stops after BATCHES of BATCH events; the next one goes on.
    """
    removed = 0
    for _ in range(BATCHES):
        found = _remove_batch()
        removed += found
        if found < BATCH:
            break
    deleted = Endpoint.objects.filter(deleted_at__isnull=False)
    deleted.filter(~Exists(Delivery.objects.filter(endpoint=OuterRef("pk")))).delete()
    return removed


def _remove_batch() -> int:
    with transaction.atomic():
        old = Event.objects.filter(created_at__lt=Now() - RETENTION).order_by("created_at", "id")
        ids = list(old.values_list("pk", flat=True)[:BATCH])
        deliveries = Delivery.objects.filter(event__in=ids)
        Attempt.objects.filter(delivery__in=deliveries)._raw_delete("default")
        deliveries._raw_delete("default")
        Event.objects.filter(pk__in=ids)._raw_delete("default")
    return len(ids)
