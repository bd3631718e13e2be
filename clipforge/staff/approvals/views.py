"""The pages on which staff move credits: a form, what it would do, and then the doing."""

from __future__ import annotations

from typing import Any, cast
from uuid import UUID

from django.conf import settings
from django.contrib import messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse
from django.utils import timezone

from billing.models import Refund
from clipforge.audit.actor import Actor
from clipforge.common.errors import DomainError
from clipforge.common.money import money
from clipforge.orgs import selectors as org_selectors
from clipforge.orgs.models import User
from clipforge.staff import formatting, tokens
from clipforge.staff.approvals import limits
from clipforge.staff.approvals import services as approval_services
from clipforge.staff.approvals.forms import AdjustForm, GrantForm
from clipforge.staff.approvals.payment_refunds import carried_out, refund_sentences
from clipforge.staff.approvals.proposals import Proposal, forecast, proposal_of, require_possible
from clipforge.staff.approvals.selectors import REQUEST_LIFE, open_requests
from clipforge.staff.forms import ReasonForm
from clipforge.staff.models import ApprovalKind, ApprovalRequest, RequestStatus
from clipforge.staff.pages import needs, page
from credits.models import GrantKind
from credits.rules import Funds, funds_of

KINDS: dict[str, str] = {
    GrantKind.PROMO: "promotion",
    GrantKind.PLAN: "part of its plan",
    GrantKind.REFUND: "refund",
    GrantKind.PURCHASE: "purchase",
}
# Who may see what waits: those who may ask for it, or decide it.
ASKING = (*approval_services.NEEDED.values(), "staff.confirm_credits")
# Rows on the page of requests, of each part.
MOST_WAITING, MOST_DECIDED = 100, 25


@needs("staff.grant_credits")
def grant_credits(request: HttpRequest, pk: UUID) -> HttpResponse:
    return _transaction_page(request, pk, GrantForm, "grant-credits", "Grant credits")


@needs("staff.adjust_credits")
def adjust_credits(request: HttpRequest, pk: UUID) -> HttpResponse:
    return _transaction_page(request, pk, AdjustForm, "adjust-credits", "Adjust credits")


def _transaction_page(
    request: HttpRequest, pk: UUID, form_class: type[GrantForm | AdjustForm], name: str, title: str
) -> HttpResponse:
    """GET shows the form. POST shows what it would do; POST with `confirm` does it, once."""
    org = get_object_or_404(org_selectors.all_organizations(), pk=pk)
    user = cast("User", request.user)
    context: dict[str, Any] = {
        "org": org,
        "title": f"{title}: {org.name}",
        "action": reverse(f"admin:{name}", args=[org.pk]),
        "now": funds_of(org.pk),
    }

    def show(form: Any, token: str) -> HttpResponse:
        return page(
            request,
            "staff/approvals/transaction_form.html",
            form=form,
            token=token,
            lately=limits.moved_lately(org, user).for_org,
            limit=_limit(),
            **context,
        )

    if request.method != "POST":
        return show(form_class(), tokens.make(request, name, org))
    token = request.POST.get("token", "")
    if "edit" in request.POST:
        return show(form_class(initial=request.POST.dict()), token)
    form = form_class(request.POST)
    try:
        key = tokens.read(token, request, name, org)
    except DomainError as error:
        form.add_error(None, error.message)
        return show(form, tokens.make(request, name, org))
    if not form.is_valid():
        return show(form, token)
    proposal = form.proposal(org)
    try:
        if "confirm" in request.POST:
            return _done(
                request,
                approval_services.submit(proposal, token=key, actor=Actor.of_request(request)),
                proposal,
            )
        require_possible(proposal, context["now"])
    except DomainError as error:
        form.add_error(None, error.message)
        return show(form, token)
    return page(
        request,
        "staff/approvals/transaction_confirm.html",
        form=form,
        token=token,
        proposal=proposal,
        sentences=_sentences(proposal, context["now"]),
        rows=_rows(proposal, context["now"]),
        second=limits.why_two_persons(proposal, user),
        same=limits.same_lately(proposal, user),
        **context,
    )


def _done(
    request: HttpRequest, outcome: approval_services.Outcome, proposal: Proposal
) -> HttpResponse:
    """Said where the person goes next: on the page of the organization, or of the request."""
    if asked := outcome.request:
        text = (
            "This waits for a second person already."
            if outcome.is_repetition
            else ("Nothing has moved yet: a second person has to confirm this.")
        )
        messages.warning(request, text)
        return redirect(reverse("admin:approval", args=[asked.pk]))
    if outcome.is_repetition:
        messages.info(request, "This form has done its work already. Nothing more was moved.")
    else:
        has = funds_of(proposal.org.pk).available
        messages.success(
            request, f"{_what(proposal)} {proposal.org.name} has {has:,} credits available now."
        )
    return redirect(reverse("admin:orgs_organization_change", args=[proposal.org.pk]))


@needs(*ASKING)
def approvals(request: HttpRequest) -> HttpResponse:
    """The requests that wait for a second person, the oldest first, and the last decisions."""
    people = ("org", "requested_by", "decided_by", "payment")
    waiting = open_requests().select_related(*people)
    decided = ApprovalRequest.objects.exclude(status=RequestStatus.PENDING).select_related(*people)
    return page(
        request,
        "staff/approvals/approvals.html",
        title="Credits that await two-person approval",
        waiting=waiting.order_by("requested_at")[:MOST_WAITING],
        decided=decided.order_by("-id")[:MOST_DECIDED],
        limit=_limit(),
        limit_in_all=int(settings.STAFF_DAY_CONFIRM_CREDITS),
    )


@needs(*ASKING)
def approval(request: HttpRequest, pk: int) -> HttpResponse:
    """The page of one request: its present effect, and two buttons for those who may decide it."""
    asked = get_object_or_404(
        ApprovalRequest.objects.select_related(
            "org", "requested_by", "decided_by", "price", "payment__price"
        ),
        pk=pk,
    )
    if request.method == "POST":
        return _decision(request, asked)
    return _request_page(request, asked, ReasonForm())


@needs("staff.confirm_credits")
def _decision(request: HttpRequest, asked: ApprovalRequest) -> HttpResponse:
    form = ReasonForm(request.POST)
    is_confirmed = "confirm" in request.POST
    if not is_confirmed and "refuse" not in request.POST:
        form.add_error(None, "Confirm or refuse: nothing was chosen.")
    if not form.is_valid():
        return _request_page(request, asked, form)
    reason = form.cleaned_data["reason"]
    try:
        if is_confirmed:
            made = approval_services.confirm(asked, reason=reason, actor=Actor.of_request(request))
            if isinstance(made, Refund):
                carried_out(request, made)
        else:
            approval_services.refuse(asked, reason=reason, actor=Actor.of_request(request))
    except DomainError as error:
        asked.refresh_from_db()
        form.add_error(None, error.message)
        return _request_page(request, asked, form)
    done = "Confirmed. " + _what(proposal_of(asked)) if is_confirmed else "Refused."
    messages.success(request, done if is_confirmed else f"{done} Nothing was moved.")
    return redirect(reverse("admin:approval", args=[asked.pk]))


def _request_page(request: HttpRequest, asked: ApprovalRequest, form: ReasonForm) -> HttpResponse:
    wanted, now = proposal_of(asked), funds_of(asked.org_id)
    is_late = asked.requested_at <= timezone.now() - REQUEST_LIFE
    is_open = asked.status == RequestStatus.PENDING and not is_late
    is_own = asked.requested_by_id == request.user.pk
    may_decide = is_open and not is_own and request.user.has_perm("staff.confirm_credits")
    return page(
        request,
        "staff/approvals/approval.html",
        title=f"{asked} for {asked.org.name}",
        asked=asked,
        org=asked.org,
        proposal=wanted,
        form=form,
        is_open=is_open,
        is_own=is_own,
        state=asked.get_status_display() if is_open or not is_late else "Expired",
        may_decide=may_decide,
        doubt=approval_services.why_not_confirmed(asked, cast("User", request.user))
        if may_decide
        else None,
        ends_at=asked.requested_at + REQUEST_LIFE,
        sentences=_sentences(wanted, now) if is_open else [],
        rows=_rows(wanted, now) if is_open else [],
    )


def _limit() -> int:
    return int(settings.STAFF_GRANT_CONFIRM_CREDITS)


def _rows(proposal: Proposal, now: Funds) -> list[tuple[str, int, int]]:
    """The account before and after, as rows. None for a plan, which depends on the running one."""
    if proposal.price is not None and proposal.price.is_plan:
        return []
    before, after = now.as_facts(), forecast(proposal, now).as_facts()
    names = {
        "available": "Available",
        "held": "Held for running work",
        "posted": "In all (available and held)",
        "debt": "Owed",
    }
    return [(label, before[name], after[name]) for name, label in names.items()]


def _sentences(proposal: Proposal, now: Funds) -> list[str]:
    """The effect of the change, in words."""
    name, amount = proposal.org.name, abs(proposal.amount)
    if price := proposal.price:
        paid = money(price.amount, price.currency)
        said = [f"{name} paid {paid} for {price} by transfer, on {proposal.paid_on}."]
        if price.is_plan:
            said.append(
                f"The plan begins or is prolonged: {amount:,} credits a month. A higher one begins "
                "at once, for the difference in money and credits."
            )
        else:
            said.append(f"{name} gets {amount:,} credits.")
        return said
    if (payment := proposal.payment) is not None:
        return refund_sentences(payment, proposal.refund_amount or 0)
    if proposal.kind == ApprovalKind.GRANT:
        said = [f"{name} gets {amount:,} credits as a {KINDS[proposal.grant_kind]}."]
        said.append(_until(proposal))
        if settled := now.debt - forecast(proposal, now).debt:
            said.append(
                f"{settled:,} of them settle at once what is owed for credits that were taken back."
            )
        return said
    if proposal.amount > 0:
        return [f"{name} gets {amount:,} credits, which never end."]
    return [
        f"{amount:,} credits are taken from {name}, from its grants in the order in which they "
        "would have been spent.",
        "Running work keeps what it has reserved.",
    ]


def _until(proposal: Proposal) -> str:
    if proposal.expires_at is None:
        return "They never end."
    return f"What is unused at {formatting.moment(proposal.expires_at)} ends then."


def _what(proposal: Proposal) -> str:
    if proposal.kind == ApprovalKind.PAYMENT:
        return "The payment is recorded."
    if proposal.kind == ApprovalKind.REFUND:
        return "The refund is asked for."
    verb = "granted" if proposal.kind == ApprovalKind.GRANT else "added"
    if proposal.amount < 0:
        verb = "taken"
    return f"{abs(proposal.amount):,} credits {verb}."
