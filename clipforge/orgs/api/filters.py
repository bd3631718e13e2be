from __future__ import annotations

from typing import Any, cast

import django_filters
from django.db.models import QuerySet

from clipforge.common.api.filters import Containing, CreatedAfter, CreatedBefore
from clipforge.orgs import selectors
from clipforge.orgs.models import APIKey


class KeyFilter(django_filters.FilterSet):
    mode = django_filters.ChoiceFilter(
        choices=[("live", "live"), ("test", "test")],
        method="of_mode",
        help_text="`test`: the keys of the sandbox. Else those of the organization of the key.",
    )

    is_revoked = django_filters.ChoiceFilter(
        choices=[("true", "Yes"), ("false", "No")],
        method="of_revoked",
        help_text="Those that were revoked, or those that were not.",
    )
    created_after = CreatedAfter()
    created_before = CreatedBefore()
    q = Containing("name", "prefix")

    class Meta:
        model = APIKey
        fields: list[str] = []

    def of_revoked(self, keys: QuerySet[APIKey], name: str, value: str) -> QuerySet[APIKey]:
        return keys.filter(revoked_at__isnull=value == "false")

    def of_mode(self, keys: QuerySet[APIKey], name: str, mode: str) -> QuerySet[APIKey]:
        organization = cast("Any", self.request).user.organization
        if (mode == "test") == organization.is_sandbox:
            return keys
        if mode == "live":  # a key of the sandbox sees nothing of what is live
            return keys.none()
        return selectors.lasting_keys_of_sandbox(organization)
