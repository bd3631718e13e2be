"""The permissions of staff accounts."""

from __future__ import annotations

from typing import Any

from django.apps import apps
from django.contrib import admin
from django.contrib.auth.models import Permission
from django.contrib.contenttypes.models import ContentType
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from clipforge.orgs.models import User
from clipforge.staff.models import StaffPermission


def permissions_of(person: Any) -> QuerySet[Permission]:
    """Permissions by groups and directly, whether or not the account is active."""
    return Permission.objects.filter(Q(group__user=person.pk) | Q(user=person.pk))


def offered_permissions() -> QuerySet[Permission]:
    """Permissions that a role or a person can be given: to view each table, and all that a page asks for.

    Django makes four of every table. To add, change or delete rows of a table without a page is
    asked for nowhere, and the more tables there are, the longer the list would be.
    """
    shown = [model for model in apps.get_models() if admin.site.is_registered(model)]
    types = ContentType.objects.get_for_models(*shown, StaffPermission).values()
    return Permission.objects.filter(Q(content_type__in=types) | Q(codename__startswith="view_"))


def may_edit(request: HttpRequest, person: User) -> bool:
    """Whether the account may do no more than that of the editor, who could else sign in with it."""
    if request.user.is_superuser:
        return True
    beyond = permissions_of(person).exclude(pk__in=permissions_of(request.user).values("pk"))
    return not person.is_superuser and not beyond.exists()
