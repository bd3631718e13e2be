"""Form parts that several pages share."""

from __future__ import annotations

import datetime
from typing import Any

from django import forms
from django.utils import timezone

from clipforge.audit.forms import ReasonField


class ReasonForm(forms.Form):
    """A reason alone: enough for many pages, and the last field of the other forms."""

    reason = ReasonField(widget=forms.Textarea(attrs={"rows": 3}))

    field_order: list[str] | None = None


class DayField(forms.DateField):
    """A last day, cleaned to the moment (UTC) at which that day ends; None when left empty."""

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
