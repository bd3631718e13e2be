"""One page an organization: what it is, what it does, what happened, and what staff can do."""

from __future__ import annotations

from django.contrib import admin

from clipforge.common.admin import BigTable, NotDeleted
from clipforge.orgs.audit import AuditedAdmin
from clipforge.orgs.models import Membership, Organization


class MembershipInline(admin.TabularInline[Membership, Organization]):
    model = Membership
    autocomplete_fields = ["user"]
    extra = 0


@admin.register(Organization)
class OrganizationAdmin(BigTable, NotDeleted, AuditedAdmin[Organization]):
    list_display = ["name", "slug", "tier", "is_active", "created_at"]
    list_filter = ["tier", "is_active"]
    search_fields = ["=id", "=slug", "^slug", "name", "=members__email", "=api_keys__prefix"]
    search_help_text = "Name, slug, id, the address of a member, or the prefix of a key."
    sortable_by = ["created_at"]
    inlines = [MembershipInline]
