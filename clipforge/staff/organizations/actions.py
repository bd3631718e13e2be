"""Actions of staff on an organization, a page each: before, after, the reason, and one button."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple, cast
from uuid import UUID

from django import forms
from django.contrib import messages
from django.db.transaction import atomic
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse

from billing import selectors as billing_selectors
from clipforge.audit.actor import Actor
from clipforge.common.errors import Conflict, DomainError
from clipforge.orgs import selectors as org_selectors
from clipforge.orgs import services
from clipforge.orgs.idempotency import Answer, once
from clipforge.orgs.models import Organization, User
from clipforge.staff import tokens
from clipforge.staff.forms import ReasonForm
from clipforge.staff.organizations.forms import KeyForm, LimitForm, SuspendForm, TierForm
from clipforge.staff.pages import needs, page
from credits import selectors as credit_selectors


class Done(NamedTuple):
    """The message on the next page. `changed` is False where there was nothing to do."""

    text: str
    changed: bool = True


@needs("staff.change_tier")
def change_tier(request: HttpRequest, pk: UUID) -> HttpResponse:
    org = get_object_or_404(org_selectors.all_organizations(), pk=pk)
    form = TierForm(_sent(request), initial={"tier": org.tier, "seen": org.tier})

    def act() -> Done:
        current, tier = _locked(org).tier, form.cleaned_data["tier"]
        if current == tier:
            return Done(f"{org.name} is {tier} already. Nothing was changed.", False)
        _require_as_seen(form, "tier", current)
        services.change_tier(organization=org, tier=tier, **_because(request, form))
        return Done(f"{org.name} is {tier} now; it was {current}.")

    paid = billing_selectors.account_with_plan(org)
    notes = [
        "The limits of the new tier hold from the next request on. No credits are granted by it."
    ]
    warning = ""
    if paid is not None:
        warning = (
            f"Billing set {paid.plan_tier} from a plan that was paid for. What you choose stays "
            "through renewals, and ends when the plan is changed or runs out: then billing sets "
            "the tier anew."
        )
    return _act(request, org, form, act) or page(
        request,
        "staff/organizations/change_tier.html",
        title=f"Change tier: {org.name}",
        org=org,
        form=form,
        facts=[("Tier now", org.tier)],
        notes=notes,
        warning=warning,
        tiers=sorted(
            org_selectors.all_tier_limits(), key=lambda limits: limits.requests_per_minute
        ),
        button="Change tier",
    )


@needs("staff.override_limit")
def override_limit(request: HttpRequest, pk: UUID) -> HttpResponse:
    org = get_object_or_404(org_selectors.all_organizations(), pk=pk)
    own = org.rate_limit_override
    form = LimitForm(
        _sent(request),
        initial={"requests_per_minute": own, "seen": "" if own is None else own},
    )
    of_tier = org_selectors.all_tier_limits().get(tier=org.tier).requests_per_minute

    def act() -> Done:
        current, wanted = (
            _locked(org).rate_limit_override,
            form.cleaned_data["requests_per_minute"],
        )
        if current == wanted:
            return Done(f"{org.name} has this limit already. Nothing was changed.", False)
        _require_as_seen(form, "limit", "" if current is None else str(current))
        services.override_rate_limit(
            organization=org, requests_per_minute=wanted, **_because(request, form)
        )
        if wanted is None:
            return Done(f"{org.name} has the limit of its tier again: {of_tier:,} a minute.")
        return Done(f"{org.name} may make {wanted:,} requests a minute now.")

    now = f"{of_tier:,} a minute, of its tier" if own is None else f"{own:,} a minute, its own"
    return _act(request, org, form, act) or page(
        request,
        "staff/organizations/action.html",
        title=f"Override limit: {org.name}",
        org=org,
        form=form,
        facts=[
            ("Requests now", now),
            ("Of the tier", f"{of_tier:,} a minute ({org.tier})"),
            ("After", "what you enter; empty: that of the tier"),
        ],
        notes=[
            "It holds from the next request on, for all requests together. New projects and exports "
            "keep the limits of the tier.",
        ],
        button="Set the limit",
    )


@needs("staff.suspend_organization")
def suspend(request: HttpRequest, pk: UUID) -> HttpResponse:
    org = get_object_or_404(org_selectors.all_organizations(), pk=pk)
    form = SuspendForm(_sent(request), organization=org)

    def act() -> Done:
        if not services.suspend(organization=org, **_because(request, form)):
            return Done(f"{org.name} was suspended already. Nothing was changed.", False)
        return Done(f"{org.name} is suspended.")

    account = credit_selectors.account(org)
    notes = [
        "Every request is refused (403) from the next one on, whichever key it has. The keys stay, "
        "and work again once it is restored.",
        f"Jobs that wait or run: {account.open_holds if account else 0:,}. They are finished, and "
        "charged as they were reserved; nothing new can be started. To stop them, cancel them.",
        "Download links that were handed out work until they end, which is soon.",
        "What is paid for a plan goes on being paid: end it separately.",
    ]
    return _act(request, org, form, act) or page(
        request,
        "staff/organizations/action.html",
        title=f"Suspend: {org.name}",
        org=org,
        form=form,
        facts=[("Now", _state(org)), ("After", "Suspended")],
        notes=notes,
        button="Suspend",
        is_danger=True,
    )


@needs("staff.suspend_organization")
def restore(request: HttpRequest, pk: UUID) -> HttpResponse:
    org = get_object_or_404(org_selectors.all_organizations(), pk=pk)
    form = ReasonForm(_sent(request))

    def act() -> Done:
        if not services.restore(organization=org, **_because(request, form)):
            return Done(f"{org.name} is not suspended. Nothing was changed.", False)
        return Done(f"{org.name} is active again.")

    return _act(request, org, form, act) or page(
        request,
        "staff/organizations/action.html",
        title=f"Restore: {org.name}",
        org=org,
        form=form,
        facts=[("Now", _state(org)), ("After", "Active")],
        notes=["Its keys work from the next request on, except those that ended or were revoked."],
        button="Restore",
    )


@needs("staff.manage_keys")
def issue_key(request: HttpRequest, pk: UUID) -> HttpResponse:
    """The secret is in the answer to the POST that made the key, and nowhere else."""
    org = get_object_or_404(org_selectors.all_organizations(), pk=pk)
    form = KeyForm(request.POST if request.method == "POST" else None)
    token = request.POST.get("token", "")
    if request.method == "POST":
        try:
            number = tokens.read(token, request, "issue-key", org)
            if form.is_valid():
                return _issued(request, org, form, number)
        except DomainError as error:
            form.add_error(None, error.message)
            token = tokens.make(request, "issue-key", org)
    return page(
        request,
        "staff/organizations/action.html",
        title=f"Issue a key: {org.name}",
        org=org,
        form=form,
        token=token or tokens.make(request, "issue-key", org),
        facts=[("Organization", org.name), ("State", _state(org))],
        notes=["The key is shown once, on the next page. Have a safe way to hand it over ready."],
        button="Issue the key",
    )


def _issued(request: HttpRequest, org: Organization, form: KeyForm, token: UUID) -> HttpResponse:
    made: list[services.NewKey] = []

    def act() -> Answer:
        values = form.cleaned_data
        new = services.create_api_key(
            organization=org,
            name=values["name"],
            created_by=cast("User", request.user),
            expires_at=values["expiry"],
            **_because(request, form),
        )
        made.append(new)
        return Answer(201, str(new.api_key.pk))

    try:
        answer = once(org=org, key=f"staff:{token}", fingerprint="issue-key", effect=act)
    except Conflict as error:
        if error.error_code != "request_in_progress":
            raise
        raise Conflict(
            "A first click on this form is under way, and shows the key. Look at the keys of the "
            "organization before you issue another."
        ) from None
    return page(
        request,
        "staff/organizations/key_issued.html",
        title=f"A key for {org.name}" if made else "This form has made its key",
        org=org,
        secret=made[0].secret if made else "",
        key=org_selectors.api_keys(org).get(pk=answer.body),
    )


@needs("staff.manage_keys")
def revoke_key(request: HttpRequest, pk: UUID) -> HttpResponse:
    key = get_object_or_404(org_selectors.all_api_keys().select_related("organization"), pk=pk)
    org = key.organization
    form = ReasonForm(_sent(request))

    def act() -> Done:
        if not services.revoke_api_key(api_key=key, **_because(request, form)):
            return Done(f"{key} was revoked already. Nothing was changed.", False)
        return Done(f"{key} is revoked.")

    used = f"{key.last_used_at:%Y-%m-%d %H:%M} UTC" if key.last_used_at else "never"
    return _act(request, org, form, act) or page(
        request,
        "staff/organizations/action.html",
        title=f"Revoke {key}",
        org=org,
        form=form,
        facts=[
            ("Key", str(key)),
            ("Organization", org.name),
            ("Last used", used),
            ("Now", "Works" if key.revoked_at is None else "Revoked"),
            ("After", "Revoked"),
        ],
        notes=["It is refused (401) from the next request on, and can never be used again."],
        button="Revoke the key",
        is_danger=True,
    )


# --- inside ---------------------------------------------------------------------------


def _sent(request: HttpRequest) -> QueryDict | None:
    return request.POST if request.method == "POST" else None


def _act(
    request: HttpRequest, org: Organization, form: forms.Form, act: Callable[[], Done]
) -> HttpResponse | None:
    """Do it in one transaction. None: show the page, with what was wrong, if anything."""
    if request.method != "POST" or not form.is_valid():
        return None
    try:
        with atomic():
            done = act()
    except DomainError as error:
        form.add_error(None, error.message)
        return None
    messages.add_message(request, messages.SUCCESS if done.changed else messages.INFO, done.text)
    return redirect(reverse("admin:orgs_organization_change", args=[org.pk]))


def _because(request: HttpRequest, form: forms.Form) -> dict[str, Any]:
    """The cause of the change, as a service takes it."""
    return {"reason": form.cleaned_data["reason"], "actor": Actor.of_request(request)}


def _locked(org: Organization) -> Organization:
    return org_selectors.all_organizations().select_for_update(no_key=True).get(pk=org.pk)


def _require_as_seen(form: forms.Form, what: str, current: str) -> None:
    """Raises Conflict where somebody was faster; the form then shows it, and can be sent again."""
    if form.cleaned_data["seen"] != current:
        form.data = {**form.data.dict(), "seen": current}  # type: ignore[attr-defined]
        raise Conflict(
            f"Somebody else changed the {what} meanwhile: it is {current or 'that of the tier'} "
            "now. Send this again if it still should be changed."
        )


def _state(org: Organization) -> str:
    return "Active" if org.is_active else "Suspended"
