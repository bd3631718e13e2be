"""The dashboard: the part of the admin's first page that stands above Django's lists."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from django.http import HttpRequest
from django.urls import reverse

from clipforge.staff.capped_counts import Count
from clipforge.staff.dashboard import selectors as dashboard_selectors
from clipforge.staff.dashboard.selectors import Badge, Counts


@dataclass(frozen=True)
class ActionItem:
    """Rows that wait for a person, and the page on which they are dealt with."""

    label: str
    count: Count
    url: str
    # Permissions of which one opens that page. Empty: every role may.
    permissions: tuple[str, ...] = ()

    @property
    def badge(self) -> Badge:
        return Badge("bad", "Waits") if self.count else Badge("ok", "None")


def index_context(request: HttpRequest) -> dict[str, Any]:
    """The context of `staff/dashboard/page.html`; empty for staff without a role.

    Items lead only to pages that the user may open.
    """
    if not request.user.has_perm("projects.view_project"):
        return {}
    snapshot = dashboard_selectors.collect()
    items = None
    if snapshot.counts is not None:
        items = [
            (item, item.url if _may_open(request, item) else "")
            for item in action_items(snapshot.counts)
        ]
    return {"snapshot": snapshot, "action_items": items}


def action_items(counts: Counts) -> list[ActionItem]:
    """The rows that only a person takes further."""
    dead = reverse("admin:rescue") + "?state=dead"
    alerts = reverse("admin:billing_alert_changelist")
    events = reverse("admin:billing_stripeevent_changelist")
    return [
        *(
            ActionItem(f"Given up: {jobs.label.lower()}", jobs.dead, f"{dead}&kind={jobs.kind}")
            for jobs in counts.jobs
        ),
        ActionItem("Given up: queue entries", counts.queue_failed, f"{dead}&kind=entry"),
        ActionItem(
            "Credits that await a second person",
            counts.approvals,
            reverse("admin:approvals"),
            ("staff.grant_credits", "staff.adjust_credits", "staff.confirm_credits"),
        ),
        ActionItem(
            "Alerts that could not be sent",
            counts.alerts_failed,
            f"{alerts}?status__exact=FAILED",
        ),
        ActionItem("Alerts not sent yet", counts.alerts_late, f"{alerts}?status__exact=PENDING"),
        ActionItem(
            "Stripe events that failed", counts.events_failed, f"{events}?status__exact=FAILED"
        ),
    ]


def _may_open(request: HttpRequest, item: ActionItem) -> bool:
    return not item.permissions or any(map(request.user.has_perm, item.permissions))
