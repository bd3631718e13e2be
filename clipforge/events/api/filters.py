from __future__ import annotations

import django_filters

from clipforge.common.api.filters import AnyOf, CreatedBefore
from clipforge.events.models import Delivery, DeliveryStatus


class DeliveryFilter(django_filters.FilterSet):
    status = AnyOf(choices=DeliveryStatus.choices)
    created_after = django_filters.IsoDateTimeFilter("created_at", "gte")
    created_before = CreatedBefore()

    class Meta:
        model = Delivery
        fields: list[str] = []
