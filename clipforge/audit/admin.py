"""The base of every page of the admin that writes, and the page on which the audit is read."""

from __future__ import annotations

from typing import Any, ClassVar, TypeVar

from django.contrib import admin, messages
from django.contrib.admin.helpers import ACTION_CHECKBOX_NAME
from django.contrib.admin.utils import flatten_fieldsets
from django.db import connection
from django.db.models import Model, QuerySet
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.utils.html import format_html, format_html_join

from clipforge.audit.actor import Actor, ActorKind
from clipforge.audit.forms import REASON, ReasonField, ReasonForm, RefusableForm
from clipforge.audit.models import AuditEntry
from clipforge.audit.services import write_entry
from clipforge.common.admin import BigTable, MovedByServices
from clipforge.common.errors import DomainError

M = TypeVar("M", bound=Model)

# Never kept, not even as a hash.
SECRETS = frozenset({"password", "password1", "password2", "digest", "key"})


class AuditedAdmin(admin.ModelAdmin[M]):
    """Asks for a reason with every write, and leaves an audit row for each in its transaction.

    What a service refuses is said on the form, and what was typed stays. Rows are deleted one by
    one; a bulk action of its own starts with `ask_first`. A row is locked before it is looked at to
    be written: Django saves every column as it was read, and would undo what was done meanwhile.
    """

    delete_confirmation_template = "audit/delete_confirmation.html"
    # "add" and "change", where `save_model` calls a service, which leaves the row itself.
    written_by_service: ClassVar[frozenset[str]] = frozenset()

    def get_object(
        self, request: HttpRequest, object_id: str, from_field: str | None = None
    ) -> M | None:
        """Permissions, and the audit's state before, are those of the locked row."""
        found = super().get_object(request, object_id, from_field)
        if found is not None and request.method == "POST" and connection.in_atomic_block:
            locked = self.model._default_manager.select_for_update(no_key=True, of=("self",))
            return locked.filter(pk=found.pk).first()
        return found

    def organization_of(self, obj: M) -> Model | None:
        """The organization whose timeline the row belongs to."""
        organization: Any = AuditEntry._meta.get_field("org").related_model
        related = (getattr(obj, "org", None), getattr(obj, "organization", None), obj)
        found: Model | None = next(
            (each for each in related if isinstance(each, organization)), None
        )
        return found

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
            form.__name__, (RefusableForm, form), {REASON: ReasonField(), "refusal": refusal}
        )

    def get_fieldsets(self, request: HttpRequest, obj: M | None = None) -> Any:
        """The reason is asked for last, and only where the page can be saved."""
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
        reason, verb = form.cleaned_data[REASON], "add" if add else "change"
        changed = [name for name in form.changed_data if name != REASON]
        form.changed_data[:] = changed
        if verb in self.written_by_service:
            return super().construct_change_message(request, form, formsets, add)
        kept = [name for name in changed if name not in SECRETS]
        before = {} if add else {name: _plain(form.initial.get(name)) for name in kept}
        after = {name: _plain(form.cleaned_data.get(name)) for name in kept}
        after.update({name: "changed" for name in changed if name in SECRETS})
        for formset in formsets or ():
            after.update(_of_inline(formset))
        if add or after:  # what is saved a second time changes nothing
            write_entry(
                actor=Actor.of_request(request),
                verb=verb,
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
        """Show a service's refusal of a bulk action above the list. Nothing was written: each action
        is one transaction."""
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
            write_entry(
                actor=Actor.of_request(request),
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
        return TemplateResponse(request, "audit/confirm_action.html", context)


def _of_inline(formset: Any) -> dict[str, Any]:
    """The rows below a form that were added, changed and removed."""
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


@admin.register(AuditEntry)
class AuditEntryAdmin(BigTable, MovedByServices, admin.ModelAdmin[AuditEntry]):
    """The audit, the newest first. Only read: the database refuses every change."""

    list_display = ["created_at", "changed_by", "verb", "object_label", "org", "reason"]
    list_select_related = ["actor", "org"]
    org_field = "org"
    search_fields = ["=object_id", "=request_id", "=actor__email"]
    search_help_text = (
        "The slug or id of an organization, the id of what was changed or of a request "
        "(X-Request-ID), or the address of the person."
    )
    fields = [
        "created_at",
        "changed_by",
        "verb",
        "org",
        "object_type",
        "object_id",
        "object_label",
        "changes",
        "reason",
        "request_id",
        "address",
    ]
    readonly_fields = ["changed_by", "changes"]
    # By id, which is the order of time and has an index over all organizations.
    ordering = ["-id"]
    ordering_of_org = ["-created_at", "-id"]
    narrow_filter = ("actor_kind",)

    @admin.display(description="changed by")
    def changed_by(self, entry: AuditEntry) -> str:
        """The person, or what acted without one; of a command both."""
        if entry.actor_kind == ActorKind.USER:
            return str(entry.actor)
        name = f"{ActorKind(entry.actor_kind).label} {entry.actor_name}"
        person = entry.actor or entry.actor_label
        return f"{name} ({person})" if person else name

    @admin.display(description="before and after")
    def changes(self, entry: AuditEntry) -> str:
        names = list(dict.fromkeys([*entry.before, *entry.after]))
        if not names:
            return "nothing was kept"
        rows = format_html_join(
            "",
            '<tr><th scope="row">{}</th><td>{}</td><td>{}</td></tr>',
            (
                (name.replace("_", " "), *(_shown(side, name) for side in _sides(entry)))
                for name in names
            ),
        )
        return format_html(
            '<table class="cf-change"><thead><tr><th scope="col">What</th><th scope="col">Before</th>'
            '<th scope="col">After</th></tr></thead><tbody>{}</tbody></table>',
            rows,
        )


def _sides(entry: AuditEntry) -> tuple[dict[str, Any], dict[str, Any]]:
    return entry.before, entry.after


def _shown(side: dict[str, Any], name: str) -> str:
    """A value as people read it. A side that does not speak of it is left empty."""
    if name not in side:
        return ""
    value = side[name]
    if value is None or value == "":
        return "none"
    if isinstance(value, bool):
        return "yes" if value else "no"
    if isinstance(value, int):
        return f"{value:,}"
    if isinstance(value, list):
        return ", ".join(str(item) for item in value) or "none"
    return str(value)
