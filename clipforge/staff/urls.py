"""Our own pages of the admin, each under its permission. Django's lists follow them."""

from __future__ import annotations

from django.contrib.admin import AdminSite
from django.urls import URLPattern, path

from clipforge.staff import rescue_views


def pages(site: AdminSite) -> list[URLPattern]:
    """`path(route, site.admin_view(view), name=…)`, reversed as `admin:<name>`."""
    return [
        path("rescue/", site.admin_view(rescue_views.queue), name="rescue"),
        path("rescue/confirm/", site.admin_view(rescue_views.confirm), name="rescue-confirm"),
        path("rescue/runs/<uuid:token>/", site.admin_view(rescue_views.run), name="rescue-run"),
    ]
