"""Every route of ClipForge."""

from django.conf import settings
from django.contrib import admin
from django.urls import URLPattern, URLResolver, include, path
from django.views.decorators.gzip import gzip_page
from django.views.decorators.http import conditional_page
from drf_spectacular.views import SpectacularAPIView, SpectacularSwaggerSplitView

from billing.api.urls import webhook_urlpatterns
from clipforge.common.api import health
from clipforge.orgs.login import limited_login
from exports.api.urls import file_urlpatterns
from projects.api.urls import file_urlpatterns as picture_urlpatterns

api: list[URLPattern | URLResolver] = [
    path("", include("clipforge.orgs.api.urls")),
    path("", include("credits.api.urls")),
    path("", include("projects.api.urls")),
    path("", include("exports.api.urls")),
    path("", include("billing.api.urls")),
    path("", include("clipforge.events.api.urls")),
    # Long, and the same for everybody until the next release.
    path("schema", gzip_page(conditional_page(SpectacularAPIView.as_view())), name="schema"),
    # Its only renderer is a template, which has nothing to say to OPTIONS. Its script is a request of
    # its own, as the content security policy wants it.
    path(
        "docs",
        SpectacularSwaggerSplitView.as_view(
            url_name="schema", template_name="common/docs.html", metadata_class=None
        ),
        name="docs",
    ),
]

pages = settings.PAGES_PATH.lstrip("/")

urlpatterns = [
    path("health", health.ready, name="health"),
    path("health/live", health.live, name="health-live"),
    path("health/ready", health.ready, name="health-ready"),
    path("api/v1/", include(api)),
    path("", include(file_urlpatterns)),
    path("", include(picture_urlpatterns)),
    path(f"{pages}login/", limited_login, name="admin-login"),
    path("", include(webhook_urlpatterns)),
    path(pages, admin.site.urls),
]

handler400 = "clipforge.common.api.problems.bad_request"
handler404 = "clipforge.common.api.problems.not_found"
handler500 = "clipforge.common.api.problems.server_error"
