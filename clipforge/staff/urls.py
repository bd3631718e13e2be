"""Our own pages of the admin, each under its permission. Django's lists follow them."""

from __future__ import annotations

from django.contrib.admin import AdminSite
from django.urls import URLPattern, path

from clipforge.staff.approvals import job_refunds, payment_refunds
from clipforge.staff.approvals import views as approval_views
from clipforge.staff.customers import tables as customer_tables
from clipforge.staff.customers import views as customer_views
from clipforge.staff.downloads import views as download_views
from clipforge.staff.downloads.selectors import SHEETS
from clipforge.staff.earnings import tables as earning_tables
from clipforge.staff.earnings import views as earning_views
from clipforge.staff.glossary.views import glossary
from clipforge.staff.login import views as login_views
from clipforge.staff.organizations import actions, endpoint_actions, key_actions, notes
from clipforge.staff.organizations import views as organization_views
from clipforge.staff.search.views import find
from clipforge.staff.videos import views as video_views
from clipforge.staff.work import views as work_views


def page_urls(site: AdminSite) -> list[URLPattern]:
    """`path(route, site.admin_view(view), name=…)`, reversed as `admin:<name>`."""
    view = site.admin_view
    organization = "organizations/<uuid:pk>/"
    factor = "second-factor"
    return [
        # These two also for staff who have yet to show the second factor.
        path(f"{factor}/", login_views.verify, name=factor),
        path(f"{factor}/enrol/", login_views.enrol, name=f"{factor}-enrol"),
        path(f"{factor}/codes/", view(login_views.codes), name=f"{factor}-codes"),
        path(f"{factor}/yours/", view(login_views.own), name=f"{factor}-own"),
        path(f"people/<int:pk>/{factor}/reset/", view(login_views.reset), name=f"{factor}-reset"),
        path("find/", view(find), name="find"),
        path("words/", view(glossary), name="glossary"),
        # Credits, and who of the staff confirms them.
        path(
            f"{organization}credits/grant/",
            view(approval_views.grant_credits),
            name="grant-credits",
        ),
        path(
            f"{organization}credits/adjust/",
            view(approval_views.adjust_credits),
            name="adjust-credits",
        ),
        path("jobs/<uuid:pk>/refund/", view(job_refunds.refund_job), name="refund-job"),
        path(
            "payments/<uuid:pk>/refund/",
            view(payment_refunds.refund_payment),
            name="refund-payment",
        ),
        path("credits/requests/", view(approval_views.approvals), name="approvals"),
        path("credits/requests/<int:pk>/", view(approval_views.approval), name="approval"),
        # What staff note of an organization, and do to it and its keys.
        path(f"{organization}notes/", view(notes.organization_notes), name="organization-notes"),
        path("notes/<int:pk>/pin/", view(notes.pin), name="pin-note"),
        path(f"{organization}tier/", view(actions.change_tier), name="change-tier"),
        path(f"{organization}limit/", view(actions.override_limit), name="override-limit"),
        path(f"{organization}suspend/", view(actions.suspend), name="suspend"),
        path(f"{organization}restore/", view(actions.restore), name="restore"),
        path(f"{organization}keys/issue/", view(key_actions.issue_key), name="issue-key"),
        path("keys/<uuid:pk>/rotate/", view(key_actions.rotate_key), name="rotate-key"),
        path("keys/<uuid:pk>/limit/", view(key_actions.limit_key), name="limit-key"),
        path("keys/<uuid:pk>/revoke/", view(key_actions.revoke_key), name="revoke-key"),
        path(f"{organization}origins/", view(key_actions.allow_origins), name="allow-origins"),
        path(
            f"{organization}webhooks/add/",
            view(endpoint_actions.add_endpoint),
            name="add-endpoint",
        ),
        path(
            "webhooks/<uuid:pk>/change/",
            view(endpoint_actions.change_endpoint),
            name="change-endpoint",
        ),
        path(
            "webhooks/<uuid:pk>/rotate/",
            view(endpoint_actions.rotate_endpoint),
            name="rotate-endpoint",
        ),
        path(
            f"{organization}timeline/",
            view(organization_views.timeline_page),
            name="organization-timeline",
        ),
        # Videos, once they were opened with a reason.
        path("videos/<uuid:pk>/watch/", view(video_views.watch), name="watch-video"),
        path("videos/<uuid:pk>/curves.svg", view(video_views.curves_drawn), name="video-curves"),
        path(
            "videos/<uuid:pk>/files/<str:name>",
            view(video_views.project_file),
            name="video-file",
        ),
        path(
            "videos/moments/<uuid:pk>/files/<str:name>",
            view(video_views.moment_file),
            name="moment-file",
        ),
        path(
            "videos/exports/<uuid:pk>/files/<str:name>",
            view(video_views.export_file),
            name="export-file",
        ),
        # Work that failed or hangs.
        path("rescue/", view(work_views.queue), name="rescue"),
        path("rescue/confirm/", view(work_views.confirm), name="rescue-confirm"),
        path("rescue/runs/<uuid:token>/", view(work_views.run), name="rescue-run"),
        # What the business earns.
        path("business/", view(earning_views.business), name="business"),
        *(
            path(
                f"business/{name}.csv",
                view(earning_views.download(name)),
                name=f"business-{name}",
            )
            for name in earning_tables.TABLES
        ),
        # Who is refused, whose work fails, and what it costs.
        path("customers/", view(customer_views.customers), name="customers"),
        *(
            path(
                f"customers/{name}.csv",
                view(customer_views.download(name)),
                name=f"customers-{name}",
            )
            for name in customer_tables.TABLES
        ),
        path(
            f"{organization}health/",
            view(customer_views.health),
            name="organization-health",
        ),
        # Tables to take along.
        path("export/", view(download_views.choose), name="downloads"),
        *(
            path(
                f"export/{sheet.name}.csv",
                view(download_views.export(sheet)),
                name=f"export-{sheet.name}",
            )
            for sheet in SHEETS
        ),
    ]
