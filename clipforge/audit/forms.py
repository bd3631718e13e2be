"""The reason that every form of staff asks for."""

from __future__ import annotations

from typing import Any

from django import forms

from clipforge.audit.services import SHORTEST_REASON

# The field that pages of the admin add to their forms.
REASON = "audit_reason"


class ReasonField(forms.CharField):
    """Why something is changed, as the audit keeps it."""

    def __init__(self, **options: Any) -> None:
        defaults: dict[str, Any] = {
            "label": "Reason",
            "min_length": SHORTEST_REASON,
            "max_length": 1000,
            "widget": forms.Textarea(attrs={"rows": 2, "class": "vLargeTextField"}),
            "help_text": f"At least {SHORTEST_REASON} characters. Kept with your name in the audit, for ever.",
        }
        super().__init__(**{**defaults, **options})


class ReasonForm(forms.Form):
    """The form of a page that needs nothing but the reason."""

    audit_reason = ReasonField()


class RefusableForm(forms.BaseForm):
    """Shows what the service refused beside what was typed."""

    refusal = ""

    def clean(self) -> Any:
        cleaned = super().clean()
        if self.refusal:
            raise forms.ValidationError(self.refusal)
        return cleaned
