"""Recording an event: the event, its deliveries and their tasks, in the transaction of the change."""

from __future__ import annotations

import datetime
import json
import uuid
from typing import Any

from django.db import connection
from django.db.models import Model, Q
from procrastinate.contrib.django import app

from clipforge.common.models import uuid7
from clipforge.common.versions import NEWEST, undo, version_named
from clipforge.events.models import Delivery, Endpoint, Event
from clipforge.events.registry import find_type
from clipforge.orgs.models import Organization

# The name of the task that sends what an endpoint has to be told.
SEND = "events.send"


def record(event_type: str, subject: Model, *, org: Organization) -> Event:
    """Record that something happened to `subject`, and queue what endpoints are told of it.

    Requires the transaction of the change, after it: the body is that of the object as it is now.
    Until the transaction ends, other events of the same object wait. Raises LookupError for a type
    that is not registered.
    """
    event = _create(event_type, subject, org)
    told = Q(event_types=[]) | Q(event_types__contains=[event_type])
    endpoints = Endpoint.objects.for_org(org).filter(told, deleted_at=None, is_enabled=True)
    deliver(event, list(endpoints.values_list("pk", flat=True)))
    return event


def record_for(endpoint: Endpoint, event_type: str) -> Delivery:
    """Record an event about an endpoint that is told to this endpoint alone, whatever it asked for."""
    event = _create(event_type, endpoint, endpoint.org)
    (delivery,) = deliver(event, [endpoint.pk])
    return delivery


def deliver(event: Event, endpoints: list[uuid.UUID]) -> list[Delivery]:
    """A delivery for each endpoint, and its task. In the caller's transaction."""
    deliveries = [each for pk in endpoints for each in deliveries_of([event], pk)]
    if deliveries:
        Delivery.objects.bulk_create(deliveries)
    for endpoint in endpoints:
        defer_sending(endpoint)
    return deliveries


def deliveries_of(events: list[Event], endpoint: uuid.UUID) -> list[Delivery]:
    """Deliveries of the events to an endpoint, not saved yet."""
    return [
        Delivery(
            org_id=event.org_id,
            endpoint_id=endpoint,
            event=event,
            event_type=event.type,
            object_id=event.object_id,
            sequence=event.sequence,
        )
        for event in events
    ]


def defer_sending(endpoint: uuid.UUID, *, in_seconds: float = 0, **options: Any) -> None:
    """Queue the task that sends what the endpoint has to be told by then."""
    if in_seconds:
        options["schedule_in"] = {"milliseconds": int(in_seconds * 1000)}
    app.configure_task(SEND, **options).defer(endpoint_id=str(endpoint))


def _create(event_type: str, subject: Model, org: Organization) -> Event:
    kind = find_type(event_type)
    event = Event(
        id=uuid7(),
        org=org,
        type=event_type,
        object_id=subject.pk,
        sequence=_next_number(subject.pk, org),
        created_at=datetime.datetime.now(datetime.UTC),
    )
    event.body = _written(
        {
            "id": str(event.pk),
            "type": event_type,
            "timestamp": event.created_at.isoformat().replace("+00:00", "Z"),
            "object_type": kind.object_type,
            "object_id": str(event.object_id),
            "sequence": event.sequence,
            "data": json.loads(kind.body(subject)),
        }
    )
    event.save(force_insert=True)
    return event


def body_for(endpoint: Endpoint, event: Event) -> str:
    """The body that the endpoint is told with: in its version, whatever is stored."""
    version = version_named(endpoint.api_version)
    if version is NEWEST:
        return event.body
    document = json.loads(event.body)
    undo(version, document)
    return _written(document)


def _written(document: dict[str, Any]) -> str:
    return json.dumps(document, ensure_ascii=False, separators=(",", ":"))


def _next_number(object_id: uuid.UUID, org: Organization) -> int:
    """The number of the next event of an object, which nobody else is given until this is committed."""
    with connection.cursor() as cursor:
        cursor.execute(
            """
            INSERT INTO events_eventsequence (object_id, org_id, latest) VALUES (%s, %s, 1)
                ON CONFLICT (object_id) DO UPDATE SET latest = events_eventsequence.latest + 1
            RETURNING latest
            """,
            [object_id, org.pk],
        )
        (number,) = cursor.fetchone()
    return int(number)
