"""The way of every action of staff on an organization: a form that is sent, done once, and told of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple
from uuid import UUID

from django import forms
from django.contrib import messages
from django.db.transaction import atomic
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import redirect
from django.urls import reverse

from clipforge.audit.actor import Actor
from clipforge.common.errors import Conflict, DomainError
from clipforge.orgs import selectors as org_selectors
from clipforge.orgs.idempotency import Answer, once
from clipforge.orgs.models import Organization
from clipforge.staff import tokens
from clipforge.staff.pages import page


class Done(NamedTuple):
    """The message on the next page. `changed` is False where there was nothing to do."""

    text: str
    changed: bool = True


class Secret(NamedTuple):
    """A secret that was made just now, and the row that it belongs to."""

    row: Any
    text: str


def sent(request: HttpRequest) -> QueryDict | None:
    return request.POST if request.method == "POST" else None


def perform(
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


def because(request: HttpRequest, form: forms.Form) -> dict[str, Any]:
    """The cause of the change, as a service takes it."""
    return {"reason": form.cleaned_data["reason"], "actor": Actor.of_request(request)}


def locked(org: Organization) -> Organization:
    return org_selectors.all_organizations().select_for_update(no_key=True).get(pk=org.pk)


def require_as_seen(form: forms.Form, what: str, current: str) -> None:
    """Raises Conflict where somebody was faster; the form then shows it, and can be sent again."""
    if form.cleaned_data["seen"] != current:
        form.data = {**form.data.dict(), "seen": current}  # type: ignore[attr-defined]
        raise Conflict(
            f"Somebody else changed the {what} meanwhile: it is {current or 'that of the tier'} "
            "now. Send this again if it still should be changed."
        )


def state(org: Organization) -> str:
    return "Active" if org.is_active else "Suspended"


def show_once(
    request: HttpRequest,
    org: Organization,
    form: forms.Form,
    *,
    action: str,
    subject: Any,
    act: Callable[[], Secret],
    find: Callable[[str], Any],
    shown: dict[str, Any],
    **facts: Any,
) -> HttpResponse:
    """The page of an action that makes a secret, which is in the answer to its POST and nowhere else.

    The form does it once, however often it is sent. `find` gives the row with a primary key, `shown` is
    for the page that shows the secret, `facts` for the one with the form.
    """
    token = request.POST.get("token", "")
    if request.method == "POST":
        try:
            number = tokens.read(token, request, action, subject)
            if form.is_valid():
                return _made(request, org, number, action, act, find, shown)
        except DomainError as error:
            form.add_error(None, error.message)
            token = tokens.make(request, action, subject)
    token = token or tokens.make(request, action, subject)
    template = "staff/organizations/action.html"
    return page(request, template, org=org, form=form, token=token, **facts)


def _made(
    request: HttpRequest,
    org: Organization,
    number: UUID,
    action: str,
    act: Callable[[], Secret],
    find: Callable[[str], Any],
    shown: dict[str, Any],
) -> HttpResponse:
    made: list[Secret] = []

    def effect() -> Answer:
        made.append(act())
        return Answer(201, str(made[0].row.pk))

    try:
        answer = once(org=org, key=f"staff:{number}", fingerprint=action, effect=effect)
    except Conflict as error:
        if error.error_code != "request_in_progress":
            raise
        raise Conflict(
            "A first click on this form is under way, and shows the secret. Look at the page of the "
            "organization before you do it again."
        ) from None
    context = shown if made else {**shown, "title": "This form has done it already"}
    secret = made[0].text if made else ""
    template = "staff/organizations/secret_shown.html"
    return page(request, template, org=org, secret=secret, row=find(answer.body), **context)
