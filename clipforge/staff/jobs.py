"""The rows of the queue as staff see them: looked at here, rescued where it is written down who did."""

from __future__ import annotations

import json

from django.contrib import admin
from django.utils.html import format_html
from procrastinate.contrib.django.admin import ProcrastinateJobAdmin
from procrastinate.contrib.django.models import ProcrastinateJob

from clipforge.common.admin import BigTable

# Characters of the arguments that are shown.
MOST_ARGS = 2000
STATES = {
    "todo": "idle",
    "doing": "busy",
    "succeeded": "ok",
    "failed": "bad",
}

admin.site.unregister(ProcrastinateJob)


@admin.register(ProcrastinateJob)
class JobAdmin(BigTable, ProcrastinateJobAdmin):
    # Theirs act at once, for whoever may look, and leave no trace of who it was.
    actions = []
    # Theirs reads all values of seven columns, each from the whole table.
    list_filter = ["status"]

    @admin.display(description="Status")
    def pretty_status(self, instance: ProcrastinateJob) -> str:
        return format_html(
            '<span class="cf-badge cf-badge--{}">{}</span>',
            STATES.get(instance.status, "idle"),
            instance.status.title(),
        )

    @admin.display(description="Args")
    def pretty_args(self, instance: ProcrastinateJob) -> str:
        """Theirs has a style in its text, which the content security policy refuses."""
        text = json.dumps(instance.args, indent=2)
        return format_html("<pre>{}</pre>", text[:MOST_ARGS])
