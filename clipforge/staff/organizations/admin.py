"""One page an organization: what it is, what it does, what happened, and what staff can do."""

from __future__ import annotations

import uuid
from typing import Any, NamedTuple
from urllib.parse import urlencode

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse

from billing.models import PaymentMethod, SubscriptionStatus
from clipforge.audit.actor import Actor
from clipforge.audit.admin import AuditedAdmin
from clipforge.audit.forms import REASON
from clipforge.common.admin import BigTable, NotDeleted
from clipforge.orgs import selectors as org_selectors
from clipforge.orgs import services as org_services
from clipforge.orgs.models import Organization
from clipforge.staff import formatting
from clipforge.staff.charts import Chart, Series
from clipforge.staff.organizations import overview, timeline
from clipforge.staff.organizations.recent_lists import Panel, panels_of
from clipforge.staff.pages import needs, page


class Action(NamedTuple):
    """A button of the page: a link to the form that asks what for. `when` narrows it to a state."""

    name: str  # of the page, in the admin
    label: str
    permission: str
    when: bool | None = None  # is_active
    danger: bool = False


ACTIONS = (
    Action("grant-credits", "Grant credits", "staff.grant_credits"),
    Action("adjust-credits", "Adjust credits", "staff.adjust_credits"),
    Action("change-tier", "Change tier", "staff.change_tier"),
    Action("override-limit", "Override the rate limit", "staff.override_limit"),
    Action("issue-key", "Issue an API key", "staff.manage_keys"),
    Action("suspend", "Suspend", "staff.suspend_organization", when=True, danger=True),
    Action("restore", "Restore", "staff.suspend_organization", when=False),
)


class Button(NamedTuple):
    url: str
    label: str
    danger: bool


def buttons(user: Any, org: Organization) -> list[Button]:
    """What this person may do to this organization as it is, as links."""
    found = []
    for action in ACTIONS:
        if action.when not in {None, org.is_active} or not user.has_perm(action.permission):
            continue
        url = reverse(f"admin:{action.name}", args=[org.pk])
        found.append(Button(url, action.label, action.danger))
    return found


class NewOrganizationForm(forms.ModelForm[Organization]):
    """An organization and its owner, as `create_organization` takes them."""

    owner_email = forms.EmailField(
        label="Owner's e-mail",
        required=False,
        help_text="Becomes the owner; made if nobody has this address yet.",
    )

    class Meta:
        model = Organization
        fields = ["name", "tier"]


@admin.register(Organization)
class OrganizationAdmin(BigTable, NotDeleted, AuditedAdmin[Organization]):
    list_display = ["name", "slug", "tier", "available", "held", "is_active", "created_at"]
    list_filter = ["tier", "is_active"]
    list_select_related = ["credit_account"]
    list_per_page = 50
    search_fields = ["=id", "=slug", "^slug", "name", "=members__email", "=api_keys__prefix"]
    search_help_text = "Name, slug, id, the address of a member, or the prefix of a key."
    sortable_by = ["created_at"]
    fields = ["name", "slug", "tier", "rate_limit_override", "is_active"]
    written_by_service = frozenset({"add"})
    # They change through the actions, each of which has rules and a form of its own.
    readonly_fields = ["tier", "rate_limit_override", "is_active"]
    change_form_template = "staff/organizations/page.html"
    add_form_template = "admin/change_form.html"

    @admin.display(description="Credits available")
    def available(self, org: Organization) -> str:
        account = getattr(org, "credit_account", None)
        return formatting.number(account.available if account else 0)

    @admin.display(description="Held")
    def held(self, org: Organization) -> str:
        account = getattr(org, "credit_account", None)
        return formatting.number(account.held if account else 0)

    # --- adding ---

    def get_fields(self, request: HttpRequest, obj: Organization | None = None) -> Any:
        return self.fields if obj else ["name", "tier", "owner_email"]

    def get_readonly_fields(self, request: HttpRequest, obj: Organization | None = None) -> Any:
        return self.readonly_fields if obj else []

    def get_form(
        self,
        request: HttpRequest,
        obj: Organization | None = None,
        change: bool = False,
        **options: Any,
    ) -> Any:
        if obj is None:
            options["form"] = NewOrganizationForm
        return super().get_form(request, obj, change, **options)

    def add_view(
        self, request: HttpRequest, form_url: str = "", extra_context: Any = None
    ) -> HttpResponse:
        context = {"show_save_and_add_another": False, "show_save_and_continue": False}
        context |= extra_context or {}
        return super().add_view(request, form_url, context)

    def save_model(self, request: HttpRequest, obj: Organization, form: Any, change: bool) -> None:
        if change:
            super().save_model(request, obj, form, change)
            return
        made = org_services.create_organization(
            name=obj.name,
            tier=obj.tier,
            owner_email=form.cleaned_data["owner_email"] or None,
            reason=form.cleaned_data[REASON],
            actor=Actor.of_request(request),
        )
        # What follows is about the organization as it was made.
        obj.pk = made.pk
        obj.refresh_from_db()

    def response_add(
        self, request: HttpRequest, obj: Organization, post_url_continue: str | None = None
    ) -> HttpResponse:
        if "_popup" in request.POST:
            return super().response_add(request, obj, post_url_continue)
        self.message_user(
            request,
            f"{obj} is there, with the tier {obj.tier}. Next: issue an API key for it, "
            "and grant credits if it should have some to start with.",
            messages.SUCCESS,
        )
        return redirect("admin:orgs_organization_change", obj.pk)

    # --- the page ---

    def render_change_form(
        self,
        request: HttpRequest,
        context: Any,
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Organization | None = None,
    ) -> Any:
        if obj is not None:
            context |= page_of(request, obj)
        return super().render_change_form(request, context, add, change, form_url, obj)


def page_of(request: HttpRequest, org: Organization) -> dict[str, Any]:
    """Everything about an organization, in five statements."""
    days, newest = overview.last_days(org), timeline.page_of(org)
    return {
        "title": org.name,
        "subtitle": None,
        "org": org,
        "facts": described(org, overview.facts(org), days),
        "buttons": buttons(request.user, org),
        "chart": chart_of(days),
        "entries": newest.entries,
        "has_older": newest.older is not None,
        "panels": panels(request.user, org),
        "show_save_and_add_another": False,
        "show_save_and_continue": False,
    }


def panels(user: Any, org: Organization) -> list[Panel]:
    return panels_of(org, overview.newest(org), user)


class Fact(NamedTuple):
    name: str
    value: str
    note: str = ""
    state: str = ""  # of the badge that the value is in, if it is in one


def described(org: Organization, facts: overview.Facts, days: list[overview.Day]) -> list[Fact]:
    """The facts of an organization in words, the most asked for first."""
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
        Fact("Posted", formatting.count(facts.posted, "credit"), "available and held"),
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
        ),
        _requests(org, facts),
        Fact(
            "Other limits",
            f"{formatting.count(limits['concurrent_jobs'], 'job')} at once",
            f"{limits['uploads_per_minute']:,} uploads and {limits['exports_per_minute']:,} exports "
            f"a minute; sources up to {formatting.length(limits['max_source_seconds'])}; "
            f"files kept {formatting.count(limits['retention_days'], 'day')}",
        ),
        Fact(
            "Storage",
            formatting.size(storage.sources + storage.exports),
            f"{formatting.size(storage.sources)} of sources, {formatting.size(storage.exports)} of exports, "
            f"at {storage.at:%H:%M} UTC",
        ),
        _plan(facts),
        Fact("Owner", facts.owner or "nobody", formatting.count(facts.people, "member")),
        Fact("Created", formatting.day(org.created_at.date())),
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
    until = formatting.day(facts.plan["ends_at"].date())
    return Fact("Plan", f"{facts.plan['name']} until {until}", note, state)


def chart_of(days: list[overview.Day]) -> Chart:
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


# --- the timeline on a page of its own -------------------------------------------------


@needs("orgs.view_organization")
def timeline_view(request: HttpRequest, pk: uuid.UUID) -> HttpResponse:
    """Everything that happened, page by page. What cannot be read of the address is left out."""
    org = get_object_or_404(org_selectors.all_organizations(), pk=pk)
    kind = request.GET.get("kind", "")
    kind = kind if kind in timeline.KINDS else ""
    before = timeline.place_of(request.GET.get("before", ""))
    after = None if before else timeline.place_of(request.GET.get("after", ""))
    found = timeline.page_of(org, kind=kind, before=before, after=after)
    if after and not found.entries:  # nothing is newer than the newest
        found = timeline.page_of(org, kind=kind)
    here = reverse("admin:organization-timeline", args=[org.pk])

    def at(**asked: Any) -> str:
        asked = {name: value for name, value in asked.items() if value}
        return f"{here}?{urlencode(asked)}" if asked else here

    return page(
        request,
        "staff/organizations/timeline.html",
        title=f"Timeline of {org.name}",
        org=org,
        entries=found.entries,
        kinds=[
            (label, at(kind=name), name == kind)
            for name, label in {"": "Everything", **timeline.KINDS}.items()
        ],
        newest=at(kind=kind) if found.newer else "",
        newer=at(kind=kind, after=found.newer.text) if found.newer else "",
        older=at(kind=kind, before=found.older.text) if found.older else "",
    )
