"""Actions of staff on an organization, a page each: before, after, the reason, and one button."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404

from billing import selectors as billing_selectors
from clipforge.orgs import selectors as org_selectors
from clipforge.orgs import services
from clipforge.staff.forms import ReasonForm
from clipforge.staff.organizations.acting import (
    Done,
    because,
    locked,
    perform,
    require_as_seen,
    sent,
    state,
)
from clipforge.staff.organizations.forms import LimitForm, SuspendForm, TierForm
from clipforge.staff.pages import needs, page
from credits import selectors as credit_selectors


@needs("staff.change_tier")
def change_tier(request: HttpRequest, pk: UUID) -> HttpResponse:
    org = get_object_or_404(org_selectors.all_organizations(), pk=pk)
    form = TierForm(sent(request), initial={"tier": org.tier, "seen": org.tier})

    def act() -> Done:
        current, tier = locked(org).tier, form.cleaned_data["tier"]
        if current == tier:
            return Done(f"{org.name} is {tier} already. Nothing was changed.", False)
        require_as_seen(form, "tier", current)
        services.change_tier(organization=org, tier=tier, **because(request, form))
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
    return perform(request, org, form, act) or page(
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
        sent(request),
        initial={"requests_per_minute": own, "seen": "" if own is None else own},
    )
    of_tier = org_selectors.all_tier_limits().get(tier=org.tier).requests_per_minute

    def act() -> Done:
        current, wanted = (
            locked(org).rate_limit_override,
            form.cleaned_data["requests_per_minute"],
        )
        if current == wanted:
            return Done(f"{org.name} has this limit already. Nothing was changed.", False)
        require_as_seen(form, "limit", "" if current is None else str(current))
        services.override_rate_limit(
            organization=org, requests_per_minute=wanted, **because(request, form)
        )
        if wanted is None:
            return Done(f"{org.name} has the limit of its tier again: {of_tier:,} a minute.")
        return Done(f"{org.name} may make {wanted:,} requests a minute now.")

    now = f"{of_tier:,} a minute, of its tier" if own is None else f"{own:,} a minute, its own"
    return perform(request, org, form, act) or page(
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
    form = SuspendForm(sent(request), organization=org)

    def act() -> Done:
        if not services.suspend(organization=org, **because(request, form)):
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
    return perform(request, org, form, act) or page(
        request,
        "staff/organizations/action.html",
        title=f"Suspend: {org.name}",
        org=org,
        form=form,
        facts=[("Now", state(org)), ("After", "Suspended")],
        notes=notes,
        button="Suspend",
        is_danger=True,
    )


@needs("staff.suspend_organization")
def restore(request: HttpRequest, pk: UUID) -> HttpResponse:
    org = get_object_or_404(org_selectors.all_organizations(), pk=pk)
    form = ReasonForm(sent(request))

    def act() -> Done:
        if not services.restore(organization=org, **because(request, form)):
            return Done(f"{org.name} is not suspended. Nothing was changed.", False)
        return Done(f"{org.name} is active again.")

    return perform(request, org, form, act) or page(
        request,
        "staff/organizations/action.html",
        title=f"Restore: {org.name}",
        org=org,
        form=form,
        facts=[("Now", state(org)), ("After", "Active")],
        notes=["Its keys work from the next request on, except those that ended or were revoked."],
        button="Restore",
    )
