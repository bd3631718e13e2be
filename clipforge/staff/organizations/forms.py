"""The forms of the actions on an organization and its keys."""

from __future__ import annotations

import datetime
from typing import Any

from django import forms
from django.utils import timezone

from clipforge.orgs.models import APIKey, Organization, Tier
from clipforge.orgs.services import MAX_RATE
from clipforge.staff.forms import DayField, ReasonForm


class TierForm(ReasonForm):
    tier = forms.ChoiceField(label="New tier", choices=Tier.choices)
    # The value that the page showed; it may have changed since.
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


# Days. The person who issues a key has seen its secret.
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
