from __future__ import annotations

import django_filters

from clipforge.common.api.filters import (
    AnyOf,
    Containing,
    CreatedAfter,
    CreatedBefore,
    TrueOrFalse,
)
from clipforge.events.models import Delivery, DeliveryStatus, Endpoint


class EndpointFilter(django_filters.FilterSet):
    """An organization has ten of them at most."""

    is_enabled = TrueOrFalse()
    created_after = CreatedAfter()
    created_before = CreatedBefore()
    q = Containing("url", "description")

    class Meta:
        model = Endpoint
        fields: list[str] = []


class DeliveryFilter(django_filters.FilterSet):
    status = AnyOf(choices=DeliveryStatus.choices)
    # Through the events of the object, few, which its index of their order finds.
    object_id = django_filters.UUIDFilter(
        "event__object_id", help_text="Of the project, the export or what else it is about."
    )
    created_after = CreatedAfter()
    created_before = CreatedBefore()

    class Meta:
        model = Delivery
        fields: list[str] = []
