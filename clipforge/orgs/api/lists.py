"""Lists of an organization whose pages are kept as they were shown."""

from __future__ import annotations

import hashlib
import time
from typing import Any

from django.http import HttpResponse
from django.http.response import HttpResponseBase
from rest_framework.request import Request

from clipforge.common.api.conditional import (
    KnownAnswer,
    compressed,
    etag_of,
    held_by,
    not_modified,
    takes_gzip,
    uncompressed,
)
from clipforge.common.api.renderers import Renderer
from clipforge.common.api.views import LeanList
from clipforge.common.cache import kept_pages
from clipforge.common.cache.kept_pages import Loaded, Page
from clipforge.common.versions import NEWEST
from clipforge.orgs.api.views import OrgView

# The longest that a page is kept. What changes on a path round the announcements is seen after it.
SECONDS = 30


class KeptList(LeanList, OrgView):
    """A list that front ends ask for all the time: what has not changed costs no SQL and no serializer.

    Whoever changes what is listed announces it under `pages_family` and the organization.
    """

    # Of the page that this request asks for; empty for one that is not kept.
    page_name = ""

    def pages_family(self) -> str:
        raise NotImplementedError

    def seconds_kept(self, shown: list[Any], *, since: float) -> float:
        """For how long a page with these results is good, if nothing is announced, from `since` on.

        That is before it was read, by `time.time()`.
        """
        return SECONDS

    def prefetch_family(self) -> str:
        if self.request.method not in {"GET", "HEAD"}:
            return super().prefetch_family()
        self.page_name = _name_of(self.request)
        return kept_pages.prefetch_of(self.pages_family(), self.page_name) if self.page_name else ""

    def polled(self, request: Request) -> HttpResponseBase:
        """The page, or 304 for a client that has it already."""
        if not self.page_name:
            return self.list(request)
        key = f"{self.pages_family()}:{self.organization.pk}"
        shown: list[KnownAnswer] = []

        def load() -> Loaded:
            since = time.time()
            data = self.list(request).data
            body = Renderer().render(data)
            page = Page(etag_of(body), compressed(body))
            shown.append(KnownAnswer(body, page.etag))
            return Loaded(page, self.seconds_kept(data["results"], since=since))

        page = kept_pages.page_or_load(key, self.page_name, load, found=self.prefetched)
        if held := held_by(request, page.etag):
            return not_modified(None, held)
        if page.body and not shown:
            return self._again(request, page)
        if not shown:
            load()
        return shown[0]

    def _again(self, request: Request, page: Page) -> HttpResponse:
        """A page that is kept, as it is where the client takes gzip."""
        is_sent_so = self.version is NEWEST and takes_gzip(request)
        return KnownAnswer(page.body if is_sent_so else uncompressed(page.body), page.etag)


def _name_of(request: Request) -> str:
    """By all that makes the answer, besides the organization; empty for a page that is not worth it.

    The host is in the links of a page. Those further down are read once, unless they are polled.
    """
    is_once = "cursor" in request.GET and "HTTP_IF_NONE_MATCH" not in request.META
    if is_once or request.accepted_media_type != "application/json":
        return ""
    query = request.META.get("QUERY_STRING", "")
    address = f"{request.scheme}://{request.get_host()}{request.path}?{query}"
    return hashlib.sha256(address.encode()).hexdigest()[:32]
