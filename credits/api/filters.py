from __future__ import annotations

from django_filters import rest_framework as filters

from clipforge.common.api.filters import CreatedAfter, CreatedBefore
from credits.models import HoldStatus, TransactionType


class OfReference(filters.CharFilter):
    """Rows about one object. Its id names few rows, which the index of ids finds; a part of a reason is
    not looked for, since an index of its letters would be larger than the ledger."""

    def __init__(self) -> None:
        super().__init__("reference_id", max_length=64, help_text="Of a project or an export.")


class TransactionFilter(filters.FilterSet):
    type = filters.ChoiceFilter(choices=TransactionType.choices)
    reference_id = OfReference()
    created_after = CreatedAfter()
    created_before = CreatedBefore()


class HoldFilter(filters.FilterSet):
    status = filters.ChoiceFilter(choices=HoldStatus.choices)
    reference_id = OfReference()
    created_after = CreatedAfter()
    created_before = CreatedBefore()
