"""The admin site: Django's, with pages of our own beside its lists and a second factor before all."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import Any, cast

from django.contrib import admin
from django.contrib.auth.views import redirect_to_login
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, reverse

from clipforge.audit.actor import Actor
from clipforge.audit.services import write_entry
from clipforge.orgs.login import too_many_attempts
from clipforge.orgs.models import User
from clipforge.staff.dashboard.views import index_context
from clipforge.staff.login import second_factor
from clipforge.staff.login.forms import SignInForm
from clipforge.staff.login.sessions import lock_current_user

PageUrls = Callable[[admin.AdminSite], list[URLPattern]]


class StaffSite(admin.AdminSite):
    site_title = site_header = "ClipForge"
    index_title = "Dashboard"
    enable_nav_sidebar = False
    login_form = SignInForm
    site_url = None  # there is no other site of ours for people

    def __init__(self, name: str = "admin") -> None:
        super().__init__(name)
        self._page_urls: list[PageUrls] = []

    def add_pages(self, urls: PageUrls) -> None:
        """Put our own pages before Django's lists.

        Called by `clipforge.staff.admin`. The site cannot import the pages itself: they register
        their models with it, and so need it first.
        """
        self._page_urls.append(urls)

    def get_urls(self) -> list[URLPattern | URLResolver]:
        pages = [page for urls in self._page_urls for page in urls(self)]
        # No object has a page outside of the admin that a link could lead to.
        stock = [each for each in super().get_urls() if getattr(each, "name", "") != "view_on_site"]
        return [*pages, *stock]

    def has_permission(self, request: HttpRequest) -> bool:
        return super().has_permission(request) and not second_factor.is_missing(request)

    def admin_view(self, view: Any, cacheable: bool = False) -> Any:
        """Every page asks for the second factor where it is missing. Signing out needs none."""
        guarded = super().admin_view(view, cacheable)

        @wraps(guarded)
        def inner(request: HttpRequest, *args: Any, **kwargs: Any) -> HttpResponse:
            if second_factor.is_missing(request):
                if request.path == reverse("admin:logout"):
                    return self.logout(request)
                return redirect_to_login(request.get_full_path(), reverse("admin:second-factor"))
            response: HttpResponse = guarded(request, *args, **kwargs)
            return response

        return inner

    def login(self, request: HttpRequest, extra_context: Any = None) -> HttpResponse:
        if request.method == "GET" and second_factor.is_missing(request):
            query = request.META["QUERY_STRING"]
            return redirect(f"{reverse('admin:second-factor')}?{query}")
        return super().login(request, extra_context)

    def password_change(self, request: HttpRequest, extra_context: Any = None) -> Any:
        """Change the own password, given the old one: ends all other sessions, leaves an audit row."""
        if request.method == "POST":
            name = str(request.user.pk)
            if refusal := too_many_attempts(request, group="admin-password-change", name=name):
                return refusal
        with transaction.atomic():
            if request.method == "POST":
                lock_current_user(request)
            response = super().password_change(request, extra_context)
            if response.status_code == 302:  # done: Django shows the form again otherwise
                write_entry(
                    actor=Actor.of_request(request),
                    verb="change_password",
                    subject=cast("User", request.user),
                    after={"password": "changed"},
                    reason="their own password",
                )
        return response

    def index(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        """Django's lists, below the dashboard."""
        return super().index(request, {**(extra_context or {}), **index_context(request)})
