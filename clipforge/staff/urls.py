"""Our own pages of the admin, each under its permission. Django's lists follow them."""

from __future__ import annotations

from django.contrib.admin import AdminSite
from django.urls import URLPattern, path

from clipforge.staff import movements


def pages(site: AdminSite) -> list[URLPattern]:
    """`path(route, site.admin_view(view), name=…)`, reversed as `admin:<name>`."""
    view = site.admin_view
    organization = "organizations/<uuid:pk>/"
    return [
        # Credits, and who of the staff confirms them.
        path(f"{organization}credits/grant/", view(movements.grant_credits), name="grant-credits"),
        path(
            f"{organization}credits/adjust/", view(movements.adjust_credits), name="adjust-credits"
        ),
        path("credits/requests/", view(movements.movements), name="movements"),
        path("credits/requests/<int:pk>/", view(movements.movement), name="movement"),
    ]
