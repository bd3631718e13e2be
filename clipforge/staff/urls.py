"""Our own pages of the admin, each under its permission. Django's lists follow them."""

from __future__ import annotations

from django.contrib.admin import AdminSite
from django.urls import URLPattern, path

from clipforge.staff import signing_in


def pages(site: AdminSite) -> list[URLPattern]:
    """`path(route, site.admin_view(view), name=…)`, reversed as `admin:<name>`."""
    factor = "second-factor"
    return [
        # Open to staff who have yet to show the second factor; the others are not.
        path(f"{factor}/", signing_in.verify, name=factor),
        path(f"{factor}/enrol/", signing_in.enrol, name=f"{factor}-enrol"),
        path(f"{factor}/codes/", site.admin_view(signing_in.codes), name=f"{factor}-codes"),
        path(f"{factor}/yours/", site.admin_view(signing_in.own), name=f"{factor}-own"),
        path(
            f"people/<int:pk>/{factor}/reset/",
            site.admin_view(signing_in.reset),
            name=f"{factor}-reset",
        ),
    ]
