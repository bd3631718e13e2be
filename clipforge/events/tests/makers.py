"""Events that happened, and what is sent of them, in this process."""

from __future__ import annotations

import json
from typing import Any

from asgiref.sync import async_to_sync

from clipforge.common.outbound import Outbound
from clipforge.devtools.testing.factories import make_project
from clipforge.events import outbox, sending
from clipforge.events.models import Delivery, Endpoint, Event
from clipforge.orgs.models import Organization
from projects.models import Project


def happen(org: Organization, *types: str, project: Project | None = None) -> list[Event]:
    """Events of one project, in order."""
    project = project or make_project(org, status="UPLOADED")
    return [outbox.record(each, project, org=org) for each in types or ("project.ready",)]


def send(endpoint: Endpoint, *, seconds: float = 60) -> None:
    """Do what the task of the endpoint does."""
    async_to_sync(sending.send_due)(endpoint.pk, Outbound(seconds=seconds))


def bodies(received: list[Any]) -> list[dict[str, Any]]:
    return [json.loads(each.body) for each in received]


def stand(endpoint: Endpoint) -> list[tuple[str, int, int | None, str]]:
    """Of its deliveries, in the order of their events: status, tries, last answer and error."""
    rows = Delivery.objects.filter(endpoint=endpoint).order_by("event_id")
    return list(rows.values_list("status", "tries", "answer_status", "error"))
