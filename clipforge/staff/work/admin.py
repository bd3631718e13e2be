"""The entries of the queue in the admin, to be read.

procrastinate registers a page of its own, whose actions retry, cancel and abort an entry without a
reason and without a trace. What may be done about an entry is on the rescue page.
"""

from __future__ import annotations

import json
from typing import Any

import procrastinate.contrib.django.admin  # noqa: F401 - registers the page that is replaced here
from django.contrib import admin
from django.utils.html import format_html

from clipforge.common.admin import BigTable, MovedByServices
from clipforge.jobs.queue import QueueEntry, QueueEvent

STATES = {"todo": "idle", "doing": "busy", "succeeded": "ok", "failed": "bad"}

admin.site.unregister(QueueEntry)


class EventInline(MovedByServices, admin.TabularInline[Any, Any]):
    """The events of the entry, the first first."""

    model = QueueEvent
    fields = ["type", "at"]
    readonly_fields = ["type", "at"]
    ordering = ["id"]
    extra = 0


@admin.register(QueueEntry)
class QueueEntryAdmin(BigTable, MovedByServices, admin.ModelAdmin[Any]):
    list_display = ["id", "task_name", "queue_name", "state", "attempts", "scheduled_at"]
    list_filter = ["status"]
    search_fields = ["=id"]
    search_help_text = "The number of an entry."
    # By id, which is the order of time.
    ordering = ["-id"]
    inlines = [EventInline]
    readonly_fields = [
        "id",
        "task_name",
        "queue_name",
        "status",
        "attempts",
        "scheduled_at",
        "priority",
        "lock",
        "queueing_lock",
        "abort_requested",
        "worker",
        "arguments",
    ]
    exclude = ["args"]
    actions = None

    @admin.display(description="status", ordering="status")
    def state(self, entry: Any) -> str:
        badge = '<span class="cf-badge cf-badge--{}">{}</span>'
        return format_html(badge, STATES.get(entry.status, "idle"), entry.status.title())

    @admin.display(description="arguments")
    def arguments(self, entry: Any) -> str:
        return json.dumps(entry.args, indent=2)[:2000]
