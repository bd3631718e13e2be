"""The event that an endpoint is tested with, with the body that `GET /webhooks/endpoints/{id}` has."""

from __future__ import annotations

from rest_framework.renderers import JSONRenderer

from clipforge.events import services
from clipforge.events.api.serializers import EndpointSerializer
from clipforge.events.models import Endpoint
from clipforge.events.registry import EventType, register


def body(endpoint: Endpoint) -> bytes:
    return bytes(JSONRenderer().render(EndpointSerializer(endpoint).data))


register(
    EventType(
        name=services.TEST,
        told_when="You asked for a test of this endpoint.",
        body=body,
        answer=EndpointSerializer,
    )
)
