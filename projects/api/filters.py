from __future__ import annotations

import django_filters

from clipforge.common.api.filters import AnyId, AnyOf, CreatedBefore
from projects.models import Moment, Project


class ProjectFilter(django_filters.FilterSet):
    status = AnyOf(choices=Project.Status.choices)
    ids = AnyId()
    created_after = django_filters.IsoDateTimeFilter("created_at", "gte")
    created_before = CreatedBefore()

    class Meta:
        model = Project
        fields: list[str] = []


class MomentFilter(django_filters.FilterSet):
    min_score = django_filters.NumberFilter("score", "gte", min_value=0, max_value=100)

    class Meta:
        model = Moment
        fields: list[str] = []
