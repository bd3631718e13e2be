"""Admin pages of webhooks: what happened, who is told, what became of it. Read, but for three actions."""

from __future__ import annotations

from typing import Any

from django.contrib import admin
from django.db.models import QuerySet
from django.db.transaction import atomic
from django.http import HttpRequest, HttpResponse
from django.urls import reverse
from django.utils.html import format_html

from clipforge.audit.actor import Actor
from clipforge.audit.admin import AuditedAdmin
from clipforge.audit.services import write_entry
from clipforge.common.admin import NEWEST_FIRST, BigTable, MovedByServices
from clipforge.events import outbox, services
from clipforge.events.models import Attempt, Delivery, Endpoint, Event


class RetriedByStaff:
    """Actions for those of the staff who retry work."""

    def has_retry_permission(self, request: HttpRequest) -> bool:
        return request.user.has_perm("staff.retry_work")


@admin.register(Endpoint)
class EndpointAdmin(RetriedByStaff, BigTable, MovedByServices, AuditedAdmin[Endpoint]):
    list_display = ["url", "org", "is_enabled", "disabled_because", "failing_since", "deleted_at"]
    list_select_related = ["org"]
    org_field = "org"
    search_fields = ["=id"]
    search_help_text = "The id of an endpoint, or the slug or id of an organization."
    fields = [
        "org",
        "url",
        "description",
        "event_types",
        "is_enabled",
        "disabled_at",
        "disabled_because",
        "failing_since",
        "paused_until",
        "deleted_at",
        "created_at",
        "updated_at",
        "change",
        "rotate",
        "deliveries",
    ]
    readonly_fields = ["change", "rotate", "deliveries"]
    actions = ["enable", "disable"]

    def get_fields(self, request: HttpRequest, obj: Endpoint | None = None) -> Any:
        """Without links to what the person would be refused."""
        may = request.user.has_perm("staff.manage_keys")
        names = super().get_fields(request, obj)
        return [name for name in names if may or name not in {"change", "rotate"}]

    @admin.display(description="address and types")
    def change(self, endpoint: Endpoint) -> str:
        return self._link(endpoint, "change-endpoint", "Change…")

    @admin.display(description="secret")
    def rotate(self, endpoint: Endpoint) -> str:
        return self._link(endpoint, "rotate-endpoint", "Rotate…")

    @admin.display(description="deliveries")
    def deliveries(self, endpoint: Endpoint) -> str:
        address = reverse("admin:events_delivery_changelist")
        return format_html('<a href="{}?org__id__exact={}">All…</a>', address, endpoint.org_id)

    def _link(self, endpoint: Endpoint, name: str, text: str) -> str:
        if endpoint.deleted_at is not None:
            return "deleted"
        return format_html(
            '<a href="{}">{}</a>', reverse(f"admin:{name}", args=[endpoint.pk]), text
        )

    @admin.action(description="Enable", permissions=["retry"])
    def enable(self, request: HttpRequest, queryset: QuerySet[Endpoint]) -> HttpResponse | None:
        says = "Each is told at once of what waits for it. What happened meanwhile takes a replay."
        return self._set(request, queryset, True, "Enable", says)

    @admin.action(description="Disable", permissions=["retry"])
    def disable(self, request: HttpRequest, queryset: QuerySet[Endpoint]) -> HttpResponse | None:
        says = "Nothing is sent to these any more. What waits for them stays."
        return self._set(request, queryset, False, "Disable", says)

    def _set(
        self,
        request: HttpRequest,
        queryset: QuerySet[Endpoint],
        is_enabled: bool,
        title: str,
        says: str,
    ) -> HttpResponse | None:
        reason = self.ask_first(request, queryset, action=title.lower(), title=title, says=says)
        if isinstance(reason, HttpResponse):
            return reason
        with atomic():
            for endpoint in queryset.select_related("org").order_by("pk"):
                services.update_endpoint(
                    endpoint=endpoint,
                    is_enabled=is_enabled,
                    reason=reason,
                    actor=Actor.of_request(request),
                )
        self.message_user(request, f"{title}d: {len(queryset)}.")
        return None


@admin.register(Event)
class EventAdmin(BigTable, MovedByServices, admin.ModelAdmin[Event]):
    list_display = ["created_at", "org", "type", "object_id", "sequence"]
    list_select_related = ["org"]
    org_field = "org"
    search_fields = ["=id", "=object_id"]
    search_help_text = "The id of an event or its object, or the slug or id of an organization."
    ordering = NEWEST_FIRST
    ordering_of_org = ["-created_at", "-id"]
    sortable_by = ["created_at"]


class AttemptInline(admin.TabularInline[Attempt, Delivery]):
    model = Attempt
    extra = 0
    can_delete = False
    fields = ["sent_at", "url", "seconds", "answer_status", "error", "answer"]
    ordering = ["id"]

    def has_add_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False

    def has_change_permission(self, request: HttpRequest, obj: Any = None) -> bool:
        return False


@admin.register(Delivery)
class DeliveryAdmin(RetriedByStaff, BigTable, MovedByServices, AuditedAdmin[Delivery]):
    list_display = [
        "created_at",
        "org",
        "event_type",
        "endpoint",
        "status",
        "tries",
        "answer_status",
    ]
    list_select_related = ["org", "endpoint"]
    org_field = "org"
    search_fields = ["=id", "=event__id"]
    search_help_text = "The id of a delivery or event, or the slug or id of an organization."
    fields = [
        "org",
        "endpoint",
        "event",
        "body",
        "status",
        "tries",
        "next_try_at",
        "answer_status",
        "error",
        "created_at",
        "delivered_at",
    ]
    readonly_fields = ["body"]
    inlines = [AttemptInline]
    ordering = NEWEST_FIRST
    ordering_of_org = ["-created_at", "-id"]
    sortable_by = ["created_at"]
    actions = ["replay"]

    @admin.display(description="Sent")
    def body(self, delivery: Delivery) -> str:
        return outbox.body_for(delivery.endpoint, delivery.event)

    @admin.action(description="Send again", permissions=["retry"])
    def replay(self, request: HttpRequest, queryset: QuerySet[Delivery]) -> HttpResponse | None:
        reason = self.ask_first(
            request,
            queryset,
            action="replay",
            title="Send again",
            says="Each is sent to its endpoint again, under the id that it has, for up to a day.",
        )
        if isinstance(reason, HttpResponse):
            return reason
        with atomic():
            for delivery in queryset.select_related("endpoint__org").order_by("endpoint", "pk"):
                services.replay_delivery(delivery=delivery)
                write_entry(
                    actor=Actor.of_request(request),
                    verb="replay",
                    subject=delivery,
                    org=delivery.endpoint.org,
                    reason=reason,
                )
        self.message_user(request, f"Sent again: {len(queryset)}.")
        return None
