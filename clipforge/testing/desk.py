"""A member of staff at the pages of the admin, as tests drive them."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from django.contrib.auth.models import Group, Permission
from django.test import Client

from clipforge.testing.factories import make_user

if TYPE_CHECKING:
    from clipforge.orgs.models import User

HIDDEN = re.compile(r'<input type="hidden" name="([\w-]+)" value="([^"]*)"')
REASON = "asked for in writing"


def make_staff(*permissions: str, role: str = "") -> User:
    """Somebody of the staff with these permissions, or those of a role."""
    user = make_user(is_staff=True)
    for name in permissions:
        label, _, codename = name.partition(".")
        user.user_permissions.add(
            Permission.objects.get(content_type__app_label=label, codename=codename)
        )
    if role:
        user.groups.add(Group.objects.get(name=role))
    return user


def client_of_staff(user: User) -> Client:
    client = Client()
    client.force_login(user)
    return client


def at_desk(*permissions: str) -> Client:
    """A client that is signed in as somebody with these permissions."""
    return client_of_staff(make_staff(*permissions))


def hidden_fields(answer: Any) -> dict[str, str]:
    """What the form on a page carries unseen; the CSRF token, which tests need not send, is left out."""
    found = dict(HIDDEN.findall(answer.content.decode()))
    found.pop("csrfmiddlewaretoken", None)
    return found


def open_form(client: Client, url: str, /, **fields: Any) -> dict[str, Any]:
    """What a person sends who opens the form and fills it in."""
    answer = client.get(url)
    assert answer.status_code == 200, answer.content.decode()[:2000]
    return {**hidden_fields(answer), "reason": REASON, **fields}
