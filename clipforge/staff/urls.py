"""Our own pages of the admin, each under its permission. Django's lists follow them."""

from __future__ import annotations

from django.contrib.admin import AdminSite
from django.urls import URLPattern


def pages(site: AdminSite) -> list[URLPattern]:  # noqa: ARG001 - wraps each view that is added
    """`path(route, site.admin_view(view), name=…)`, reversed as `admin:<name>`."""
    return []
