"""The page on which staff give money back: a form, what it would do, and then the doing."""

from __future__ import annotations

from decimal import Decimal
from typing import Any, cast
from uuid import UUID

from django import forms
from django.contrib import messages
from django.http import HttpRequest, HttpResponse, QueryDict
from django.shortcuts import get_object_or_404, redirect
from django.urls import reverse

from billing import selectors as billing_selectors
from billing import services as billing_services
from billing.models import Payment, PaymentMethod, Refund, RefundStatus
from clipforge.audit.actor import Actor
from clipforge.common.errors import DomainError, Unavailable
from clipforge.common.money import digits, major_units, minor_units, money
from clipforge.orgs.models import User
from clipforge.staff import formatting, tokens
from clipforge.staff.approvals import limits
from clipforge.staff.approvals import services as approval_services
from clipforge.staff.approvals.proposals import Proposal, forecast, require_possible
from clipforge.staff.forms import ReasonForm
from clipforge.staff.models import ApprovalKind
from clipforge.staff.pages import needs, page
from credits.rules import Funds, funds_of

NAME = "refund-payment"
FIGURES = {"available": "Credits available", "held": "Held for running work", "debt": "Owed"}


class PaymentRefundForm(ReasonForm):
    """An amount as people write it, and why."""

    def __init__(self, data: QueryDict | None, *, payment: Payment, left: int) -> None:
        super().__init__(data)
        self.payment = payment
        most = major_units(left, payment.currency)
        self.fields["amount"] = forms.DecimalField(
            label="Amount",
            min_value=major_units(1, payment.currency),
            max_value=most,
            decimal_places=digits(payment.currency),
            initial=most,
            help_text=f"In {payment.currency.upper()}; {money(left, payment.currency)} at most.",
        )
        self.order_fields(["amount", "reason"])

    def proposal(self) -> Proposal:
        payment = self.payment
        amount = minor_units(cast("Decimal", self.cleaned_data["amount"]), payment.currency)
        return Proposal(
            org=payment.org,
            kind=ApprovalKind.REFUND,
            amount=billing_services.credits_with(payment, amount),
            reason=self.cleaned_data["reason"],
            payment=payment,
            refund_amount=amount,
        )


@needs("billing.add_payment")
def refund_payment(request: HttpRequest, pk: UUID) -> HttpResponse:
    """GET shows the form. POST shows what it would do; POST with `confirm` does it, once."""
    payment = get_object_or_404(
        billing_selectors.all_payments().select_related("org", "price"), pk=pk
    )
    left = billing_services.refundable(payment)
    token = request.POST.get("token", "")

    def show(form: Any, token: str) -> HttpResponse:
        return _page(request, "payment_refund.html", payment, left, form=form, token=token)

    if request.method != "POST":
        form = PaymentRefundForm(None, payment=payment, left=left)
        return show(form, tokens.make(request, NAME, payment))
    # Sent again, what was refunded meanwhile is not left: the token finds what it did.
    try:
        number = tokens.read(token, request, NAME, payment)
    except DomainError as error:
        form = PaymentRefundForm(request.POST, payment=payment, left=left)
        form.add_error(None, error.message)
        return show(form, tokens.make(request, NAME, payment))
    if (earlier := billing_services.refund_of(number)) is not None:
        return _done(request, earlier)
    form = PaymentRefundForm(request.POST, payment=payment, left=left)
    if not form.is_valid() or "edit" in request.POST:
        return show(form, token)
    proposal = form.proposal()
    try:
        if "confirm" in request.POST:
            made = approval_services.submit_refund(
                proposal, token=number, actor=Actor.of_request(request)
            )
            return _done(request, made)
        require_possible(proposal, funds_of(payment.org_id))
    except DomainError as error:
        form.add_error(None, error.message)
        return show(form, token)
    return _confirmation(request, payment, left, form, token, proposal)


def _confirmation(
    request: HttpRequest, payment: Payment, left: int, form: Any, token: str, proposal: Proposal
) -> HttpResponse:
    now = funds_of(payment.org_id)
    after = forecast(proposal, now)
    return _page(
        request,
        "payment_refund_confirm.html",
        payment,
        left,
        form=form,
        token=token,
        sentences=refund_sentences(payment, proposal.refund_amount or 0),
        rows=_rows(now, after),
        second=limits.why_two_persons(proposal, cast("User", request.user)),
        amount=money(proposal.refund_amount or 0, payment.currency),
        reason=proposal.reason,
    )


def _rows(now: Funds, after: Funds) -> list[tuple[str, int, int]]:
    before, then = now.as_facts(), after.as_facts()
    return [(label, before[name], then[name]) for name, label in FIGURES.items()]


def _page(
    request: HttpRequest, template: str, payment: Payment, left: int, **context: Any
) -> HttpResponse:
    return page(
        request,
        f"staff/approvals/{template}",
        title=f"Refund: {payment}",
        org=payment.org,
        payment=payment,
        paid=money(payment.amount, payment.currency),
        back=money(payment.reversed_amount, payment.currency),
        left=left,
        left_as_money=money(left, payment.currency),
        stripe_page=billing_services.page_at_stripe(payment),
        **context,
    )


def refund_sentences(payment: Payment, amount: int) -> list[str]:
    """The effect of a refund, in words."""
    effect = billing_services.effect_of_refund(payment, amount)
    sum_, rest = money(amount, payment.currency), payment.amount - payment.reversed_amount - amount
    how = "by Stripe, to what it was paid with"
    if payment.method == PaymentMethod.MANUAL:
        how = "by a transfer that you send yourself: this only records it"
    said = [f"{payment.org.name} gets {sum_} back, {how}."]
    if not rest:
        said.append("Nothing of the payment is left then; a plan whose month it paid ends.")
    if effect.taken:
        said.append(f"{formatting.count(effect.taken, 'unused credit')} of it are taken back.")
    if effect.owed:
        said.append(
            f"{formatting.count(effect.owed, 'credit')} were spent or are held, and will be owed: "
            "the next credits settle them."
        )
    return said


def _done(request: HttpRequest, made: Any) -> HttpResponse:
    """Said where the person goes next: on the page of the payment, or of the request."""
    if not isinstance(made, Refund):
        messages.warning(request, "Nothing has moved yet: a second person has to confirm this.")
        return redirect(reverse("admin:approval", args=[made.pk]))
    carried_out(request, made)
    return redirect(reverse("admin:billing_payment_change", args=[made.payment_id]))


def carried_out(request: HttpRequest, refund: Refund) -> None:
    """Let Stripe do it, and say what came of it."""
    try:
        refund = billing_services.carry_out_refund(refund)
    except DomainError as error:
        why = "Stripe cannot be reached." if isinstance(error, Unavailable) else error.message
        messages.warning(
            request,
            f"The refund is asked for, and not done yet. {why} It is tried again every hour, and when "
            "this form is sent again; it is done once.",
        )
        return
    text = str(refund)
    if refund.status == RefundStatus.DONE:
        messages.success(request, f"Given back: {text}.")
    else:
        messages.error(request, f"Nothing was given back of {text}. {refund.error}")
