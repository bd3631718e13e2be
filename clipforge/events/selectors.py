"""Reads of events, endpoints and deliveries."""

from __future__ import annotations

import uuid

from django.db.models import Exists, OuterRef, Q, QuerySet
from django.db.models.functions import Now

from clipforge.common.errors import NotFound
from clipforge.common.models import OrgQuerySet
from clipforge.events import registry
from clipforge.events.models import Attempt, Delivery, DeliveryStatus, Endpoint, Event
from clipforge.orgs.models import Organization

SHOWN_ATTEMPTS = 50


def endpoints(org: Organization) -> OrgQuerySet[Endpoint]:
    return Endpoint.objects.for_org(org).filter(deleted_at=None)


def all_endpoints() -> QuerySet[Endpoint]:
    """Those that are not deleted, of every organization."""
    return Endpoint.objects.filter(deleted_at=None)


def event_types() -> list[str]:
    """The types that an endpoint may be told of."""
    return [each.name for each in registry.all_types()]


def get_endpoint(org: Organization, endpoint_id: uuid.UUID) -> Endpoint:
    """Raises NotFound, the same for an unknown id and another organization's."""
    endpoint = endpoints(org).filter(pk=endpoint_id).first()
    if endpoint is None:
        raise NotFound
    endpoint.org = org  # known: it need not be read again
    return endpoint


def deliveries(endpoint: Endpoint) -> QuerySet[Delivery]:
    """Those of an endpoint, which the caller knows to be the organization's."""
    return Delivery.objects.filter(endpoint=endpoint)


def get_delivery(org: Organization, delivery_id: uuid.UUID) -> Delivery:
    """With its event and endpoint. Raises NotFound, also for another organization's."""
    found = Delivery.objects.for_org(org).select_related("event", "endpoint")
    delivery = found.filter(pk=delivery_id).first()
    if delivery is None:
        raise NotFound
    delivery.endpoint.org = org  # known: it need not be read again
    return delivery


def latest_attempts(delivery: Delivery) -> QuerySet[Attempt]:
    """The latest attempts, as many as are shown."""
    return delivery.attempts.order_by("-id")[:SHOWN_ATTEMPTS]


def due_deliveries() -> QuerySet[Delivery]:
    """Those that can be sent now: due, and after no other of their object to the same endpoint."""
    pending = Delivery.objects.filter(status=DeliveryStatus.PENDING)
    earlier = pending.filter(
        endpoint=OuterRef("endpoint"),
        object_id=OuterRef("object_id"),
        sequence__lt=OuterRef("sequence"),
    )
    return pending.filter(~Exists(earlier), next_try_at__lte=Now()).order_by("next_try_at", "id")


def free_endpoints() -> QuerySet[Endpoint]:
    """Endpoints of all organizations that may be sent to, and to which nobody sends."""
    lapsed = Q(lease_expires_at=None) | Q(lease_expires_at__lte=Now())
    rested = Q(paused_until=None) | Q(paused_until__lte=Now())
    return Endpoint.objects.filter(lapsed, rested, is_enabled=True, deleted_at=None)


def waiting_endpoints() -> QuerySet[Endpoint]:
    """Those of them that have something to be told."""
    return free_endpoints().filter(Exists(due_deliveries().filter(endpoint=OuterRef("pk"))))


def object_ids_told(event_type: str, object_ids: list[uuid.UUID]) -> set[uuid.UUID]:
    """Those of the objects that have an event of this type already."""
    told = Event.objects.filter(object_id__in=object_ids, type=event_type)
    return set(told.values_list("object_id", flat=True))
