"""Actions of staff on the webhook endpoints of an organization, a page each."""

from __future__ import annotations

from uuid import UUID

from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404
from django.urls import reverse

from clipforge.events import selectors as event_selectors
from clipforge.events import services as event_services
from clipforge.events.models import Endpoint
from clipforge.orgs import selectors as org_selectors
from clipforge.staff.forms import ReasonForm
from clipforge.staff.organizations.acting import (
    Done,
    Secret,
    because,
    locked,
    perform,
    sent,
    show_once,
    state,
)
from clipforge.staff.organizations.forms import EndpointForm
from clipforge.staff.pages import needs, page

HAND_OVER = "The secret is shown once, on the next page. Have a safe way to hand it over ready."


@needs("staff.manage_keys")
def add_endpoint(request: HttpRequest, pk: UUID) -> HttpResponse:
    org = get_object_or_404(org_selectors.all_organizations(), pk=pk)
    form = EndpointForm(sent(request))

    def act() -> Secret:
        values = form.cleaned_data
        made = event_services.create_endpoint(
            org=org,
            url=values["url"],
            event_types=values["event_types"],
            description=values["description"],
            **because(request, form),
        )
        return Secret(made.endpoint, made.secret)

    return show_once(
        request,
        org,
        form,
        action="add-endpoint",
        subject=org,
        act=act,
        find=_endpoint,
        shown={
            "title": f"A webhook endpoint of {org.name}",
            "again_url": reverse("admin:add-endpoint", args=[org.pk]),
        },
        title=f"Add a webhook endpoint: {org.name}",
        facts=[("Organization", org.name), ("State", state(org))],
        notes=["It is told of what happens from now on.", HAND_OVER],
        button="Add the endpoint",
    )


@needs("staff.manage_keys")
def change_endpoint(request: HttpRequest, pk: UUID) -> HttpResponse:
    endpoint = _endpoint(pk)
    initial = {name: getattr(endpoint, name) for name in ("url", "event_types", "description")}
    form = EndpointForm(sent(request), initial=initial)

    def act() -> Done:
        locked(endpoint.org)
        current, changes = _endpoint(pk), {name: form.cleaned_data[name] for name in initial}
        if all(getattr(current, name) == value for name, value in changes.items()):
            return Done(f"{endpoint.url} is so already. Nothing was changed.", False)
        event_services.update_endpoint(endpoint=endpoint, **changes, **because(request, form))
        return Done(f"{changes['url']} is told of events as you set it.")

    return perform(request, endpoint.org, form, act) or page(
        request,
        "staff/organizations/action.html",
        title=f"Change {endpoint.url}",
        org=endpoint.org,
        form=form,
        facts=_facts(endpoint),
        notes=["What waits to be sent goes to the new address. The secret stays."],
        button="Change the endpoint",
    )


@needs("staff.manage_keys")
def rotate_endpoint(request: HttpRequest, pk: UUID) -> HttpResponse:
    endpoint = _endpoint(pk)
    form = ReasonForm(sent(request))

    def act() -> Secret:
        made = event_services.rotate_secret(endpoint=endpoint, **because(request, form))
        return Secret(made.endpoint, made.secret)

    return show_once(
        request,
        endpoint.org,
        form,
        action="rotate-endpoint",
        subject=endpoint,
        act=act,
        find=_endpoint,
        shown={"title": f"The new secret of {endpoint.url}"},
        title=f"Rotate the secret of {endpoint.url}",
        facts=_facts(endpoint),
        notes=["For 24 hours the secrets before sign beside the new one.", HAND_OVER],
        button="Rotate the secret",
    )


def _endpoint(pk: UUID | str) -> Endpoint:
    return get_object_or_404(event_selectors.all_endpoints().select_related("org"), pk=pk)


def _facts(endpoint: Endpoint) -> list[tuple[str, str]]:
    return [
        ("Address", endpoint.url),
        ("Organization", endpoint.org.name),
        ("Is told of", ", ".join(endpoint.event_types) or "all events"),
        ("Version of the API", endpoint.api_version),
        ("Now", "Enabled" if endpoint.is_enabled else "Disabled"),
    ]
