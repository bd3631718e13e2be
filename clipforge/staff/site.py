"""The site that staff live in: Django's admin, with pages of our own beside its lists."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any

from django.contrib import admin
from django.core.exceptions import PermissionDenied
from django.http import HttpRequest, HttpResponse
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver

View = Callable[..., HttpResponse]


class StaffSite(admin.AdminSite):
    site_title = site_header = "ClipForge"
    index_title = "What is going on"
    enable_nav_sidebar = False
    site_url = None  # there is no other site of ours for people

    def get_urls(self) -> list[URLPattern | URLResolver]:
        # Its views need the registry, which needs this site.
        from clipforge.staff.urls import pages

        return [*pages(self), *super().get_urls()]

    def index(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        """Django's lists, below what is going on, which whoever has a role sees."""
        from clipforge.staff.dashboard import look

        seen = {"seen": look()} if request.user.has_perm("projects.view_project") else {}
        return super().index(request, {**(extra_context or {}), **seen})


def needs(*permissions: str) -> Callable[[View], View]:
    """Let in who has one of the permissions, 403 for the rest. `admin_view` has asked who it is."""

    def decorate(view: View) -> View:
        @wraps(view)
        def guarded(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if not any(request.user.has_perm(name) for name in permissions):
                raise PermissionDenied
            return view(request, *args, **kwargs)

        return guarded

    return decorate


def page(
    request: HttpRequest, template: str, *, title: str, status: int = 200, **context: Any
) -> TemplateResponse:
    """A page of the site, with what each of its templates needs."""
    every = admin.site.each_context(request)
    return TemplateResponse(request, template, {**every, "title": title, **context}, status=status)
