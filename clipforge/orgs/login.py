"""Signing in to the admin, for people: limited by address and by name, whatever becomes of Redis."""

from __future__ import annotations

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
        over = [usage for usage in _usages(request) if usage["should_limit"]]
        if over:
            seconds = max(1, *(usage["time_left"] for usage in over))
            return _refusal(request, seconds)
    response: HttpResponse = admin.site.login(request)
    return response


def _usages(request: HttpRequest) -> list[dict[str, Any]]:
    checks = [
        ("ip", settings.LOGIN_RATE_OF_ADDRESS),
        (_name_tried, settings.LOGIN_RATE_OF_NAME),
    ]
    return [
        get_usage(request, group="admin-login", key=key, rate=rate, increment=True)
        for key, rate in checks
    ]


def _name_tried(group: str, request: HttpRequest) -> str:  # noqa: ARG001 - django-ratelimit's signature
    """As the user is found: spaces and case make no other name to guess at."""
    return request.POST.get("username", "").strip().lower()


def _refusal(request: HttpRequest, seconds: int) -> HttpResponse:
    context = {**admin.site.each_context(request), "minutes": -(-seconds // 60), "title": "Wait"}
    response = render(request, "orgs/login_limited.html", context, status=429)
    response["Retry-After"] = str(seconds)
    return response
