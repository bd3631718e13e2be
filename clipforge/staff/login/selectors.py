"""The permissions of staff accounts."""

from __future__ import annotations

from typing import Any

from django.contrib.auth.models import Permission
from django.db.models import Q, QuerySet
from django.http import HttpRequest

from clipforge.orgs.models import User


def permissions_of(person: Any) -> QuerySet[Permission]:
    """Permissions by groups and directly, whether or not the account is active."""
    return Permission.objects.filter(Q(group__user=person.pk) | Q(user=person.pk))


def may_edit(request: HttpRequest, person: User) -> bool:
    """Whether the account may do no more than that of the editor, who could else sign in with it."""
    if request.user.is_superuser:
        return True
    beyond = permissions_of(person).exclude(pk__in=permissions_of(request.user).values("pk"))
    return not person.is_superuser and not beyond.exists()
