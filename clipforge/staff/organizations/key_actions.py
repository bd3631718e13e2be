"""Actions of staff on the keys and origins of an organization, a page each."""

from __future__ import annotations

from typing import cast
from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse

from clipforge.orgs import selectors as org_selectors
from clipforge.orgs import services
from clipforge.orgs.models import APIKey, User
from clipforge.staff import formatting
from clipforge.staff.organizations.acting import (
    Done,
    Secret,
    because,
    locked,
    perform,
    require_as_seen,
    sent,
    show_once,
    state,
)
from clipforge.staff.organizations.forms import (
    KeyForm,
    KeyLimitsForm,
    OriginsForm,
    RevocationForm,
    RotationForm,
    last_moment_of_a_key,
)
from clipforge.staff.pages import needs, page

HAND_OVER = "The key is shown once, on the next page. Have a safe way to hand it over ready."


@needs("staff.manage_keys")
def issue_key(request: HttpRequest, pk: UUID) -> HttpResponse:
    org = get_object_or_404(org_selectors.all_organizations(), pk=pk)
    form = KeyForm(sent(request))

    def act() -> Secret:
        values, cause = form.cleaned_data, because(request, form)
        owner = org
        if values["is_test"]:
            owner = services.ensure_sandbox(organization=org, **cause)
        made = services.create_api_key(
            organization=owner,
            name=values["name"],
            created_by=cast("User", request.user),
            expires_at=values["expiry"],
            scopes=values["scopes"],
            allowed_addresses=values["allowed_addresses"],
            monthly_cap=values["monthly_cap"],
            **cause,
        )
        return Secret(made.api_key, made.secret)

    return show_once(
        request,
        org,
        form,
        action="issue-key",
        subject=org,
        act=act,
        find=_key,
        shown={
            "title": f"A key for {org.name}",
            "again_url": reverse("admin:issue-key", args=[org.pk]),
            "revoke": True,
        },
        title=f"Issue a key: {org.name}",
        facts=[("Organization", org.name), ("State", state(org))],
        notes=[HAND_OVER],
        button="Issue the key",
    )


@needs("staff.manage_keys")
def rotate_key(request: HttpRequest, pk: UUID) -> HttpResponse:
    key = _key(pk)
    form = RotationForm(sent(request))

    def act() -> Secret:
        made = services.rotate_api_key(
            api_key=key,
            overlap_hours=form.cleaned_data["hours"],
            created_by=cast("User", request.user),
            latest_end=last_moment_of_a_key(),
            **because(request, form),
        )
        return Secret(made.api_key, made.secret)

    return show_once(
        request,
        key.organization,
        form,
        action="rotate-key",
        subject=key,
        act=act,
        find=_key,
        shown={"title": f"The key in place of {key}", "revoke": True},
        title=f"Rotate {key}",
        facts=_facts(key),
        notes=[
            "A new key may do the same, under the same cap. This one works for the hours that you give, "
            "and its tokens no longer. The owners and admins get mail.",
            HAND_OVER,
        ],
        button="Rotate the key",
    )


@needs("staff.manage_keys")
def limit_key(request: HttpRequest, pk: UUID) -> HttpResponse:
    key = _key(pk)
    org = key.organization
    form = KeyLimitsForm(sent(request), initial=KeyLimitsForm.initial_of(key))

    def act() -> Done:
        locked(org)
        current = KeyLimitsForm.seen_of(_key(pk))
        if current == form.wanted():
            return Done(f"{key} has these limits already. Nothing was changed.", False)
        require_as_seen(form, "limits of the key", current)
        values = form.cleaned_data
        services.limit_api_key(
            api_key=key,
            scopes=values["scopes"],
            allowed_addresses=values["allowed_addresses"],
            monthly_cap=values["monthly_cap"],
            **because(request, form),
        )
        return Done(f"{key} has its new limits.")

    return perform(request, org, form, act) or page(
        request,
        "staff/organizations/action.html",
        title=f"Limit {key}",
        org=org,
        form=form,
        facts=_facts(key),
        notes=[
            "It holds from the next request on. The cap is that of all keys that share it: what this "
            "one was rotated from and into, and its tokens. What was spent in this month counts.",
            "Tokens that may do what the key may do no more end at once.",
        ],
        button="Set the limits",
    )


@needs("staff.manage_keys")
def revoke_key(request: HttpRequest, pk: UUID) -> HttpResponse:
    key = _key(pk)
    org = key.organization
    form = RevocationForm(sent(request))
    working = list(org_selectors.working_descendants(key))

    def act() -> Done:
        if form.cleaned_data["descendants"]:
            revoked = services.revoke_with_descendants(api_key=key, **because(request, form))
            names = ", ".join(each.prefix for each in revoked)
            return Done(f"Revoked: {names or 'none, all were before'}.", bool(revoked))
        if not services.revoke_api_key(api_key=key, **because(request, form)):
            return Done(f"{key} was revoked already. Nothing was changed.", False)
        return Done(f"{key} is revoked.")

    return perform(request, org, form, act) or page(
        request,
        "staff/organizations/action.html",
        title=f"Revoke {key}",
        org=org,
        form=form,
        facts=[
            *_facts(key),
            ("Keys that come from it", ", ".join(map(str, working)) or "none that work"),
            ("After", "Revoked"),
        ],
        notes=[
            "It is refused (401) from the next request on, and can never be used again. Its tokens "
            "end with it. Keys that come from it go on, unless you say so below."
        ],
        button="Revoke the key",
        is_danger=True,
    )


@needs("staff.manage_keys")
def allow_origins(request: HttpRequest, pk: UUID) -> HttpResponse:
    org = get_object_or_404(org_selectors.all_organizations(), pk=pk)
    now = "\n".join(org.allowed_origins.split())
    form = OriginsForm(sent(request), initial={"origins": now, "seen": org.allowed_origins})

    def act() -> Done:
        current, wanted = locked(org).allowed_origins, form.cleaned_data["origins"].lower().split()
        if current.split() == wanted:
            return Done(f"{org.name} allows these origins already. Nothing was changed.", False)
        require_as_seen(form, "origins", current)
        origins = services.allow_origins(organization=org, origins=wanted, **because(request, form))
        return Done(f"{org.name} allows {len(origins)} origins now.")

    return perform(request, org, form, act) or page(
        request,
        "staff/organizations/action.html",
        title=f"Allow origins: {org.name}",
        org=org,
        form=form,
        facts=[("Allowed now", ", ".join(org.allowed_origins.split()) or "none")],
        notes=[
            "Pages of these origins, and of no others, may read answers from the next request on."
        ],
        button="Allow these origins",
    )


# --- inside ---------------------------------------------------------------------------


def _key(pk: UUID | str) -> APIKey:
    return get_object_or_404(org_selectors.all_api_keys().select_related("organization"), pk=pk)


def _facts(key: APIKey) -> list[tuple[str, str]]:
    used = formatting.moment(key.last_used_at) if key.last_used_at else "never"
    cap = "none" if key.monthly_cap is None else f"{key.monthly_cap:,} credits a month"
    spent = org_selectors.spent_this_month([key]).get(key.family_id, 0)
    return [
        ("Key", str(key)),
        ("Organization", key.organization.name),
        ("Last used", used),
        ("May do", ", ".join(key.scope_list)),
        ("Works from", key.allowed_addresses or "anywhere"),
        ("Cap", cap),
        ("Spent in this month", f"{spent:,} credits"),
        ("Now", "Works" if key.revoked_at is None else "Revoked"),
    ]
