"""The figures of an organization in words, and the chart of its last days."""

from __future__ import annotations

from typing import NamedTuple

from django.urls import reverse

from billing.models import PaymentMethod, SubscriptionStatus
from clipforge.orgs.models import Organization
from clipforge.staff import formatting
from clipforge.staff.charts import Chart, Series
from clipforge.staff.organizations import overview


class Fact(NamedTuple):
    """A figure or state with its name, as a line of the page."""

    name: str
    value: str
    note: str = ""
    state: str = ""  # the colour of a badge; empty: no badge
    url: str = ""  # of the page with more about it


def facts_of(org: Organization, facts: overview.Facts, days: list[overview.Day]) -> list[Fact]:
    """The facts of an organization in words, the most important first."""
    storage, limits = facts.storage, facts.limits
    return [
        Fact("State", *(("Active", "", "ok") if org.is_active else ("Suspended", "", "bad"))),
        Fact("Tier", str(org.get_tier_display())),
        Fact("Available", formatting.count(facts.available, "credit")),
        Fact(
            "Held",
            formatting.count(facts.held, "credit"),
            formatting.count(facts.open_holds, "open hold"),
        ),
        Fact("In all", formatting.count(facts.posted, "credit"), "available and held"),
        Fact("Owes", formatting.count(facts.debt, "credit"), "", "bad" if facts.debt else ""),
        Fact(
            "Spent",
            formatting.count(sum(day.spent for day in days), "credit"),
            f"in {overview.DAYS} days; {formatting.number(sum(day.granted for day in days))} came in",
        ),
        Fact(
            "Jobs now", f"{formatting.number(facts.running)} running", f"{facts.waiting:,} waiting"
        ),
        Fact(
            "Failed jobs",
            f"{facts.failed_day:,} in 24 hours",
            f"{facts.failed_month:,} in {overview.DAYS} days",
            "bad" if facts.failed_day else "",
            reverse("admin:organization-health", args=[org.pk]),
        ),
        _requests(org, facts),
        Fact(
            "Refused requests",
            f"{formatting.number(facts.refused_day)} in 24 hours",
            f"{formatting.number(facts.throttled_day)} of them throttled",
            "bad" if facts.throttled_day else "",
            reverse("admin:organization-health", args=[org.pk]),
        ),
        Fact(
            "Other limits",
            f"{formatting.count(limits['concurrent_jobs'], 'job')} at once",
            f"{limits['queued_jobs']:,} more may wait; {limits['uploads_per_minute']:,} uploads and {limits['exports_per_minute']:,} exports "
            f"a minute; sources up to {formatting.length(limits['max_source_seconds'])}; "
            f"clips up to {limits['max_resolution']} pixels"
            f"{', with a watermark' if limits['watermark'] else ''}; "
            f"files kept {formatting.count(limits['retention_days'], 'day')}",
        ),
        Fact(
            "Storage",
            f"{formatting.size(facts.stored)} of {formatting.size(limits['storage_bytes'])}",
            "".join(f"{formatting.size(size)} of {what}, " for what, size in storage.sizes.items())
            + f"as of {formatting.moment(storage.at)}",
            "bad" if facts.stored > limits["storage_bytes"] else "",
        ),
        _plan(facts),
        Fact("Owner", facts.owner or "nobody", formatting.count(facts.people, "member")),
        Fact("Created", formatting.moment(org.created_at)),
    ]


def _requests(org: Organization, facts: overview.Facts) -> Fact:
    tiers = facts.limits["requests_per_minute"]
    limit, note = tiers, "the limit of the tier"
    if org.rate_limit_override is not None:
        limit, note = org.rate_limit_override, f"overridden; the tier has {tiers:,}"
    if facts.requests is None:
        return Fact("Requests a minute", f"up to {limit:,}", f"{note}; Redis cannot say how many")
    return Fact("Requests a minute", f"{facts.requests:,} of {limit:,}", note)


def _plan(facts: overview.Facts) -> Fact:
    subscription, state = facts.subscription, ""
    note = "no subscription"
    if subscription and subscription["status"] != SubscriptionStatus.ENDED:
        by = "by Stripe" if subscription["method"] == PaymentMethod.STRIPE else "by transfer"
        note = f"{SubscriptionStatus(subscription['status']).label}, {by}"
        if subscription["cancels"]:
            note += ", ends with the period"
        if subscription["status"] == SubscriptionStatus.PAST_DUE:
            state = "bad"
    if facts.plan is None:
        return Fact("Plan", "None", note, state)
    until = formatting.moment(facts.plan["ends_at"])
    return Fact("Plan", f"{facts.plan['name']} until {until}", note, state)


def activity_chart(days: list[overview.Day]) -> Chart:
    return Chart(
        "activity",
        f"The last {overview.DAYS} days",
        [day.date for day in days],
        [
            Series("Credits spent", "credit", "spent", [day.spent for day in days]),
            Series(
                "Credits granted or bought",
                "credit",
                "granted or bought",
                [day.granted for day in days],
                "ok",
            ),
            Series("Jobs begun", "job", "begun", [day.jobs for day in days], "busy"),
        ],
    )
