from __future__ import annotations

from django.contrib import admin

from clipforge.common.admin import NEWEST_FIRST, BigTable, MovedByServices
from clipforge.common.admin_filters import between
from clipforge.jobs.models import FAILED
from projects.models import Moment, Project


@admin.register(Project)
class ProjectAdmin(BigTable, MovedByServices, admin.ModelAdmin[Project]):
    list_display = ["title", "org", "status", "duration", "created_at"]
    list_filter = ["status"]
    exclude = ["fence"]
    list_select_related = ["org"]
    org_field = "org"
    search_fields = ["=id", "~title"]
    search_help_text = "How a title begins, an id, or the slug or id of an organization."
    ordering = NEWEST_FIRST
    ordering_of_org = ["-created_at", "-id"]
    sortable_by = ["created_at"]
    other_days = (
        between("finished_at", "failed", also={"status": FAILED}, order=["-finished_at", "-id"]),
    )


@admin.register(Moment)
class MomentAdmin(BigTable, MovedByServices, admin.ModelAdmin[Moment]):
    list_display = ["__str__", "project", "score", "reason"]
    list_select_related = ["project"]
    search_fields = ["=id", "=project__id"]
    search_help_text = "The id of a moment or of a project."
