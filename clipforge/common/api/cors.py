"""Cross-origin requests (the Fetch standard): what a page of another site may send, and read of an answer.

Keys travel in a header, never in a cookie, so a browser adds nothing by itself and any page may ask. What
it may read is decided by the answer: one to an organization's key is for the origins which that
organization allows; one to nobody, as a refusal or the price list, is for all.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from django.http import HttpRequest, HttpResponse
from django.http.response import HttpResponseBase
from django.utils.cache import patch_vary_headers

# Pages ask for these; the others are for programs and people.
PREFIXES: Final = ("/api/", "/files/")

PREFLIGHT: Final = {
    "Access-Control-Allow-Methods": "GET, HEAD, POST, PUT, PATCH, DELETE",
    "Access-Control-Allow-Headers": "Authorization, ClipForge-Version, Content-Type, Content-Digest, "
    "Repr-Digest, Idempotency-Key, If-None-Match, Range, X-Request-ID, Tus-Resumable, Upload-Checksum, "
    "Upload-Length, Upload-Metadata, Upload-Offset",
    # Seconds, the longest that browsers keep it.
    "Access-Control-Max-Age": "7200",
    "Cache-Control": "no-store",
}
EXPOSED: Final = (
    "ClipForge-Version, Content-Disposition, Content-Range, Deprecation, ETag, Idempotent-Replayed, Link, "
    "Location, RateLimit, RateLimit-Policy, Retry-After, Sunset, Tus-Checksum-Algorithm, Tus-Extension, "
    "Tus-Max-Size, Tus-Resumable, Tus-Version, Upload-Expires, Upload-Length, Upload-Offset, X-Request-ID"
)


class CORSMiddleware:
    """Answers preflights, without a key, and says of each answer which pages may read it."""

    def __init__(self, get_response: Callable[[HttpRequest], HttpResponseBase]) -> None:
        self.get_response = get_response

    def __call__(self, request: HttpRequest) -> HttpResponseBase:
        if "HTTP_ORIGIN" not in request.META or not request.path.startswith(PREFIXES):
            return self.get_response(request)
        is_preflight = "HTTP_ACCESS_CONTROL_REQUEST_METHOD" in request.META
        if request.method == "OPTIONS" and is_preflight:
            response: HttpResponseBase = HttpResponse(status=204, headers=PREFLIGHT)
        else:
            response = self.get_response(request)
        origin = getattr(response, "readable_by", "*")
        if origin:
            response.headers["Access-Control-Allow-Origin"] = origin
            response.headers["Access-Control-Expose-Headers"] = EXPOSED
        patch_vary_headers(response, ["Origin"])
        return response


def readable_by(response: HttpResponseBase, origin: str | None) -> None:
    """Let pages of this origin read the answer; None for no page at all."""
    response.readable_by = origin or ""  # type: ignore[attr-defined]
