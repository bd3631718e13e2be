"""The forms by which staff grant and adjust credits."""

from __future__ import annotations

from django import forms

from clipforge.audit.forms import ReasonField
from clipforge.audit.services import SHORTEST_REASON
from clipforge.orgs.models import Organization
from clipforge.staff.approvals.proposals import Proposal
from clipforge.staff.forms import DayField
from clipforge.staff.models import ApprovalKind
from credits.models import GrantKind
from credits.rules import MAX_AMOUNT, MAX_REASON


class TransactionForm(forms.Form):
    ticket = forms.CharField(
        label="Ticket or reference",
        required=False,
        max_length=64,
        help_text="Where the matter is written down. May be empty.",
    )
    reason = ReasonField(
        max_length=MAX_REASON,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text=f"At least {SHORTEST_REASON} characters. Kept with your name in the audit and in the customer's ledger, for ever.",
    )


class GrantForm(TransactionForm):
    amount = forms.IntegerField(
        label="Amount", min_value=1, max_value=MAX_AMOUNT, help_text="Credits, a whole number."
    )
    kind = forms.ChoiceField(
        label="Kind",
        choices=[
            (GrantKind.PROMO, "Promotion or goodwill: spent first"),
            (GrantKind.PLAN, "Plan: as the credits of a month"),
            (GrantKind.REFUND, "Refund: for what went wrong"),
            (GrantKind.PURCHASE, "Purchase: paid for outside the price list, spent last"),
        ],
        help_text="What was paid for at a listed price is recorded as a payment instead.",
    )
    expiry = DayField(
        label="Last day",
        help_text="Unused credits end when this day does (UTC). Empty: they never end.",
    )

    field_order = ["amount", "kind", "expiry", "ticket", "reason"]

    def proposal(self, org: Organization) -> Proposal:
        return Proposal(
            org=org,
            kind=ApprovalKind.GRANT,
            amount=self.cleaned_data["amount"],
            grant_kind=self.cleaned_data["kind"],
            expires_at=self.cleaned_data["expiry"],
            ticket=self.cleaned_data["ticket"],
            reason=self.cleaned_data["reason"],
        )


class AdjustForm(TransactionForm):
    amount = forms.IntegerField(
        label="Amount",
        min_value=-MAX_AMOUNT,
        max_value=MAX_AMOUNT,
        help_text="Credits, a whole number: 50 adds fifty, -50 takes fifty away.",
    )

    field_order = ["amount", "ticket", "reason"]

    def clean_amount(self) -> int:
        amount: int = self.cleaned_data["amount"]
        if amount == 0:
            raise forms.ValidationError("Nothing would move. Give an amount above or below zero.")
        return amount

    def proposal(self, org: Organization) -> Proposal:
        return Proposal(
            org=org,
            kind=ApprovalKind.ADJUST,
            amount=self.cleaned_data["amount"],
            ticket=self.cleaned_data["ticket"],
            reason=self.cleaned_data["reason"],
        )
