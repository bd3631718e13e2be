from __future__ import annotations

from django.contrib import admin

from clipforge.common.admin import NEWEST_FIRST, BigTable, MovedByServices
from clipforge.common.admin_filters import between
from clipforge.jobs.models import FAILED
from exports.models import Export


@admin.register(Export)
class ExportAdmin(BigTable, MovedByServices, admin.ModelAdmin[Export]):
    list_display = [
        "created_at",
        "org",
        "project",
        "status",
        "aspect",
        "resolution",
        "layout",
        "captions",
    ]
    list_filter = ["status"]
    exclude = ["fence"]
    list_select_related = ["org", "project"]
    org_field = "org"
    search_fields = ["=id", "=project__id"]
    search_help_text = "The id of an export or project, or the slug or id of an organization."
    ordering = NEWEST_FIRST
    ordering_of_org = ["-created_at", "-id"]
    sortable_by = ["created_at"]
    other_days = (
        between("finished_at", "failed", also={"status": FAILED}, order=["-finished_at", "-id"]),
    )
