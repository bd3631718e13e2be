"""Answers that a client has already: a strong ETag on what a GET shows, and 304 for `If-None-Match`."""

from __future__ import annotations

import base64
import hashlib
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseNotModified
from django.http.response import HttpResponseBase
from django.utils.http import parse_etags
from rest_framework.request import Request
from rest_framework.response import Response

# Headers of a 304 that describe the answer which the client has. RFC 9110, 15.4.5.
KEPT = ("Cache-Control", "Vary", "Retry-After", "Link")


def etag_of(body: bytes) -> str:
    """The strong ETag of a body."""
    return f'"{base64.urlsafe_b64encode(hashlib.sha256(body).digest()[:18]).decode()}"'


def has_already(request: Request | HttpRequest, etag: str) -> bool:
    """Whether the client says that it has the answer with this ETag, compressed or not."""
    offered = request.META.get("HTTP_IF_NONE_MATCH", "")
    if not offered:
        return False
    known = {each.removeprefix("W/") for each in parse_etags(offered)}
    return "*" in known or not known.isdisjoint({etag, encoded(etag)})


def encoded(etag: str) -> str:
    """The ETag of the same answer compressed: other bytes, so another one."""
    return f'{etag[:-1]}-gzip"'


def not_modified(response: HttpResponseBase | None, etag: str) -> HttpResponseNotModified:
    """The 304 in place of `response`, which may never have been made."""
    kept = {} if response is None else response.headers
    return HttpResponseNotModified(
        headers={"ETag": etag, **{name: kept[name] for name in KEPT if name in kept}}
    )


def conditional(request: Request, response: Any) -> HttpResponseBase:
    """The answer to a GET with its ETag; 304 instead if the client has it already.

    The answer is made all the same: what is saved is its way to the client.
    """
    if isinstance(response, Response) and not response.is_rendered:
        response.render()
    if not isinstance(response, HttpResponse) or response.streaming:
        return response  # type: ignore[no-any-return] # of Any
    response.headers.setdefault("ETag", etag_of(response.content))
    etag = response.headers["ETag"]
    return not_modified(response, etag) if has_already(request, etag) else response
