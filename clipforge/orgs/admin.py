from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.urls import reverse
from django.utils.html import format_html, format_html_join

from clipforge.common.admin import BigTable, MovedByServices, NotMadeByHand
from clipforge.orgs.audit import AuditedAdmin
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


@admin.register(StaffAction)
class StaffActionAdmin(BigTable, MovedByServices, admin.ModelAdmin[StaffAction]):
    """What staff did, the newest first. Nobody changes it, and the database refuses to."""

    list_display = ["created_at", "actor", "verb", "object_label", "org", "reason"]
    list_select_related = ["actor", "org"]
    org_field = "org"
    search_fields = ["=object_id", "=request_id", "=actor__email"]
    search_help_text = (
        "The slug or id of an organization, the id of what was changed or of a request "
        "(X-Request-ID), or the address of who did it."
    )
    fields = [
        "created_at",
        "actor",
        "verb",
        "org",
        "object_type",
        "object_id",
        "object_label",
        "changes",
        "reason",
        "request_id",
        "address",
    ]
    readonly_fields = ["changes"]
    # By id, which is the order of time and has an index over all organizations.
    ordering = ["-id"]
    ordering_of_org = ["-created_at", "-id"]

    @admin.display(description="before and after")
    def changes(self, action: StaffAction) -> str:
        names = list(dict.fromkeys([*action.before, *action.after]))
        if not names:
            return "nothing was kept"
        rows = format_html_join(
            "",
            '<tr><th scope="row">{}</th><td>{}</td><td>{}</td></tr>',
            (
                (name.replace("_", " "), *(_shown(side, name) for side in _sides(action)))
                for name in names
            ),
        )
        return format_html(
            '<table class="cf-change"><thead><tr><th scope="col">What</th><th scope="col">Before</th>'
            '<th scope="col">After</th></tr></thead><tbody>{}</tbody></table>',
            rows,
        )


def _sides(action: StaffAction) -> tuple[dict[str, Any], dict[str, Any]]:
    return action.before, action.after


def _shown(side: dict[str, Any], name: str) -> str:
    """A value as people read it. A side that does not speak of it is left empty."""
    if name not in side:
        return ""
    value = side[name]
    if value is None or value == "":
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list):
        return ", ".join(str(item) for item in value) or "none"
    return str(value)
