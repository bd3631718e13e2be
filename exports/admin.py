from __future__ import annotations

from django.contrib import admin

from clipforge.common.admin import NEWEST_FIRST, BigTable, MovedByServices, OfOneOrganization
from exports.models import Export


@admin.register(Export)
class ExportAdmin(OfOneOrganization, BigTable, MovedByServices, admin.ModelAdmin[Export]):
    list_display = ["id", "org", "project", "status", "aspect", "resolution", "created_at"]
    list_filter = ["status"]
    list_select_related = ["org", "project"]
    search_fields = ["id"]
    raw_id_fields = ["org", "project", "moment", "hold"]
    ordering = NEWEST_FIRST
