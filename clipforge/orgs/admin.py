from __future__ import annotations

from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html

from clipforge.audit.admin import AuditedAdmin
from clipforge.common.admin import BigTable, MovedByServices, NotMadeByHand
from clipforge.orgs.models import APIKey, IdempotencyRecord, Membership, TierLimits


@admin.register(TierLimits)
class TierLimitsAdmin(NotMadeByHand, AuditedAdmin[TierLimits]):
    list_display = [
        "tier",
        "requests_per_minute",
        "uploads_per_minute",
        "exports_per_minute",
        "concurrent_jobs",
        "queued_jobs",
        "max_source_seconds",
        "max_resolution",
        "retention_days",
        "monthly_credits",
    ]


@admin.register(Membership)
class MembershipAdmin(BigTable, AuditedAdmin[Membership]):
    list_display = ["user", "organization", "role"]
    list_select_related = ["user", "organization"]
    autocomplete_fields = ["user", "organization"]
    org_field = "organization"
    search_fields = ["=user__email"]
    search_help_text = "The slug or id of an organization, or the address of a person."


@admin.register(APIKey)
class APIKeyAdmin(BigTable, MovedByServices, admin.ModelAdmin[APIKey]):
    """Keys are issued and revoked on pages of their own; here they are looked at."""

    list_display = [
        "name",
        "prefix",
        "organization",
        "last_used_at",
        "expires_at",
        "revoked_at",
        "revoke",
    ]
    list_select_related = ["organization"]
    org_field = "organization"
    search_fields = ["=id", "^prefix"]
    search_help_text = "The public prefix of a key, or the slug or id of an organization."
    fields = [
        "organization",
        "name",
        "prefix",
        "created_by",
        "created_at",
        "last_used_at",
        "expires_at",
        "revoked_at",
        "revoke",
    ]
    readonly_fields = ["revoke"]

    @admin.display(description="revoke")
    def revoke(self, key: APIKey) -> str:
        if key.revoked_at is not None:
            return "revoked"
        return format_html('<a href="{}">Revoke…</a>', reverse("admin:revoke-key", args=[key.pk]))


@admin.register(IdempotencyRecord)
class IdempotencyRecordAdmin(BigTable, MovedByServices, admin.ModelAdmin[IdempotencyRecord]):
    list_display = ["key", "org", "status", "created_at"]
    list_select_related = ["org"]
    org_field = "org"
    search_fields = ["=id"]
    search_help_text = "The slug or id of an organization."
