from __future__ import annotations

import django_filters

from billing.models import Payment, PaymentStatus
from clipforge.common.api.filters import AnyOf, Containing, CreatedAfter, CreatedBefore


class PaymentFilter(django_filters.FilterSet):
    status = AnyOf(choices=PaymentStatus.choices)
    created_after = CreatedAfter()
    created_before = CreatedBefore()
    # An organization pays some times a month.
    q = Containing("reference")

    class Meta:
        model = Payment
        fields: list[str] = []
