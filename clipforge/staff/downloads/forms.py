"""The form that selects the rows of a file."""

from __future__ import annotations

import datetime
from typing import Any

from django import forms

from clipforge.common.lists import search
from clipforge.orgs import selectors as org_selectors
from clipforge.orgs.models import Organization
from clipforge.staff.downloads.selectors import Selection


class DownloadForm(forms.Form):
    """Days are of UTC, and both are included."""

    org = forms.CharField(
        label="Organization",
        required=False,
        max_length=search.LONGEST,
        help_text="Its slug or id. Leave it empty for all organizations.",
    )
    to = forms.DateField(
        label="To",
        required=False,
        widget=forms.DateInput(attrs={"type": "date"}),
        help_text="That day is included.",
    )
    field_order = ["org", "from", "to"]

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        # A name that Python keeps for itself.
        self.fields["from"] = forms.DateField(
            label="From", required=False, widget=forms.DateInput(attrs={"type": "date"})
        )
        self.order_fields(self.field_order)

    def clean_org(self) -> Organization | None:
        text = self.cleaned_data["org"].strip()
        if not text:
            return None
        found = org_selectors.organization_by_slug_or_id(text)
        if found is None:
            raise forms.ValidationError("No organization has this slug or id.")
        return found

    def clean(self) -> dict[str, Any]:
        values: dict[str, Any] = super().clean() or {}
        # A misspelt filter must not widen a file.
        if unknown := sorted(set(self.data) - set(self.fields)):
            raise forms.ValidationError(f"There is no filter called {', '.join(unknown)}.")
        start, end = values.get("from"), values.get("to")
        if start and end and start > end:
            raise forms.ValidationError("The first day is after the last.")
        if end == datetime.date.max:  # no year has a day after it
            self.add_error("to", "Choose an earlier day, or none.")
        return values

    def selection(self) -> Selection:
        values = self.cleaned_data
        return Selection(values["org"], values["from"], values["to"])
