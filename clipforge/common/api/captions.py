"""Subtitles behind signed links, for players that know no API key: written when they are asked for."""

from __future__ import annotations

import hashlib
import uuid
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from django.core import signing
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import reverse
from django.utils.cache import get_conditional_response
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse
from rest_framework.request import Request
from rest_framework.response import Response

from clipforge.common.api.problems import refusal, safe_only
from clipforge.common.api.redirects import to_link
from clipforge.common.api.transcripts import Part, SubRipRenderer, WebVTTRenderer
from clipforge.common.errors import DomainError, NotFound
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


@dataclass(frozen=True)
class CaptionLinks:
    """Links to the subtitles of one kind of object: `route` names the address that they lead to.

    `part_of` gives the words of an object of an organization. It raises NotFound, the same for an unknown id
    and another organization's.
    """

    route: str
    part_of: Callable[[uuid.UUID, uuid.UUID], Part]

    def redirect(self, request: Request, org_id: uuid.UUID, pk: uuid.UUID, name: str) -> Response:
        """To a link, where there are words. Raises NotFound."""
        self.part_of(org_id, pk)
        return to_link(request, signed_url(org_id, pk, name, route=self.route))

    @property
    def view(self) -> Callable[..., HttpResponseBase]:
        """The subtitles behind a link. No API key: the link is the permission."""

        @safe_only
        def captions_file(request: HttpRequest, token: str, name: str) -> HttpResponseBase:
            try:
                return _captions_at(request, self, token, name)
            except DomainError as error:
                return refusal(error)

        return captions_file


def signed_url(org_id: uuid.UUID, pk: uuid.UUID, name: str, *, route: str) -> str:
    """The path to the captions of an object of an organization, good for DOWNLOAD_URL_SECONDS. Raises NotFound for another name."""
    if name not in NAMES:
        raise NotFound
    token = signing.TimestampSigner(salt=route).sign_object([str(org_id), str(pk)])
    return reverse(route, args=[token, name])


def _captions_at(
    request: HttpRequest, links: CaptionLinks, token: str, name: str
) -> HttpResponseBase:
    """The captions as the words are now: they may be corrected, so that nobody keeps them unasked.

    Raises Forbidden for a link that is forged or has expired, NotFound for another name.
    """
    org_id, pk = map(uuid.UUID, open_link(token, salt=links.route).value)
    if name not in NAMES:
        raise NotFound
    renderer = NAMES[name]
    text = links.part_of(org_id, pk).written_as(renderer.format)
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
