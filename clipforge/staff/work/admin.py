"""The queue's jobs in the admin, to be read.

procrastinate registers a page of its own, whose actions retry, cancel and abort a job for whoever may
look at it, without a reason and without a trace. What may be done about a job is on the rescue page.
"""

from __future__ import annotations

import json
from typing import Any

import procrastinate.contrib.django.admin  # noqa: F401 - registers the page that is replaced here
from django.contrib import admin
from django.utils.html import format_html

from clipforge.common.admin import BigTable, MovedByServices
from clipforge.jobs.queue import EVENTS, JOBS

STATES = {"todo": "idle", "doing": "busy", "succeeded": "ok", "failed": "bad"}

admin.site.unregister(JOBS)


class EventInline(MovedByServices, admin.TabularInline[Any, Any]):
    """What happened to the job, the first first."""

    model = EVENTS
    fields = ["type", "at"]
    readonly_fields = ["type", "at"]
    ordering = ["id"]
    extra = 0


@admin.register(JOBS)
class JobAdmin(BigTable, MovedByServices, admin.ModelAdmin[Any]):
    list_display = ["id", "task_name", "queue_name", "state", "attempts", "scheduled_at"]
    list_filter = ["status"]
    search_fields = ["=id"]
    search_help_text = "The number of a job."
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
    def state(self, job: Any) -> str:
        badge = '<span class="cf-badge cf-badge--{}">{}</span>'
        return format_html(badge, STATES.get(job.status, "idle"), job.status.title())

    @admin.display(description="arguments")
    def arguments(self, job: Any) -> str:
        return json.dumps(job.args, indent=2)[:2000]
