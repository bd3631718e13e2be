"""Our own pages of the admin, each under its permission. Django's lists follow them."""

from __future__ import annotations

from django.contrib.admin import AdminSite
from django.urls import URLPattern, path

from clipforge.staff import exporting
from clipforge.staff.find import find


def pages(site: AdminSite) -> list[URLPattern]:
    """`path(route, site.admin_view(view), name=…)`, reversed as `admin:<name>`."""
    return [
        path("find/", site.admin_view(find), name="find"),
        path("export/", site.admin_view(exporting.choose), name="exports"),
        *(
            path(
                f"export/{sheet.name}.csv",
                site.admin_view(exporting.export(sheet)),
                name=f"export-{sheet.name}",
            )
            for sheet in (exporting.LEDGER, exporting.PROJECTS, exporting.PAYMENTS)
        ),
    ]
