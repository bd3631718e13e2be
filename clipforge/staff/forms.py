"""What the forms of our own pages take, each value checked before a service sees it."""

from __future__ import annotations

import datetime
from typing import Any

from django import forms
from django.utils import timezone

from clipforge.orgs.audit import ReasonField
from clipforge.orgs.models import APIKey, Organization, Tier
from clipforge.orgs.services import MAX_RATE
from clipforge.staff.approvals.services import Movement
from clipforge.staff.models import MovementKind
from credits.models import GrantKind
from credits.services import MAX_AMOUNT, MAX_REASON


class ReasonForm(forms.Form):
    """Nothing but why. Forms of what needs no more, and the end of the others."""

    reason = ReasonField(widget=forms.Textarea(attrs={"rows": 3}))

    field_order: list[str] | None = None


class DayField(forms.DateField):
    """The last day of something, to be given as the moment at which it ends; empty: never."""

    def __init__(self, *, required: bool = False, **options: Any) -> None:
        super().__init__(
            required=required,
            widget=forms.DateInput(format="%Y-%m-%d", attrs={"type": "date"}),
            **options,
        )

    def clean(self, value: Any) -> Any:
        day = super().clean(value)
        if day is None:
            return None
        if day < timezone.now().date():
            raise forms.ValidationError("This day has passed. Choose a later one, or none.")
        if day == datetime.date.max:
            raise forms.ValidationError("Choose an earlier day, or none.")
        midnight = datetime.datetime.combine(day, datetime.time.min, datetime.UTC)
        return midnight + datetime.timedelta(days=1)


class MovementForm(forms.Form):
    ticket = forms.CharField(
        label="Ticket or reference",
        required=False,
        max_length=64,
        help_text="Where the matter is written down. May be empty.",
    )
    reason = ReasonField(
        max_length=MAX_REASON,
        widget=forms.Textarea(attrs={"rows": 3}),
        help_text="Kept with your name in the audit and in the customer's ledger, for ever.",
    )


class GrantForm(MovementForm):
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

    def movement(self, org: Organization) -> Movement:
        return Movement(
            org=org,
            kind=MovementKind.GRANT,
            amount=self.cleaned_data["amount"],
            grant_kind=self.cleaned_data["kind"],
            expires_at=self.cleaned_data["expiry"],
            ticket=self.cleaned_data["ticket"],
            reason=self.cleaned_data["reason"],
        )


class AdjustForm(MovementForm):
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

    def movement(self, org: Organization) -> Movement:
        return Movement(
            org=org,
            kind=MovementKind.ADJUST,
            amount=self.cleaned_data["amount"],
            ticket=self.cleaned_data["ticket"],
            reason=self.cleaned_data["reason"],
        )


class TierForm(ReasonForm):
    tier = forms.ChoiceField(label="New tier", choices=Tier.choices)
    # What the person saw; somebody else may have changed it since.
    seen = forms.CharField(widget=forms.HiddenInput)

    field_order = ["tier", "reason"]


class LimitForm(ReasonForm):
    requests_per_minute = forms.IntegerField(
        label="Requests per minute",
        required=False,
        min_value=1,
        max_value=MAX_RATE,
        help_text="Instead of the tier's. Empty: as many as the tier may.",
    )
    seen = forms.CharField(widget=forms.HiddenInput, required=False)

    field_order = ["requests_per_minute", "reason"]


class SuspendForm(ReasonForm):
    slug = forms.CharField(
        label="Slug of the organization",
        help_text="Type it, so that it is certainly this organization.",
        widget=forms.TextInput(attrs={"autocomplete": "off"}),
    )

    field_order = ["slug", "reason"]

    def __init__(self, *args: Any, organization: Organization, **options: Any) -> None:
        super().__init__(*args, **options)
        self.organization = organization

    def clean_slug(self) -> str:
        slug: str = self.cleaned_data["slug"]
        if slug != self.organization.slug:
            raise forms.ValidationError(f'This is "{self.organization.slug}". Type its slug.')
        return slug


# Days. Whoever issued a key has seen its secret.
LONGEST_KEY = 90


def last_day_of_a_key() -> datetime.date:
    return timezone.now().date() + datetime.timedelta(days=LONGEST_KEY)


class KeyForm(ReasonForm):
    name = forms.CharField(
        label="Name",
        max_length=APIKey._meta.get_field("name").max_length,
        help_text="What the key is for.",
    )
    expiry = DayField(
        label="Last day",
        required=True,
        initial=last_day_of_a_key,
        help_text=f"The key stops when this day ends (UTC): in {LONGEST_KEY} days at the latest. "
        "You have seen its secret, so it does not work for ever.",
    )

    field_order = ["name", "expiry", "reason"]

    def clean_expiry(self) -> datetime.datetime:
        end: datetime.datetime = self.cleaned_data["expiry"]
        if end.date() > last_day_of_a_key() + datetime.timedelta(days=1):
            raise forms.ValidationError(f"Choose a day within the next {LONGEST_KEY} days.")
        return end
