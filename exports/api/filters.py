from __future__ import annotations

import uuid
from typing import cast

import django_filters
from django.db.models import QuerySet

from clipforge.common.api.filters import (
    AnyId,
    AnyOf,
    CreatedAfter,
    CreatedBefore,
    Sort,
    UpdatedAfter,
    UpdatedBefore,
)
from clipforge.orgs.principal import Principal
from exports.models import Export
from exports.selectors import exports_of
from projects.selectors import get_project, projects_with


class ExportFilter(django_filters.FilterSet):
    # The first to be applied: it replaces what is listed.
    project = django_filters.UUIDFilter(method="of_project")
    status = AnyOf(choices=Export.Status.choices)
    ids = AnyId()
    q = django_filters.CharFilter(
        method="of_text",
        max_length=200,
        help_text="In the title or the external id of its project, in any case.",
    )
    sort = Sort()
    updated_after = UpdatedAfter()
    updated_before = UpdatedBefore()
    created_after = CreatedAfter()
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

    def of_text(self, queryset: QuerySet[Export], name: str, value: str) -> QuerySet[Export]:
        # Through the index of the projects: an index of exports would say the same again.
        principal = cast("Principal", self.request and self.request.user)
        return queryset.filter(project__in=projects_with(principal.organization, value))
