"""The outermost layers: a request id and a policy on every answer, and one log line a request."""

from __future__ import annotations

import logging
import re
import time
from collections.abc import Callable
from typing import cast

from csp.constants import HEADER
from csp.middleware import CSPMiddleware
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase

from clipforge.common import error_tracking, logs, telemetry
from clipforge.common.models import uuid7
from clipforge.common.pages import is_page
from clipforge.common.waiting import is_parked

logger = logging.getLogger("clipforge.access")

# A client may choose its own id; anything else is replaced, so that logs cannot be forged.
ACCEPTABLE_ID = re.compile(r"[A-Za-z0-9-]{8,64}")


class RequestLogMiddleware:
    """Gives the request its id and logs one line about its answer.

    A client may choose the id, but not for a page: the audit keeps the id of a request of staff.
    """

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponse]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponse:
        # Not `request.headers`, which reads all of them.
        offered = request.META.get("HTTP_X_REQUEST_ID", "")
        is_taken = ACCEPTABLE_ID.fullmatch(offered) and not is_page(request)
        request_id = offered if is_taken else str(uuid7())
        logs.start_context(request_id=request_id)
        started = time.perf_counter()
        response: HttpResponse
        if error_tracking.is_sampled():
            response = error_tracking.traced(self.get_response, request)
        else:
            response = self.get_response(request)
        response["X-Request-ID"] = request_id
        if response.status_code == 304 and is_parked(response):
            return response  # not an answer yet
        match = request.resolver_match
        route = match.view_name if match else None
        if telemetry.recorder:
            seconds = time.perf_counter() - started
            telemetry.recorder.request(request.method, route, response.status_code, seconds)
        if logger.isEnabledFor(logging.INFO):
            what = (request.method, response.status_code)
            # Made by hand: `logger.info` would look for the line of code that it is in.
            record = logging.LogRecord(logger.name, logging.INFO, "", 0, "%s %s", what, None)
            # The name, not the path: a path may carry a signed token.
            record.route = route
            record.status = response.status_code
            record.ms = round((time.perf_counter() - started) * 1000, 1)
            logger.handle(record)
        return response


class ContentSecurityPolicyMiddleware(CSPMiddleware):
    """The policy on what a browser may load and run for an answer: for a page, that of the settings.

    For anything else nothing, whatever it contains. That is a constant: to put
    a policy together takes 50 µs, a twentieth of a cached request of the API. No page has a nonce,
    because none has a script or a style in its text.
    """

    NOTHING = "default-src 'none'; frame-ancestors 'none'"

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        response = cast("HttpResponseBase", self.get_response(request))  # WSGI awaits nothing
        if response.headers.get("Content-Type", "").startswith("text/html"):
            return self.process_response(request, response)
        response.headers.setdefault(HEADER, self.NOTHING)
        return response
