"""Payments by hand: as billing records them, and above a limit only with a second person."""

from __future__ import annotations

from typing import Any

from django.contrib import admin, messages
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect

from billing import services as billing_services
from billing.admin import PaymentAdmin as BillingPaymentAdmin
from billing.models import Payment
from billing.selectors import normal_reference
from clipforge.audit.actor import Actor
from clipforge.audit.forms import REASON
from clipforge.common.errors import Conflict
from clipforge.common.money import money
from clipforge.staff.approvals import services as approval_services
from clipforge.staff.approvals.proposals import Proposal
from clipforge.staff.models import ApprovalKind, ApprovalRequest

admin.site.unregister(Payment)


@admin.register(Payment)
class PaymentAdmin(BillingPaymentAdmin):
    """With its refunds, and the way to one."""

    change_form_template = "staff/approvals/payment.html"
    add_form_template = "admin/change_form.html"

    def render_change_form(
        self,
        request: HttpRequest,
        context: Any,
        add: bool = False,
        change: bool = False,
        form_url: str = "",
        obj: Payment | None = None,
    ) -> Any:
        if obj is not None:
            left = billing_services.refundable(obj)
            context |= {
                "payment": obj,
                "org": obj.org,
                "paid": money(obj.amount, obj.currency),
                "back": money(obj.reversed_amount, obj.currency),
                "left": left,
                "left_as_money": money(left, obj.currency),
                "stripe_page": billing_services.page_at_stripe(obj),
                "refunds": billing_services.refunds_of(obj),
                "may_refund": request.user.has_perm("billing.add_payment"),
            }
        return super().render_change_form(request, context, add, change, form_url, obj)

    def save_model(self, request: HttpRequest, obj: Payment, form: Any, change: bool) -> None:
        """Record it, or ask a second person to. All is one transaction, with the person locked."""
        price = obj.price
        proposal = Proposal(
            org=obj.org,
            kind=ApprovalKind.PAYMENT,
            amount=price.credits,
            reason=form.cleaned_data[REASON],
            ticket=normal_reference(obj.reference),
            price=price,
            paid_on=form.cleaned_data["paid_on"],
        )
        request.asked = approval_services.ask_to_record(proposal, actor=Actor.of_request(request))  # type: ignore[attr-defined]
        if _asked(request):
            return
        super().save_model(request, obj, form, change)
        if obj.credits > price.credits:
            raise Conflict("The price was changed meanwhile. Look over it and send this again.")

    def construct_change_message(
        self, request: HttpRequest, form: Any, formsets: Any, add: bool = False
    ) -> Any:
        if _asked(request):
            return []  # the request has left its row
        return super().construct_change_message(request, form, formsets, add)

    def log_addition(self, request: HttpRequest, obj: Payment, message: Any) -> Any:
        return None if _asked(request) else super().log_addition(request, obj, message)

    def response_add(
        self, request: HttpRequest, obj: Payment, post_url_continue: str | None = None
    ) -> HttpResponse:
        asked = _asked(request)
        if asked is None:
            return super().response_add(request, obj, post_url_continue)
        text = "Nothing is recorded yet: a second person has to confirm this."
        messages.warning(request, text)
        return redirect("admin:approval", asked.pk)


def _asked(request: HttpRequest) -> ApprovalRequest | None:
    return getattr(request, "asked", None)
