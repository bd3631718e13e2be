"""Staff for tests: with a role, a password and a phone."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from functools import cache
from typing import Any

from django.conf import settings
from django.contrib.auth.hashers import make_password
from django.contrib.auth.models import Group, Permission
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.test import Client
from django.utils.module_loading import import_string
from django_otp import DEVICE_ID_SESSION_KEY
from django_otp.oath import TOTP
from django_otp.plugins.otp_totp.models import TOTPDevice

from clipforge.devtools.testing.factories import make_user
from clipforge.orgs.models import User
from clipforge.staff.login import second_factor

PASSWORD = "correct horse battery"


class unrendered:  # noqa: N801 - a middleware, named in settings
    """Answers pages made of templates without making them: status and headers are what they are."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        return self.get_response(request)

    def process_template_response(
        self,
        request: HttpRequest,  # noqa: ARG002 - as it is called
        response: TemplateResponse,
    ) -> TemplateResponse:
        response.content = b""  # and so it counts as rendered
        return response


def make_staff(role: str = "", *, permissions: Iterable[str] = (), **overrides: Any) -> User:
    """One of the staff: of a group, `superuser`, or of no group; and whatever else they may do.

    Signs in with PASSWORD.
    """
    overrides.setdefault("is_superuser", role == "superuser")
    user = make_user(is_staff=True, password=_hashed(settings.PASSWORD_HASHERS[0]), **overrides)
    if role and role != "superuser":
        user.groups.add(Group.objects.get(name=role))
    for name in permissions:
        label, _, codename = name.partition(".")
        user.user_permissions.add(
            Permission.objects.get(content_type__app_label=label, codename=codename)
        )
    return user


@cache
def _hashed(hasher: str) -> str:
    """Once: it is slow on purpose, and is what it is for all of them."""
    return make_password(PASSWORD, hasher=import_string(hasher).algorithm)


def phone_of(user: User) -> TOTPDevice:
    """Their second factor, made when they have none."""
    defaults = {"name": "phone", "key": second_factor.new_secret()}
    return TOTPDevice.objects.get_or_create(user=user, defaults=defaults)[0]


def code_of(secret: str, *, steps: int = 0) -> str:
    """The code of the secret now, or `later` half minutes from now."""
    totp = TOTP(bytes.fromhex(secret), drift=steps)
    totp.time = time.time()
    return f"{totp.token():06}"


def signed_in(user: User) -> Client:
    """A browser in which the person has signed in and shown the second factor."""
    client = Client()
    client.force_login(user)
    session = client.session
    session[DEVICE_ID_SESSION_KEY] = phone_of(user).persistent_id
    session.save()
    return client
