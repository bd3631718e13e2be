from __future__ import annotations

from typing import cast

import django_filters
from django.db.models import QuerySet

from clipforge.common.api.filters import (
    AnyId,
    AnyOf,
    Containing,
    CreatedAfter,
    CreatedBefore,
    Sort,
    TrueOrFalse,
    UpdatedAfter,
    UpdatedBefore,
)
from clipforge.orgs.principal import Principal
from projects.models import Moment, Project
from projects.title_search import having


class ProjectFilter(django_filters.FilterSet):
    status = AnyOf(choices=Project.Status.choices)
    ids = AnyId()
    external_id = django_filters.CharFilter(max_length=200)
    q = django_filters.CharFilter(
        method="of_text", max_length=200, help_text="In the title or the external id, in any case."
    )
    sort = Sort()
    updated_after = UpdatedAfter()
    updated_before = UpdatedBefore()
    created_after = CreatedAfter()
    created_before = CreatedBefore()

    class Meta:
        model = Project
        fields: list[str] = []

    def of_text(self, queryset: QuerySet[Project], name: str, value: str) -> QuerySet[Project]:
        principal = cast("Principal", self.request and self.request.user)
        return having(queryset, principal.organization.pk, value)


class MomentFilter(django_filters.FilterSet):
    """Of the moments of one project, of which there are hundreds at most: each filter reads them all."""

    min_score = django_filters.NumberFilter("score", "gte", min_value=0, max_value=100)
    kind = django_filters.ChoiceFilter(choices=Moment.Kind.choices)
    origin = django_filters.ChoiceFilter(choices=Moment.Origin.choices)
    rating = django_filters.ChoiceFilter(choices=Moment.Rating.choices)
    pinned = TrueOrFalse()
    start_after = django_filters.NumberFilter(
        "start", "gte", min_value=0, help_text="Seconds into the source, or later."
    )
    start_before = django_filters.NumberFilter(
        "start", "lt", min_value=0, help_text="Seconds into the source."
    )
    q = Containing("title", "hook", "reason")

    class Meta:
        model = Moment
        fields: list[str] = []
