"""The forms by which staff prove who they are."""

from __future__ import annotations

from typing import Any

from django import forms
from django.contrib.admin.forms import AdminAuthenticationForm


class SignInForm(AdminAuthenticationForm):
    error_messages = {
        **AdminAuthenticationForm.error_messages,
        "invalid_login": (
            "This user name and password are not those of a staff account. Both are case-sensitive."
        ),
    }


def code_field(label: str, *, required: str, **attributes: Any) -> forms.CharField:
    """A code as it is typed: wide enough for spaces and hyphens, and known to password managers."""
    return forms.CharField(
        label=label,
        max_length=20,
        error_messages={"required": required},
        widget=forms.TextInput(attrs={"autocomplete": "one-time-code", "size": 12, **attributes}),
    )


class CodeForm(forms.Form):
    code = code_field(
        "Code of your authenticator app",
        required="Type the six digits that your authenticator app shows for ClipForge.",
        inputmode="numeric",
        autofocus=True,
    )


class RecoveryForm(forms.Form):
    recovery_code = code_field(
        "Recovery code",
        required="Type one of your recovery codes, as in abcd-efgh.",
        autocomplete="off",
        autocapitalize="none",
        spellcheck="false",
    )


class SetUpForm(forms.Form):
    code = code_field(
        "The code that it shows now",
        required="Type the six digits that the app shows for ClipForge.",
        inputmode="numeric",
    )


class CurrentForm(forms.Form):
    """The present code, to change the second factor; a recovery code will do without the phone."""

    current = code_field(
        "A code of your present app, or a recovery code",
        required="Type a code of the app that you have now, or a recovery code.",
    )


class ReplaceForm(CurrentForm, SetUpForm):
    field_order = ["code", "current"]
