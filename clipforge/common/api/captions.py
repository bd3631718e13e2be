"""Subtitles behind signed links, for players that know no API key: written when they are asked for."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable
from typing import Any, Final

from django.core import signing
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import reverse
from django.utils.cache import get_conditional_response
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse

from clipforge.common.api.transcripts import Part, SubRipRenderer, WebVTTRenderer
from clipforge.common.errors import NotFound
from clipforge.common.links import open_link

# By the last part of their address.
NAMES: Final = {
    f"captions.{renderer.format}": renderer for renderer in (SubRipRenderer, WebVTTRenderer)
}
NAME = OpenApiParameter("name", str, OpenApiParameter.PATH, enum=sorted(NAMES))
RESPONSES: Any = {
    (200, "*/*"): OpenApiResponse(
        OpenApiTypes.BINARY, description="The file, where the redirect is followed."
    ),
    302: OpenApiResponse(description="`Location` is the URL."),
}


def signed_url(org_id: uuid.UUID, pk: uuid.UUID, name: str, *, route: str) -> str:
    """The path to the captions of an object of an organization, good for DOWNLOAD_URL_SECONDS. Raises NotFound for another name."""
    if name not in NAMES:
        raise NotFound
    token = signing.TimestampSigner(salt=route).sign_object([str(org_id), str(pk)])
    return reverse(route, args=[token, name])


def captions_at(
    request: HttpRequest,
    token: str,
    name: str,
    *,
    route: str,
    part_of: Callable[[uuid.UUID, uuid.UUID], Part],
) -> HttpResponseBase:
    """The captions that a link leads to, as the words are now: they may be corrected, so that nobody keeps them unasked.

    `part_of` is asked with the organization and the object that were signed. Raises Forbidden for a link that is forged or has expired,
    NotFound for another name.
    """
    org_id, pk = map(uuid.UUID, open_link(token, salt=route).value)
    if name not in NAMES:
        raise NotFound
    renderer = NAMES[name]
    text = part_of(org_id, pk).written_as(renderer.format)
    etag = f'"{hashlib.sha256(text.encode()).hexdigest()[:32]}"'
    whole = HttpResponse(
        text,
        content_type=f"{renderer.media_type}; charset=utf-8",
        headers={
            "ETag": etag,
            "Cache-Control": "private, no-cache",
            "X-Content-Type-Options": "nosniff",
        },
    )
    return get_conditional_response(request, etag, None, whole) or whole
