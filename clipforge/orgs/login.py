"""Sign-in to the admin, limited by address and by name, also without Redis."""

from __future__ import annotations

import unicodedata
from typing import Any

from django.conf import settings
from django.contrib import admin
from django.http import HttpRequest, HttpResponse
from django.shortcuts import render
from django_ratelimit.core import get_usage


def limited_login(request: HttpRequest) -> HttpResponse:
    """Django's own login page, or 429 after too many attempts.

    An attempt counts for the address that it comes from and for the name that is tried, so that
    neither one address can try many names nor many addresses one name. Every attempt counts, also a
    right one: a limit that forgave would tell a guesser when he has guessed.
    """
    if request.method == "POST":
        # As the user is found: spaces, case and look-alikes make no other name to guess at.
        typed = unicodedata.normalize("NFKC", request.POST.get("username", ""))
        name = typed.strip().lower()
        if refusal := too_many_attempts(request, group="admin-login", name=name):
            return refusal
    response: HttpResponse = admin.site.login(request)
    return response


def too_many_attempts(request: HttpRequest, *, group: str, name: str) -> HttpResponse | None:
    """Count an attempt of this address and on this name. The answer when there were too many."""
    over = [usage for usage in _usages(request, group, name) if usage["should_limit"]]
    if not over:
        return None
    return _refusal(request, max(1, *(usage["time_left"] for usage in over)))


def _usages(request: HttpRequest, group: str, name: str) -> list[dict[str, Any]]:
    checks = [
        ("ip", settings.LOGIN_RATE_OF_ADDRESS),
        (lambda group, request: name, settings.LOGIN_RATE_OF_NAME),  # noqa: ARG005 - as it is called
    ]
    return [
        get_usage(request, group=group, key=key, rate=rate, increment=True) for key, rate in checks
    ]


def _refusal(request: HttpRequest, seconds: int) -> HttpResponse:
    context = {**admin.site.each_context(request), "minutes": -(-seconds // 60), "title": "Wait"}
    response = render(request, "orgs/login_limited.html", context, status=429)
    response["Retry-After"] = str(seconds)
    return response
