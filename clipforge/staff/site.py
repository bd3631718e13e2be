"""The site that staff live in: Django's admin, with pages of our own beside its lists."""

from __future__ import annotations

from collections.abc import Callable
from functools import wraps
from typing import TYPE_CHECKING, Any, cast

from django.contrib import admin
from django.contrib.auth import HASH_SESSION_KEY, get_user_model
from django.contrib.auth.views import redirect_to_login
from django.core.exceptions import PermissionDenied
from django.db import transaction
from django.http import HttpRequest, HttpResponse
from django.shortcuts import redirect
from django.template.response import TemplateResponse
from django.urls import URLPattern, URLResolver, reverse

from clipforge.orgs.audit import record_staff_action
from clipforge.orgs.login import too_many_attempts
from clipforge.staff.login import second_factor
from clipforge.staff.login.credentials import SignInForm

if TYPE_CHECKING:
    from clipforge.orgs.models import User

View = Callable[..., HttpResponse]


class StaffSite(admin.AdminSite):
    site_title = site_header = "ClipForge"
    index_title = "What is going on"
    enable_nav_sidebar = False
    login_form = SignInForm
    site_url = None  # there is no other site of ours for people

    def get_urls(self) -> list[URLPattern | URLResolver]:
        # Its views need the registry, which needs this site.
        from clipforge.staff.urls import pages

        # Nothing has a page outside of the admin that a link could lead to.
        stock = [each for each in super().get_urls() if getattr(each, "name", "") != "view_on_site"]
        return [*pages(self), *stock]

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
        """One's own, for the old one. Ends all other sessions, and leaves an audit row."""
        if request.method == "POST":
            name = str(request.user.pk)
            if refusal := too_many_attempts(request, group="admin-password-change", name=name):
                return refusal
        with transaction.atomic():
            if request.method == "POST":
                lock_oneself(request)
            response = super().password_change(request, extra_context)
            if response.status_code == 302:  # done: Django shows the form again otherwise
                record_staff_action(
                    request=request,
                    verb="change_password",
                    subject=cast("User", request.user),
                    after={"password": "changed"},
                    reason="their own password",
                )
        return response

    def index(
        self, request: HttpRequest, extra_context: dict[str, Any] | None = None
    ) -> TemplateResponse:
        """Django's lists, below what is going on, which whoever has a role sees."""
        from clipforge.staff.dashboard.views import look

        may = request.user.has_perm
        seen = {"seen": look(may=may)} if may("projects.view_project") else {}
        return super().index(request, {**(extra_context or {}), **seen})


def lock_oneself(request: HttpRequest) -> None:
    """Lock the row of whoever is signed in, as it is now, until the transaction ends.

    Raises PermissionDenied when the session has ended since the request came: what changes how
    one signs in would else undo that, or let the session go on.
    """
    person = cast("User", request.user)
    person.refresh_from_db(from_queryset=get_user_model().objects.select_for_update(no_key=True))
    is_same = request.session.get(HASH_SESSION_KEY) == person.get_session_auth_hash()
    if not (is_same and person.is_active and person.is_staff):
        raise PermissionDenied


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
