"""Recording an event: the event, its deliveries and their tasks, in the transaction of the change."""

from __future__ import annotations

import datetime
import json
import uuid
from typing import Any

from django.db import connection
from django.db.models import Model
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

    Requires the transaction of the change, after it, which has locked the row: the body is that of the
    object as it is now. Until the transaction ends, other events of the same object wait. Raises
    LookupError for a type that is not registered.
    """
    return _record(event_type, subject, org, only=None)


def record_for(endpoint: Endpoint, event_type: str) -> Delivery:
    """Record an event about an endpoint that is told to this endpoint alone, whatever it asked for."""
    event = _record(event_type, endpoint, endpoint.org, only=endpoint.pk)
    return Delivery.objects.select_related("event").get(event=event, endpoint=endpoint)


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


def _record(event_type: str, subject: Model, org: Organization, *, only: uuid.UUID | None) -> Event:
    """One statement: the event with its number, its deliveries, and their tasks."""
    kind = find_type(event_type)
    event = Event(
        id=uuid7(),
        org=org,
        type=event_type,
        object_id=subject.pk,
        created_at=datetime.datetime.now(datetime.UTC),
    )
    # The number stands between the two; who records it knows it first.
    about, data = (
        _written(part)[1:-1]
        for part in (
            {
                "id": str(event.pk),
                "type": event_type,
                "timestamp": event.created_at.isoformat().replace("+00:00", "Z"),
                "object_type": kind.object_type,
                "object_id": str(event.object_id),
            },
            {"data": json.loads(kind.body(subject))},
        )
    )
    before, after = f'{{{about},"sequence":', f",{data}}}"
    task = app.configure_task(SEND).job
    with connection.cursor() as cursor:
        cursor.execute(
            "SELECT number FROM events_record(%s, %s, %s, %s, %s, %s, %s, %s, %s, %s) AS number",
            [
                *(event.pk, org.pk, event_type, event.object_id, event.created_at, before, after),
                *(only, task.queue, task.task_name),
            ],
        )
        (event.sequence,) = cursor.fetchone()
    event.body = f"{before}{event.sequence}{after}"
    event._state.adding, event._state.db = False, connection.alias
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
