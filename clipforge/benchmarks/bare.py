"""The service, and beside it the least that a Django view can do: for `benchmarks.request`.

gunicorn serves `clipforge.benchmarks.bare:application`.
"""

from __future__ import annotations

import os

from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "clipforge.settings")
application = get_wsgi_application()

from django.conf import settings  # noqa: E402 - the application first, as for gunicorn
from django.http import HttpRequest, JsonResponse  # noqa: E402
from django.urls import path  # noqa: E402

from clipforge.urls import urlpatterns as ours  # noqa: E402


def bare(request: HttpRequest) -> JsonResponse:  # noqa: ARG001
    return JsonResponse({"available": 100, "held": 0, "posted": 100})


urlpatterns = [path("bare", bare), *ours]
settings.ROOT_URLCONF = __name__
