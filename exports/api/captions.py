"""Subtitles of clips over HTTP, by signed links."""

from __future__ import annotations

import uuid

from django.http import HttpRequest, HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from clipforge.common.api import captions as common_captions
from clipforge.common.api.problems import refusal, safe_only
from clipforge.common.errors import DomainError
from clipforge.orgs.api.views import OrgView
from clipforge.orgs.models import Organization
from exports.api import refusals
from exports.api.transcripts import part_of
from projects.transcripts import Part

ROUTE = "export-captions-file"


class ExportCaptions(OrgView):
    problems = {"get": (404,)}
    codes = {"get": refusals.TRANSCRIPT}
    pagination_class = None

    @extend_schema(
        operation_id="download_export_captions",
        summary="Redirect to a signed, expiring URL of the subtitles",
        description="For a `track` of a player, beside the clip; times are seconds into it. 404 `no_transcript` "
        "where nothing is spoken.",
        parameters=[common_captions.NAME],
        responses=common_captions.RESPONSES,
    )
    def get(self, request: Request, export_id: uuid.UUID, name: str) -> Response:
        part_of(self.organization, export_id)
        path = common_captions.signed_url(self.organization.pk, export_id, name, route=ROUTE)
        url = request.build_absolute_uri(path)
        return Response(
            status=status.HTTP_302_FOUND, headers={"Location": url, "Cache-Control": "no-store"}
        )


@safe_only
def captions_file(request: HttpRequest, token: str, name: str) -> HttpResponseBase:
    """The subtitles behind a signed URL. No API key: the link is the permission."""
    try:
        return common_captions.captions_at(request, token, name, route=ROUTE, part_of=_part_of)
    except DomainError as error:
        return refusal(error)


def _part_of(org_id: uuid.UUID, pk: uuid.UUID) -> Part:
    return part_of(Organization(pk=org_id), pk)
