"""Requests of programs, straight to their view.

Sessions, cookies, messages, static files and who is signed in are for pages that people read: of
the middleware of the settings, a request of the API needs only the headers that it puts on every
answer. They are constants here, made of the same settings by the same classes.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

from csp.constants import HEADER
from django.conf import settings
from django.core.handlers.exception import response_for_exception
from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.middleware.clickjacking import XFrameOptionsMiddleware
from django.middleware.security import SecurityMiddleware

from clipforge.common import routes
from clipforge.common.middleware import ContentSecurityPolicyMiddleware
from clipforge.common.pages import is_for_programs

# Names of this host, with ports, that are remembered as good.
MOST_HOSTS = 100

GetResponse = Callable[[HttpRequest], HttpResponseBase]


class ProgramsMiddleware:
    """Answers a request of a program here; what comes after this in the settings is for the others."""

    def __init__(self, get_response: GetResponse) -> None:
        self.get_response = get_response
        self.policy = ContentSecurityPolicyMiddleware(self._nothing)
        self.security = SecurityMiddleware(self._nothing)
        self.constants = {
            is_secure: self._headers_of_every_answer(is_secure=is_secure)
            for is_secure in (False, True)
        }
        self.hosts: set[str] = set()
        self.hosts_of: object = None

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if not is_for_programs(request.path_info):
            return self.get_response(request)
        if settings.SECURE_SSL_REDIRECT and (answer := self.security.process_request(request)):
            return self._with_headers(request, answer)
        try:
            response = self._answer(request)
        except Exception as error:
            response = response_for_exception(request, error)
        return self._with_headers(request, response)

    def _answer(self, request: HttpRequest) -> HttpResponseBase:
        """Of the view. Raises what it raises."""
        self._require_host(request)
        request.resolver_match = match = routes.resolve(request.path_info)
        response = match.func(request, *match.args, **match.kwargs)
        if not getattr(response, "is_rendered", True):
            response.render()
        return cast("HttpResponseBase", response)

    def _with_headers(self, request: HttpRequest, response: HttpResponseBase) -> HttpResponseBase:
        # Prepared: to set a header takes as long as to find a route, and there are eight.
        stored: dict[str, tuple[str, str]] = response.headers._store
        before, after = self.constants[request.is_secure()]
        stored.update(before)
        if "content-length" not in stored and isinstance(response, HttpResponse):
            stored["content-length"] = ("Content-Length", str(len(response.content)))
        stored.update(after)
        if stored.get("content-type", ("", ""))[1].startswith("text/html"):
            del response.headers[HEADER]
            return self.policy.process_response(request, response)
        return response

    def _require_host(self, request: HttpRequest) -> None:
        """Raises DisallowedHost for a name that is not ours."""
        if self.hosts_of is not settings.ALLOWED_HOSTS:
            self.hosts, self.hosts_of = set(), settings.ALLOWED_HOSTS
        name = request.META.get("HTTP_HOST", "")
        if name not in self.hosts:
            request.get_host()
            if len(self.hosts) < MOST_HOSTS:
                self.hosts.add(name)

    def _headers_of_every_answer(self, *, is_secure: bool) -> list[dict[str, tuple[str, str]]]:
        """In the order in which the middleware would add them: before the length, and after it."""
        request: Any = HttpRequest()
        request._get_scheme = lambda: "https" if is_secure else "http"
        response = HttpResponse()
        del response.headers["Content-Type"]
        XFrameOptionsMiddleware(self._nothing).process_response(request, response)
        first = dict(response.headers._store)
        self.security.process_response(request, response)
        response.headers[HEADER] = ContentSecurityPolicyMiddleware.NOTHING
        return [first, {**response.headers._store}]

    @staticmethod
    def _nothing(request: HttpRequest) -> HttpResponseBase:
        raise NotImplementedError  # only their other halves are used
