"""Accounts and the groups that carry permissions. Accounts are deactivated, never deleted."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from django.contrib import admin, messages
from django.contrib.admin.utils import unquote
from django.contrib.auth.admin import GroupAdmin, UserAdmin
from django.contrib.auth.forms import AdminPasswordChangeForm
from django.contrib.auth.models import Group, Permission
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.urls import reverse
from django.utils.html import format_html, format_html_join

from clipforge.audit.actor import Actor
from clipforge.audit.admin import AuditedAdmin
from clipforge.audit.forms import ReasonField
from clipforge.common.admin import BigTable, NotDeleted
from clipforge.orgs import services as org_services
from clipforge.orgs.models import User
from clipforge.orgs.selectors import active_keys_issued_by
from clipforge.staff import formatting
from clipforge.staff.login import second_factor
from clipforge.staff.login.selectors import may_edit, offered_permissions, permissions_of

# Fields that only superusers see and set.
SUPERUSER_FIELDS = ("is_superuser", "user_permissions")
# Keys that are listed on the page of the person who issued them.
MOST_KEYS = 50
RIGHTS = ("is_active", "is_staff", "is_superuser", "groups", "user_permissions")


if TYPE_CHECKING:
    _AdminPasswordChangeForm = AdminPasswordChangeForm[User]
else:
    _AdminPasswordChangeForm = AdminPasswordChangeForm


class SetPasswordForm(_AdminPasswordChangeForm):
    audit_reason = ReasonField()

    @property
    def instance(self) -> User:
        """The account that the audit row names."""
        return self.user


@admin.register(User)
class PersonAdmin(BigTable, NotDeleted, AuditedAdmin[User], UserAdmin[User]):
    change_password_form = SetPasswordForm
    add_form_template = "admin/orgs/user/add_form.html"
    change_user_password_template = "admin/orgs/user/change_password.html"  # noqa: S105 - a file
    list_filter = ["is_staff", "groups"]
    search_fields = ["=username", "^username", "email"]
    search_help_text = "The user name or e-mail address, or a part of the address."
    # Django's form leaves the address out, which is unique here: the second user would not be saved.
    add_fieldsets = [
        (
            None,
            {
                "classes": ["wide"],
                "fields": ["username", "email", "usable_password", "password1", "password2"],
            },
        )
    ]
    readonly_fields = ["last_login", "date_joined", "second_factor", "keys", "keys_to_revoke"]

    def has_change_permission(self, request: HttpRequest, obj: User | None = None) -> bool:
        allowed = super().has_change_permission(request, obj)
        return allowed and (obj is None or may_edit(request, obj))

    def get_fieldsets(self, request: HttpRequest, obj: User | None = None) -> Any:
        hidden = set() if request.user.is_superuser else {*SUPERUSER_FIELDS}
        if obj and not self.has_change_permission(request, obj):
            hidden.add("password")  # what is kept of it is nothing to look at
        sets = [
            (title, {**found, "fields": [name for name in found["fields"] if name not in hidden]})
            for title, found in super().get_fieldsets(request, obj)
        ]
        if obj and obj.is_staff:
            sets.insert(1, ("Second factor", {"fields": ["second_factor"]}))
        if (
            obj
            and request.user.has_perm("orgs.view_apikey")
            and active_keys_issued_by(obj).exists()
        ):
            revokes = request.user.has_perm("staff.manage_keys")
            shown = "keys_to_revoke" if revokes else "keys"
            sets.insert(1, ("Keys that they issued", {"fields": [shown]}))
        return sets

    @admin.display(description="phone")
    def second_factor(self, person: User) -> str:
        device = second_factor.device_of(person)
        if device is None:
            return "None. They set one up when they sign in."
        left = second_factor.recovery_codes_left(person)
        return f"Set up {formatting.moment(device.created_at)}, {left} recovery codes left."

    @admin.display(description="still work")
    def keys(self, person: User) -> str:
        return _links_to_keys(person, "admin:orgs_apikey_change", "")

    @admin.display(description="still work")
    def keys_to_revoke(self, person: User) -> str:
        """Links to the pages that revoke the keys."""
        return _links_to_keys(person, "admin:revoke-key", "Revoke ")

    def get_readonly_fields(self, request: HttpRequest, obj: User | None = None) -> Any:
        """Rights of the own account are only shown: staff can neither raise them nor lock themselves out."""
        found = super().get_readonly_fields(request, obj)
        return [*found, *RIGHTS] if obj == request.user else found

    def lookup_allowed(self, lookup: str, value: Any, request: HttpRequest) -> bool:
        if not request.user.is_superuser and lookup.startswith(SUPERUSER_FIELDS):
            return False
        return super().lookup_allowed(lookup, value, request)

    def formfield_for_manytomany(self, db_field: Any, request: Any, **options: Any) -> Any:
        """Offer only groups that may do no more than the editor, and permissions that are asked for."""
        if db_field.name == "groups" and not request.user.is_superuser:
            beyond = Permission.objects.exclude(pk__in=permissions_of(request.user).values("pk"))
            options["queryset"] = Group.objects.exclude(permissions__in=beyond)
        elif db_field.name == "user_permissions":
            options["queryset"] = offered_permissions()
        return super().formfield_for_manytomany(db_field, request, **options)

    def save_model(self, request: HttpRequest, obj: User, form: Any, change: bool) -> None:
        super().save_model(request, obj, form, change)
        if "is_active" in form.changed_data and not obj.is_active:
            # For good: an account that comes back does not bring its sessions back.
            org_services.end_sessions(user=obj, actor=Actor.of_request(request))
            if count := active_keys_issued_by(obj).count():
                text = '{} issued {} API keys that still work: <a href="{}">see to them</a>.'
                page = reverse("admin:orgs_user_change", args=[obj.pk])
                messages.warning(request, format_html(text, obj, count, page))

    def user_change_password(
        self,
        request: HttpRequest,
        id: str,  # noqa: A002 - as the route names it
        form_url: str = "",
    ) -> HttpResponse:
        """Set the password of another account. The own one is changed where the old one is asked for."""
        with transaction.atomic():
            if self.get_object(request, unquote(id)) == request.user:
                return redirect("admin:password_change")
            response: HttpResponse = super().user_change_password(request, id, form_url)
        return response


def _links_to_keys(person: User, page: str, verb: str) -> str:
    found = active_keys_issued_by(person).select_related("organization")[:MOST_KEYS]
    rows = ((reverse(page, args=[key.pk]), verb, key, key.organization) for key in found)
    return format_html_join("", '<div><a href="{}">{}{}</a> of {}</div>', rows)


admin.site.unregister(Group)


@admin.register(Group)
class RoleAdmin(NotDeleted, AuditedAdmin[Group], GroupAdmin):
    """Only superusers see and change groups: to change the permissions of a role is to hold them all."""

    def has_view_permission(self, request: HttpRequest, obj: Group | None = None) -> bool:
        return bool(request.user.is_active and request.user.is_superuser)

    has_change_permission = has_view_permission

    def has_add_permission(self, request: HttpRequest) -> bool:
        return self.has_view_permission(request)

    has_module_permission = has_add_permission

    def formfield_for_manytomany(self, db_field: Any, request: Any = None, **options: Any) -> Any:
        if db_field.name == "permissions":
            options["queryset"] = offered_permissions()
        return super().formfield_for_manytomany(db_field, request, **options)
