from __future__ import annotations

from django_filters import rest_framework as filters

from clipforge.common.api.filters import CreatedBefore
from credits.models import HoldStatus, TransactionType


class TransactionFilter(filters.FilterSet):
    type = filters.ChoiceFilter(choices=TransactionType.choices)
    created_after = filters.IsoDateTimeFilter(
        "created_at", "gte", help_text="At this time or later."
    )
    created_before = CreatedBefore(help_text="Before this time, which is not included.")


class HoldFilter(filters.FilterSet):
    status = filters.ChoiceFilter(choices=HoldStatus.choices)
