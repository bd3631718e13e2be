"""Our own pages of the admin, each under its permission. Django's lists follow them."""

from __future__ import annotations

from django.contrib.admin import AdminSite
from django.urls import URLPattern, path

from clipforge.staff import (
    actions,
    exporting,
    movements,
    organizations,
    rescue_views,
    signing_in,
)
from clipforge.staff.find import find


def pages(site: AdminSite) -> list[URLPattern]:
    """`path(route, site.admin_view(view), name=…)`, reversed as `admin:<name>`."""
    view = site.admin_view
    organization = "organizations/<uuid:pk>/"
    factor = "second-factor"
    return [
        # These two also for staff who have yet to show the second factor.
        path(f"{factor}/", signing_in.verify, name=factor),
        path(f"{factor}/enrol/", signing_in.enrol, name=f"{factor}-enrol"),
        path(f"{factor}/codes/", view(signing_in.codes), name=f"{factor}-codes"),
        path(f"{factor}/yours/", view(signing_in.own), name=f"{factor}-own"),
        path(f"people/<int:pk>/{factor}/reset/", view(signing_in.reset), name=f"{factor}-reset"),
        path("find/", view(find), name="find"),
        # Credits, and who of the staff confirms them.
        path(f"{organization}credits/grant/", view(movements.grant_credits), name="grant-credits"),
        path(
            f"{organization}credits/adjust/", view(movements.adjust_credits), name="adjust-credits"
        ),
        path("credits/requests/", view(movements.movements), name="movements"),
        path("credits/requests/<int:pk>/", view(movements.movement), name="movement"),
        # What staff do to an organization and its keys.
        path(f"{organization}tier/", view(actions.change_tier), name="change-tier"),
        path(f"{organization}limit/", view(actions.override_limit), name="override-limit"),
        path(f"{organization}suspend/", view(actions.suspend), name="suspend"),
        path(f"{organization}restore/", view(actions.restore), name="restore"),
        path(f"{organization}keys/issue/", view(actions.issue_key), name="issue-key"),
        path("keys/<uuid:pk>/revoke/", view(actions.revoke_key), name="revoke-key"),
        path(
            f"{organization}timeline/",
            view(organizations.timeline_view),
            name="organization-timeline",
        ),
        # Work that failed or hangs.
        path("rescue/", view(rescue_views.queue), name="rescue"),
        path("rescue/confirm/", view(rescue_views.confirm), name="rescue-confirm"),
        path("rescue/runs/<uuid:token>/", view(rescue_views.run), name="rescue-run"),
        # Tables to take along.
        path("export/", view(exporting.choose), name="downloads"),
        *(
            path(
                f"export/{sheet.name}.csv",
                view(exporting.export(sheet)),
                name=f"export-{sheet.name}",
            )
            for sheet in (exporting.LEDGER, exporting.PROJECTS, exporting.PAYMENTS)
        ),
    ]
