"""What staff did: one row a write, in the transaction of the write.

Rows can be read by staff and changed by nobody; `StaffAction` says what is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeVar, cast

from django import forms
from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import flatten_fieldsets
from django.db import connection
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse

from clipforge.common import logs
from clipforge.common.addresses import client_address
from clipforge.common.errors import DomainError, Invalid
from clipforge.orgs.models import Organization, StaffAction, User

M = TypeVar("M", bound=Model)

# Characters. Shorter than this says nothing: "ok", "asked".
SHORTEST_REASON = 10
REASON = "audit_reason"
# Never kept, not even as a hash.
SECRETS = frozenset({"password", "password1", "password2", "digest", "key"})


def record_staff_action(
    *,
    request: HttpRequest,
    verb: str,
    subject: Model,
    org: Organization | None = None,
    before: Mapping[str, Any] | None = None,
    after: Mapping[str, Any] | None = None,
    reason: str,
) -> StaffAction:
    """Write down what the signed-in person did to `subject`. Call it in the transaction of the write.

    `before` and `after` hold only what changed. Raises Invalid when the reason says too little.
    """
    return StaffAction.objects.create(
        actor=cast("User", request.user),
        org=org,
        verb=verb,
        object_type=subject._meta.label_lower,
        object_id=str(subject.pk),
        object_label=str(subject)[:200],
        before=dict(before or {}),
        after=dict(after or {}),
        reason=sufficient_reason(reason),
        request_id=logs.context().get("request_id", ""),
        address=client_address(request),
    )


def actor_of(user: Any) -> str:
    """One of the staff, as services, the ledger and the log name them."""
    return f"user:{user.pk}"


def sufficient_reason(reason: str) -> str:
    """The reason without the space around it. Raises Invalid when it says too little."""
    reason = reason.strip()
    if len(reason) < SHORTEST_REASON:
        raise Invalid(
            f"Give a reason of at least {SHORTEST_REASON} characters: "
            "whoever reads it in a year has only this sentence."
        )
    return reason


class ReasonField(forms.CharField):
    """Why, for whoever reads it later."""

    def __init__(self, **options: Any) -> None:
        defaults: dict[str, Any] = {
            "label": "Reason",
            "min_length": SHORTEST_REASON,
            "max_length": 1000,
            "widget": forms.Textarea(attrs={"rows": 2, "class": "vLargeTextField"}),
            "help_text": "Kept with your name in the audit, for ever.",
        }
        super().__init__(**{**defaults, **options})


class ReasonForm(forms.Form):
    """What a page asks that needs nothing else."""

    audit_reason = ReasonField()


class Refusable(forms.BaseForm):
    """Shows what the service refused beside what was typed."""

    refusal = ""

    def clean(self) -> Any:
        cleaned = super().clean()
        if self.refusal:
            raise forms.ValidationError(self.refusal)
        return cleaned


class AuditedAdmin(admin.ModelAdmin[M]):
    """Asks for a reason with every write, and leaves an audit row for each in its transaction.

    What a service refuses is said on the form, and what was typed stays. Rows are deleted one by
    one; a bulk action of its own starts with `ask_first`. A row is locked before it is looked at to
    be written: Django saves every column as it was read, and would undo what was done meanwhile.
    """

    delete_confirmation_template = "orgs/delete_confirmation.html"

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> M | None:
        """Who may write it, and what the audit says was there before, is asked of the locked row."""
        found = super().get_object(request, object_id, from_field)
        if found is not None and request.method == "POST" and connection.in_atomic_block:
            locked = self.model._default_manager.select_for_update(no_key=True, of=("self",))
            return locked.filter(pk=found.pk).first()
        return found

    def organization_of(self, obj: M) -> Organization | None:
        """Whose timeline the row belongs to."""
        for name in ("org", "organization"):
            if isinstance(found := getattr(obj, name, None), Organization):
                return found
        return obj if isinstance(obj, Organization) else None

    def get_form(
        self, request: HttpRequest, obj: M | None = None, change: bool = False, **options: Any
    ) -> Any:
        if "fields" not in options:
            options["fields"] = flatten_fieldsets(self.get_fieldsets(request, obj))
        if options["fields"] is not None:
            options["fields"] = [name for name in options["fields"] if name != REASON]
        form: Any = super().get_form(request, obj, change=change, **options)
        refusal = getattr(request, "refusal", "")
        return type(form)(
            form.__name__, (Refusable, form), {REASON: ReasonField(), "refusal": refusal}
        )

    def get_fieldsets(self, request: HttpRequest, obj: M | None = None) -> Any:
        """The reason is asked for last, of whoever may save."""
        sets = [
            (title, {**found, "fields": [name for name in found["fields"] if name != REASON]})
            for title, found in super().get_fieldsets(request, obj)
        ]
        may_save = (
            self.has_change_permission(request, obj) if obj else self.has_add_permission(request)
        )
        return [*sets, (None, {"fields": [REASON]})] if may_save else sets

    def construct_change_message(
        self, request: HttpRequest, form: Any, formsets: Any, add: bool = False
    ) -> Any:
        """Django asks what changed when all is saved, in the transaction that saved it."""
        reason = form.cleaned_data[REASON]
        changed = [name for name in form.changed_data if name != REASON]
        form.changed_data[:] = changed
        kept = [name for name in changed if name not in SECRETS]
        before = {} if add else {name: _plain(form.initial.get(name)) for name in kept}
        after = {name: _plain(form.cleaned_data.get(name)) for name in kept}
        after.update({name: "changed" for name in changed if name in SECRETS})
        for formset in formsets or ():
            after.update(_of_inline(formset))
        if add or after:  # what is saved a second time changes nothing
            record_staff_action(
                request=request,
                verb="add" if add else "change",
                subject=form.instance,
                org=self.organization_of(form.instance),
                before=before,
                after=after,
                reason=reason,
            )
        return super().construct_change_message(request, form, formsets, add)

    def changeform_view(
        self,
        request: HttpRequest,
        object_id: str | None = None,
        form_url: str = "",
        extra_context: Any = None,
    ) -> Any:
        try:
            return super().changeform_view(request, object_id, form_url, extra_context)
        except DomainError as error:
            # Nothing was written. The same form again, which says so and cannot be saved.
            request.refusal = error.message  # type: ignore[attr-defined]
            return super().changeform_view(request, object_id, form_url, extra_context)

    def changelist_view(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        """What a service refuses of a bulk action is said above the list. Nothing was written: each
        action is one transaction."""
        try:
            return super().changelist_view(request, extra_context)
        except DomainError as error:
            if request.method != "POST":
                raise
            self.message_user(request, f"{error.message} Nothing was changed.", messages.ERROR)
            return redirect(request.get_full_path())

    def get_actions(self, request: HttpRequest) -> Any:
        """Without Django's own, which deletes many and asks for no reason."""
        actions = super().get_actions(request)
        actions.pop("delete_selected", None)
        return actions

    def delete_view(
        self, request: HttpRequest, object_id: str, extra_context: Any = None
    ) -> HttpResponse:
        form = ReasonForm(request.POST if request.method == "POST" else None)
        is_sent = form.is_bound and self.has_delete_permission(request)
        if is_sent and not form.is_valid():
            said = " ".join(str(error) for error in form.errors[REASON])
            messages.error(request, f"{said} Nothing was deleted.")
            return redirect(request.path)
        context = {"reason": form, **(extra_context or {})}
        return super().delete_view(request, object_id, context)

    def log_deletions(self, request: HttpRequest, queryset: Any) -> Any:
        """Called in the transaction of `delete_view`, before it deletes."""
        for row in queryset:
            fields = [field for field in row._meta.concrete_fields if field.name not in SECRETS]
            record_staff_action(
                request=request,
                verb="delete",
                subject=row,
                org=self.organization_of(row),
                before={field.name: _plain(getattr(row, field.name)) for field in fields},
                reason=request.POST.get(REASON, ""),
            )
        return super().log_deletions(request, queryset)

    def ask_first(
        self, request: HttpRequest, queryset: QuerySet[M], *, action: str, title: str, says: str
    ) -> str | HttpResponse:
        """The reason for a bulk action; or the page that asks for it and lists what is chosen."""
        form = ReasonForm(request.POST if "confirmed" in request.POST else None)
        if form.is_valid():
            return str(form.cleaned_data[REASON])
        context = {
            **self.admin_site.each_context(request),
            "title": title,
            "opts": self.opts,
            "form": form,
            "rows": queryset,
            "says": says,
            "action": action,
            "box": ACTION_CHECKBOX_NAME,
        }
        return TemplateResponse(request, "orgs/confirm_action.html", context)


def _of_inline(formset: Any) -> dict[str, Any]:
    """What was added, changed and removed in the rows below a form."""
    name = formset.model._meta.verbose_name_plural
    found = {
        "added": [str(row) for row in formset.new_objects],
        "changed": [str(row) for row, _ in formset.changed_objects],
        "removed": [str(row) for row in formset.deleted_objects],
    }
    return {f"{name} {what}": rows for what, rows in found.items() if rows}


def _plain(value: Any) -> Any:
    """As JSON keeps it: a row by its name, rows by their names."""
    if isinstance(value, Model):
        return str(value)
    if isinstance(value, (list, tuple, set)) or hasattr(value, "iterator"):
        return [_plain(item) for item in value]
    return value if isinstance(value, (str, int, float, bool, type(None))) else str(value)
