"""The list of organizations, their form, and the page with everything about one of them."""

from __future__ import annotations

from typing import Any, NamedTuple

from django import forms
from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse

from clipforge.audit.actor import Actor
from clipforge.audit.admin import AuditedAdmin
from clipforge.audit.forms import REASON
from clipforge.common.admin import BigTable, NotDeleted
from clipforge.orgs import services as org_services
from clipforge.orgs.models import Organization
from clipforge.staff import formatting
from clipforge.staff.organizations import overview, timeline
from clipforge.staff.organizations.facts import activity_chart, facts_of
from clipforge.staff.organizations.notes import NoteForm
from clipforge.staff.organizations.recent_lists import panels_of


class ActionLink(NamedTuple):
    """A link to the form of an action. `when` narrows it to active or suspended organizations."""

    name: str  # of the page, in the admin
    label: str
    permission: str
    when: bool | None = None  # is_active
    danger: bool = False


ACTIONS = (
    ActionLink("grant-credits", "Grant credits", "staff.grant_credits"),
    ActionLink("adjust-credits", "Adjust credits", "staff.adjust_credits"),
    ActionLink("change-tier", "Change tier", "staff.change_tier"),
    ActionLink("override-limit", "Override the rate limit", "staff.override_limit"),
    ActionLink("issue-key", "Issue an API key", "staff.manage_keys"),
    ActionLink("allow-origins", "Allow origins", "staff.manage_keys"),
    ActionLink("add-endpoint", "Add a webhook", "staff.manage_keys"),
    ActionLink("suspend", "Suspend", "staff.suspend_organization", when=True, danger=True),
    ActionLink("restore", "Restore", "staff.suspend_organization", when=False),
)


class Button(NamedTuple):
    url: str
    label: str
    danger: bool


def buttons(user: Any, org: Organization) -> list[Button]:
    """Links to the actions that the user may take on the organization in its present state."""
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
        help_text="Becomes the owner; an account is made if none has this address yet.",
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

    @property
    def media(self) -> forms.Media:
        """None: the page mostly shows, and neither field of its form has a script."""
        return forms.Media()

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

    # --- the page of one ---

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
            context |= overview_context(request, obj)
        return super().render_change_form(request, context, add, change, form_url, obj)


def overview_context(request: HttpRequest, org: Organization) -> dict[str, Any]:
    """Everything about an organization, in five statements."""
    days, newest = overview.last_days(org), timeline.timeline_page(org)
    facts, lists = overview.facts(org), overview.newest(org)
    return {
        "title": org.name,
        "subtitle": None,
        "org": org,
        "facts": facts_of(org, facts, days),
        "buttons": buttons(request.user, org),
        "chart": activity_chart(days),
        "entries": newest.entries,
        "notes": sorted(lists["notes"], key=lambda note: not note["is_pinned"]),
        "note_form": NoteForm(auto_id="note_%s"),
        "has_older": newest.older is not None,
        "panels": panels_of(org, lists, request.user),
        "show_save_and_add_another": False,
        "show_save_and_continue": False,
    }
