"""Answers that a client has already: a strong ETag on what a GET shows, and 304 for `If-None-Match`."""

from __future__ import annotations

import base64
import gzip
import hashlib
import re
import zlib
from typing import Any

from django.http import HttpRequest, HttpResponse, HttpResponseNotModified
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers
from django.utils.http import parse_etags
from rest_framework.request import Request
from rest_framework.response import Response

# Bytes. Less is one packet either way.
WORTH_COMPRESSING = 1024
# A page of fifty projects takes half of a millisecond, and a twelfth of its bytes. Brotli (quality 5) takes
# as long and saves an eighth of what is left, 450 bytes, for a package and a third ETag of each answer.
LEVEL = 5
# JSON begins otherwise.
GZIP = b"\x1f\x8b"
TAKES_GZIP = re.compile(
    r"(?:^|[,\s])(?:gzip|\*)(?![\w-])(?!\s*;\s*q=0(?:\.0*)?\s*(?:,|$))", re.IGNORECASE
)

# Headers of a 304 that describe the answer which the client has. RFC 9110, 15.4.5.
KEPT = ("Cache-Control", "Vary", "Retry-After", "Link")


class KnownAnswer(HttpResponse):
    """JSON whose ETag is known: made again, or kept, and then as it is sent to who takes gzip."""

    def __init__(self, body: bytes, etag: str) -> None:
        super().__init__(body, content_type="application/json")
        self.etag = etag


def etag_of(body: bytes) -> str:
    """The strong ETag of a body."""
    return f'"{base64.urlsafe_b64encode(hashlib.sha256(body).digest()[:18]).decode()}"'


def held_by(request: Request | HttpRequest, etag: str) -> str:
    """The ETag under which the client has the answer already, compressed or not; empty if it has not."""
    offered = request.META.get("HTTP_IF_NONE_MATCH", "")
    if not offered or not etag:
        return ""
    known = {each.removeprefix("W/") for each in parse_etags(offered)}
    if encoded(etag) in known:
        return encoded(etag)
    return etag if etag in known or "*" in known else ""


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
    known = response.etag if isinstance(response, KnownAnswer) else etag_of(response.content)
    response.headers.setdefault("ETag", known)
    if held := held_by(request, response.headers["ETag"]):
        return not_modified(response, held)
    return _compressed(request, response)


def _compressed(request: Request, response: HttpResponse) -> HttpResponse:
    """The answer as gzip, where the client takes that and it is worth it.

    Only of what a GET shows; new secrets are answers to POST. Keys are sent by programs and never by a
    browser on its own, so nobody else can make a client ask again and again to measure them (BREACH).
    """
    patch_vary_headers(response, ["Accept-Encoding"])
    is_kept_so = isinstance(response, KnownAnswer) and is_compressed(response.content)
    if not is_kept_so:
        if len(response.content) < WORTH_COMPRESSING or not takes_gzip(request):
            return response
        response.content = compressed(response.content)
    response.headers["ETag"] = encoded(response.headers["ETag"])
    response.headers["Content-Encoding"] = "gzip"
    return response


def takes_gzip(request: Request) -> bool:
    return TAKES_GZIP.search(request.META.get("HTTP_ACCEPT_ENCODING", "")) is not None


def compressed(body: bytes) -> bytes:
    """The JSON as gzip, if that is worth it, and else as it is."""
    # Without a time in it: the same answer is the same bytes.
    return (
        body if len(body) < WORTH_COMPRESSING else gzip.compress(body, compresslevel=LEVEL, mtime=0)
    )


def is_compressed(body: bytes) -> bool:
    return body.startswith(GZIP)


def uncompressed(body: bytes) -> bytes:
    """The JSON that `compressed` was given."""
    return zlib.decompress(body, wbits=31) if is_compressed(body) else body
