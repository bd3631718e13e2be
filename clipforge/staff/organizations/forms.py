"""The forms of the actions on an organization and its keys."""

from __future__ import annotations

import datetime
from typing import Any, cast

from django import forms
from django.utils import timezone

from clipforge.events.selectors import event_types
from clipforge.orgs import networks
from clipforge.orgs.api_keys import MAX_CAP
from clipforge.orgs.models import APIKey, Organization, Scope, Tier
from clipforge.orgs.services import MAX_OVERLAP, MAX_RATE, OVERLAP
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


def last_moment_of_a_key() -> datetime.datetime:
    return timezone.now() + datetime.timedelta(days=LONGEST_KEY)


class LimitsOfAKey(ReasonForm):
    """The rights of a key, where it works from, and how much it may spend."""

    scopes = forms.MultipleChoiceField(
        label="May do",
        choices=Scope.choices,
        widget=forms.CheckboxSelectMultiple,
        initial=Scope.values,
        help_text="Each operation of the API needs one of these.",
    )
    allowed_addresses = forms.CharField(
        label="Works from",
        required=False,
        widget=forms.Textarea(attrs={"rows": 2}),
        help_text="Addresses and blocks like 203.0.113.0/24, by blanks. Empty: from anywhere.",
    )
    monthly_cap = forms.IntegerField(
        label="Credits a month",
        required=False,
        min_value=0,
        max_value=MAX_CAP,
        help_text="Months are of UTC. Empty: as many as there are.",
    )

    def clean_scopes(self) -> str:
        return " ".join(self.cleaned_data["scopes"])

    def clean_allowed_addresses(self) -> list[str]:
        return str(self.cleaned_data["allowed_addresses"]).split()


class KeyLimitsForm(LimitsOfAKey):
    # What the page showed; it may have changed since.
    seen = forms.CharField(widget=forms.HiddenInput, required=False)

    field_order = ["scopes", "allowed_addresses", "monthly_cap", "reason"]

    @classmethod
    def initial_of(cls, key: APIKey) -> dict[str, Any]:
        return {
            "scopes": key.scope_list,
            "allowed_addresses": "\n".join(key.allowed_addresses.split()),
            "monthly_cap": key.monthly_cap,
            "seen": cls.seen_of(key),
        }

    @staticmethod
    def seen_of(key: APIKey) -> str:
        return _in_words(key.scope_list, key.allowed_addresses, key.monthly_cap)

    def wanted(self) -> str:
        """As `seen_of` would say it once this is done. Raises Invalid for what is no network."""
        values = self.cleaned_data
        scopes = [scope for scope in Scope.values if scope in values["scopes"].split()]
        addresses = networks.normalized(values["allowed_addresses"])
        return _in_words(scopes, addresses, values["monthly_cap"])


def _in_words(scopes: list[str], addresses: str, cap: int | None) -> str:
    spends = "no cap" if cap is None else f"{cap} credits a month"
    return f"{', '.join(scopes)}; from {addresses or 'anywhere'}; {spends}"


class RevocationForm(ReasonForm):
    descendants = forms.BooleanField(
        label="Also the keys that come from it",
        required=False,
        help_text="Made with it, or in its place by rotation. Where it is in wrong hands: yes.",
    )

    field_order = ["descendants", "reason"]


class RotationForm(ReasonForm):
    hours = forms.IntegerField(
        label="Hours that the old key still works",
        min_value=0,
        max_value=MAX_OVERLAP,
        initial=OVERLAP,
    )

    field_order = ["hours", "reason"]


class OriginsForm(ReasonForm):
    origins = forms.CharField(
        label="Origins",
        required=False,
        widget=forms.Textarea(attrs={"rows": 4}),
        help_text="As browsers write them: https://app.example.com, one a line. Empty: none.",
    )
    seen = forms.CharField(widget=forms.HiddenInput, required=False)

    field_order = ["origins", "reason"]


class EndpointForm(ReasonForm):
    url = forms.CharField(
        label="Address", max_length=2000, help_text="https, on the public internet."
    )
    event_types = forms.MultipleChoiceField(
        label="Is told of",
        required=False,
        widget=forms.CheckboxSelectMultiple,
        help_text="None: of all.",
    )
    description = forms.CharField(label="Description", required=False, max_length=200)

    field_order = ["url", "event_types", "description", "reason"]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        field = cast("forms.MultipleChoiceField", self.fields["event_types"])
        field.choices = [(name, name) for name in event_types()]


class KeyForm(LimitsOfAKey):
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

    is_test = forms.BooleanField(
        label="For tests",
        required=False,
        help_text="A key of the sandbox: free credits, marked and short clips, Stripe's test mode.",
    )

    field_order = [
        "name",
        "expiry",
        "scopes",
        "allowed_addresses",
        "monthly_cap",
        "is_test",
        "reason",
    ]

    def clean_expiry(self) -> datetime.datetime:
        end: datetime.datetime = self.cleaned_data["expiry"]
        if end.date() > last_day_of_a_key() + datetime.timedelta(days=1):
            raise forms.ValidationError(f"Choose a day within the next {LONGEST_KEY} days.")
        return end
