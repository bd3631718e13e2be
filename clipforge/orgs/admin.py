from __future__ import annotations

from django.contrib import admin
from django.http import HttpRequest

from clipforge.common.admin import BigTable, MovedByServices, NotMadeByHand
from clipforge.orgs.audit import AuditedAdmin, RemovableAdmin
from clipforge.orgs.models import (
    APIKey,
    IdempotencyRecord,
    Membership,
    StaffAction,
    TierLimits,
)


@admin.register(TierLimits)
class TierLimitsAdmin(NotMadeByHand, AuditedAdmin[TierLimits]):
    list_display = [
        "tier",
        "requests_per_minute",
        "uploads_per_minute",
        "exports_per_minute",
        "concurrent_jobs",
        "max_source_seconds",
        "retention_days",
        "monthly_credits",
    ]


@admin.register(Membership)
class MembershipAdmin(BigTable, RemovableAdmin[Membership]):
    list_display = ["user", "organization", "role"]
    list_select_related = ["user", "organization"]
    autocomplete_fields = ["user", "organization"]
    org_field = "organization"
    search_fields = ["=user__email"]
    search_help_text = "The slug or id of an organization, or the address of a person."


@admin.register(APIKey)
class APIKeyAdmin(BigTable, admin.ModelAdmin[APIKey]):
    """Keys are made by the service, which shows them once: nothing can be added here."""

    list_display = ["name", "prefix", "organization", "last_used_at", "expires_at", "revoked_at"]
    list_select_related = ["organization"]
    org_field = "organization"
    search_fields = ["=id", "^prefix"]
    search_help_text = "The public prefix of a key, or the slug or id of an organization."
    readonly_fields = ["organization", "prefix", "created_by", "created_at", "last_used_at"]

    def has_add_permission(self, request: HttpRequest) -> bool:
        return False


@admin.register(IdempotencyRecord)
class IdempotencyRecordAdmin(BigTable, MovedByServices, admin.ModelAdmin[IdempotencyRecord]):
    list_display = ["key", "org", "status", "created_at"]
    list_select_related = ["org"]
    org_field = "org"
    search_fields = ["=id"]
    search_help_text = "The slug or id of an organization."


@admin.register(StaffAction)
class StaffActionAdmin(BigTable, MovedByServices, admin.ModelAdmin[StaffAction]):
    """What staff did, the newest first. Nobody changes it, and the database refuses to."""

    list_display = ["created_at", "actor", "verb", "object_label", "org", "reason"]
    list_select_related = ["actor", "org"]
    org_field = "org"
    search_fields = ["=request_id", "=actor__email"]
    search_help_text = (
        "The slug or id of an organization, the address of who did it, or the id of a request."
    )
    # By id, which is the order of time and has an index over all organizations.
    ordering = ["-id"]
    ordering_of_org = ["-created_at", "-id"]
