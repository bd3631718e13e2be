from __future__ import annotations

from typing import Any, ClassVar

from django.contrib import admin
from django.http import HttpRequest
from django.urls import reverse
from django.utils.html import format_html

from clipforge.audit.admin import AuditedAdmin
from clipforge.common.admin import BigTable, MovedByServices, NotMadeByHand
from clipforge.orgs import keys
from clipforge.orgs.models import (
    APIKey,
    IdempotencyRecord,
    Membership,
    RefusedRequests,
    TierLimits,
)
from clipforge.orgs.selectors import spent_this_month


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
        "watermark",
        "retention_days",
        "storage_bytes",
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
        "may_do",
        "works_from",
        "cap",
        "spent",
        "created_by",
        "created_with",
        "replaces",
        "created_at",
        "last_used_at",
        "expires_at",
        "revoked_at",
        "limit",
        "rotate",
        "revoke",
    ]
    readonly_fields = [
        "may_do",
        "works_from",
        "cap",
        "spent",
        "created_with",
        "replaces",
        "limit",
        "rotate",
        "revoke",
    ]

    def get_list_display(self, request: HttpRequest) -> Any:
        return self._offered(request, super().get_list_display(request))

    def get_fields(self, request: HttpRequest, obj: APIKey | None = None) -> Any:
        return self._offered(request, super().get_fields(request, obj))

    def _offered(self, request: HttpRequest, names: Any) -> list[Any]:
        """Without links to what the person would be refused."""
        may = request.user.has_perm("staff.manage_keys")
        return [name for name in names if may or name not in {"limit", "rotate", "revoke"}]

    @admin.display(description="may do")
    def may_do(self, key: APIKey) -> str:
        return ", ".join(key.scope_list)

    @admin.display(description="works from")
    def works_from(self, key: APIKey) -> str:
        return key.allowed_addresses or "anywhere"

    @admin.display(description="credits a month")
    def cap(self, key: APIKey) -> str:
        return "no cap" if key.monthly_cap is None else f"at most {key.monthly_cap:,}"

    @admin.display(description="spent in this month")
    def spent(self, key: APIKey) -> str:
        return f"{spent_this_month([key]).get(key.family_id, 0):,} credits"

    @admin.display(description="limits")
    def limit(self, key: APIKey) -> str:
        return self._link(key, "limit-key", "Change limits…")

    @admin.display(description="rotate")
    def rotate(self, key: APIKey) -> str:
        return self._link(key, "rotate-key", "Rotate…")

    def _link(self, key: APIKey, name: str, text: str) -> str:
        if key.revoked_at is not None:
            return "revoked"
        return format_html('<a href="{}">{}</a>', reverse(f"admin:{name}", args=[key.pk]), text)

    @admin.display(description="revoke")
    def revoke(self, key: APIKey) -> str:
        return self._link(key, "revoke-key", "Revoke…")


@admin.register(IdempotencyRecord)
class IdempotencyRecordAdmin(BigTable, MovedByServices, admin.ModelAdmin[IdempotencyRecord]):
    list_display = ["key", "org", "status", "created_at"]
    list_select_related = ["org"]
    org_field = "org"
    search_fields = ["=id"]
    search_help_text = "The slug or id of an organization."


@admin.register(RefusedRequests)
class RefusedRequestsAdmin(BigTable, MovedByServices, admin.ModelAdmin[RefusedRequests]):
    """Of the last 31 days."""

    list_display = ["hour", "org", "key_name", "status", "code", "limit_name", "count"]
    list_select_related = ["org", "key"]
    org_field = "org"
    made_at = "hour"
    ordering = ["-hour", "-id"]
    ordering_of_org = ["-hour", "-id"]
    sortable_by = ["hour"]
    summed: ClassVar[dict[str, Any]] = {"count": lambda value, _: f"{value:,}"}
    search_fields = ["=id"]
    search_help_text = "The slug or id of an organization."

    @admin.display(description="key")
    def key_name(self, row: RefusedRequests) -> str:
        try:
            key = row.key
        except APIKey.DoesNotExist:
            return "gone"
        url = reverse("admin:orgs_apikey_change", args=[key.pk])
        return format_html('<a href="{}">{} {}</a>', url, key.name, keys.label(key.prefix))
