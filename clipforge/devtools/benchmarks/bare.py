"""The service, and beside it the least that a Django view can do: for `benchmarks.request`.

`/bare` is behind the middleware of the service, `/alone` behind none. gunicorn serves `clipforge.devtools.benchmarks.bare:application`.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from typing import Any

from django.core.handlers.wsgi import WSGIHandler
from django.core.wsgi import get_wsgi_application

os.environ.setdefault("DJANGO_SETTINGS_MODULE", "clipforge.settings")
service = get_wsgi_application()

from django.conf import settings  # noqa: E402 - the application first, as for gunicorn
from django.http import HttpRequest, JsonResponse  # noqa: E402
from django.urls import path  # noqa: E402

from clipforge.urls import urlpatterns as ours  # noqa: E402


def bare(request: HttpRequest) -> JsonResponse:  # noqa: ARG001
    response = JsonResponse({"available": 100, "held": 0, "posted": 100})
    # Which a middleware adds otherwise: without it gunicorn would answer in chunks.
    response["Content-Length"] = len(response.content)
    return response


urlpatterns = [path("bare", bare), path("alone", bare), *ours]
settings.ROOT_URLCONF = __name__


def _without_middleware() -> WSGIHandler:
    kept, settings.MIDDLEWARE = settings.MIDDLEWARE, []
    try:
        return WSGIHandler()
    finally:
        settings.MIDDLEWARE = kept


alone = _without_middleware()


def application(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    handler = alone if environ["PATH_INFO"] == "/alone" else service
    return handler(environ, start_response)
