"""Subtitles of clips over HTTP, by signed links."""

from __future__ import annotations

import uuid

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from clipforge.common.api import captions as common_captions
from clipforge.orgs.api.views import OrgView
from clipforge.orgs.models import Organization
from exports.api import refusals
from exports.api.transcripts import part_of
from projects.transcripts import Part


def _part_of(org_id: uuid.UUID, pk: uuid.UUID) -> Part:
    return part_of(Organization(pk=org_id), pk)


LINKS = common_captions.CaptionLinks("export-captions-file", _part_of)


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
        return LINKS.redirect(request, self.organization.pk, export_id, name)
