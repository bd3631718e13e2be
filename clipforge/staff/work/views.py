"""The pages of the rescue queue: the list, what would change, and what came of it."""

from __future__ import annotations

import datetime
import uuid
from typing import Any, cast

from django import forms
from django.contrib import messages
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.views.decorators.http import require_safe

from clipforge.audit.actor import Actor
from clipforge.audit.forms import ReasonField
from clipforge.common.errors import DomainError, Invalid
from clipforge.jobs import kinds
from clipforge.jobs.rules import Action
from clipforge.orgs import selectors as org_selectors
from clipforge.orgs.models import Organization, User
from clipforge.staff.job_actions import PERMISSIONS
from clipforge.staff.models import RescueRun
from clipforge.staff.pages import needs, page
from clipforge.staff.work import selectors as work_selectors
from clipforge.staff.work import services as work_services
from clipforge.staff.work.selectors import STUCK, Filters, RescuePosition, State, listed_kinds

STATES = {**{state.value: frozenset({state}) for state in State}, "stuck": STUCK}


class FilterForm(forms.Form):
    kind = forms.ChoiceField(
        required=False, choices=lambda: [("", "All kinds"), *listed_kinds().items()]
    )
    state = forms.ChoiceField(
        required=False,
        choices=[("", "All states"), ("stuck", "Anything stuck"), *State.choices],
    )
    code = forms.ChoiceField(
        required=False,
        label="Error code",
        choices=lambda: [("", "All error codes"), *((code, code) for code in kinds.error_codes())],
    )
    org = forms.UUIDField(required=False, widget=forms.HiddenInput)
    after = forms.CharField(required=False, widget=forms.HiddenInput)

    def clean_after(self) -> RescuePosition | None:
        try:
            text = self.cleaned_data["after"]
            return RescuePosition.parse(text) if text else None
        except ValueError:
            raise forms.ValidationError("There is no such page. This is the first.") from None

    def filters(self) -> Filters:
        """The filters of the request, without those that are invalid."""
        self.is_valid()
        asked = self.cleaned_data
        return Filters(
            kind=asked.get("kind", ""),
            states=STATES.get(asked.get("state", ""), frozenset(State)),
            error_code=asked.get("code", ""),
            org=asked.get("org"),
            after=asked.get("after"),
        )


@require_safe
@needs("projects.view_project")
def queue(request: HttpRequest) -> HttpResponse:
    form = FilterForm(request.GET)
    filters = form.filters()
    found = work_selectors.find(filters)
    older = request.GET.copy()
    older["after"] = str(found.older)
    allowed = [action for action in Action if request.user.has_perm(PERMISSIONS[action])]
    return page(
        request,
        "staff/work/queue.html",
        title="Rescue",
        form=form,
        found=found,
        allowed=allowed,
        org=_org(filters.org),
        older=older.urlencode() if found.older else "",
        capped=", ".join(state.label.lower() for state in found.capped),
        most=work_selectors.CAPPED,
        waits_long=work_selectors.WAITS_LONG // datetime.timedelta(minutes=1),
    )


def _org(pk: uuid.UUID | None) -> Organization | None:
    return org_selectors.all_organizations().filter(pk=pk).first() if pk else None


class ConfirmForm(forms.Form):
    plan = forms.CharField(widget=forms.HiddenInput)
    reason = ReasonField()


@needs(*set(PERMISSIONS.values()))
def confirm(request: HttpRequest) -> HttpResponse:
    """POST from the list: show what would change. POST with the plan and a reason: do it."""
    if request.method != "POST":
        return redirect("admin:rescue")
    try:
        if "plan" in request.POST:
            return _carry_out(request)
        action, keys = _asked(request)
        _require(request, action)
        return _ask(request, work_services.plan(action, keys))
    except DomainError as error:
        messages.error(request, error.message)
        return redirect("admin:rescue")


def _asked(request: HttpRequest) -> tuple[Action, list[str]]:
    """Of the buttons: one below the list, for what is ticked; or one in a row, for that row."""
    one, ticked = request.POST.get("one", ""), request.POST.getlist("item")
    name, keys = request.POST.get("action", ""), ticked
    if one:
        name, _, key = one.partition(" ")
        keys = [key]
    if name not in Action.values:
        raise Invalid("Choose what to do.")
    return Action(name), keys


def _require(request: HttpRequest, action: Action) -> None:
    if not request.user.has_perm(PERMISSIONS[action]):
        raise PermissionDenied


def _ask(request: HttpRequest, plan: work_services.RescuePlan) -> HttpResponse:
    form = ConfirmForm(initial={"plan": work_services.seal(plan, user=_user(request))})
    return _confirmation(request, plan, form)


def _confirmation(
    request: HttpRequest, plan: work_services.RescuePlan, form: forms.Form
) -> HttpResponse:
    return page(
        request,
        "staff/work/confirm.html",
        title=f"{plan.action.label}: what will change",
        plan=plan,
        form=form,
    )


def _carry_out(request: HttpRequest) -> HttpResponse:
    form = ConfirmForm(request.POST)
    token, sealed = work_services.unseal(request.POST["plan"], user=_user(request))
    _require(request, sealed.action)
    if not form.is_valid():
        # As it stands by now; what is sealed stays what was confirmed.
        again = work_services.plan(sealed.action, [item.key for item in sealed.items])
        return _confirmation(request, again, form)
    run = work_services.carry_out(
        token, sealed, reason=form.cleaned_data["reason"], actor=Actor.of_request(request)
    )
    return redirect("admin:rescue-run", token=run.pk)


@require_safe
@needs(*set(PERMISSIONS.values()))
def run(request: HttpRequest, token: uuid.UUID) -> HttpResponse:
    """The result page of a confirmation."""
    found = get_object_or_404(RescueRun.objects.select_related("actor"), pk=token)
    results: list[dict[str, Any]] = found.results
    return page(
        request,
        "staff/work/run.html",
        title=f"{Action(found.action).label}: what came of it",
        run=found,
        done=[result for result in results if result["done"]],
        skipped=[result for result in results if not result["done"]],
    )


def _user(request: HttpRequest) -> User:
    return cast("User", request.user)
