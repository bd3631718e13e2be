from __future__ import annotations

from typing import Any

import django_filters
from django.db.models import QuerySet

from billing.models import Payment, PaymentStatus
from billing.selectors import SAME_TRANSFER, without_blanks
from clipforge.common.api.filters import AnyOf, Containing, CreatedAfter, CreatedBefore


class ContainingReference(Containing):
    """A part of a reference, whatever blanks are in either: as everywhere that references are compared."""

    def filter(self, qs: QuerySet[Any], value: str) -> QuerySet[Any]:
        part = without_blanks(value)
        return qs.filter(**{f"{SAME_TRANSFER}__icontains": part}) if part else qs


class PaymentFilter(django_filters.FilterSet):
    status = AnyOf(choices=PaymentStatus.choices)
    created_after = CreatedAfter()
    created_before = CreatedBefore()
    # An organization pays some times a month.
    q = ContainingReference("reference")

    class Meta:
        model = Payment
        fields: list[str] = []
