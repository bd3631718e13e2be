from __future__ import annotations

from django.contrib import admin

from clipforge.common.admin import NEWEST_FIRST, BigTable, MovedByServices, OfOneOrganization
from projects.models import Moment, Project


@admin.register(Project)
class ProjectAdmin(OfOneOrganization, BigTable, MovedByServices, admin.ModelAdmin[Project]):
    list_display = ["title", "org", "status", "duration", "created_at"]
    list_filter = ["status"]
    list_select_related = ["org"]
    search_fields = ["id", "title"]
    raw_id_fields = ["org", "hold"]
    ordering = NEWEST_FIRST


@admin.register(Moment)
class MomentAdmin(BigTable, MovedByServices, admin.ModelAdmin[Moment]):
    list_display = ["__str__", "project", "score", "reason"]
    list_select_related = ["project"]
    raw_id_fields = ["org", "project"]
