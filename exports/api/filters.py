from __future__ import annotations

import uuid
from typing import cast

import django_filters
from django.db.models import QuerySet

from clipforge.common.api.filters import AnyId, AnyOf, CreatedBefore, Sort, UpdatedAfter
from clipforge.orgs.principal import Principal
from exports.models import Export
from exports.selectors import exports_of
from projects.selectors import get_project


class ExportFilter(django_filters.FilterSet):
    # The first to be applied: it replaces what is listed.
    project = django_filters.UUIDFilter(method="of_project")
    status = AnyOf(choices=Export.Status.choices)
    ids = AnyId()
    sort = Sort()
    updated_after = UpdatedAfter()
    created_after = django_filters.IsoDateTimeFilter("created_at", "gte")
    created_before = CreatedBefore()

    class Meta:
        model = Export
        fields: list[str] = []

    def of_project(
        self, queryset: QuerySet[Export], name: str, value: uuid.UUID
    ) -> QuerySet[Export]:
        # Another organization's project is 404, as it is in a path.
        principal = cast("Principal", self.request and self.request.user)
        return exports_of(get_project(principal.organization, value))
