"""Subtitles of projects over HTTP, by signed links."""

from __future__ import annotations

import uuid

from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from clipforge.common.api import captions as common_captions
from clipforge.orgs.api.views import OrgView
from clipforge.orgs.models import Organization
from projects import selectors
from projects.api import refusals
from projects.transcripts import Part


def _part_of(org_id: uuid.UUID, pk: uuid.UUID) -> Part:
    project = selectors.get_project(Organization(pk=org_id), pk)
    return Part(selectors.get_transcript(project), 0.0, project.duration)


LINKS = common_captions.CaptionLinks("project-captions-file", _part_of)


class ProjectCaptions(OrgView):
    problems = {"get": (404,)}
    codes = {"get": refusals.TRANSCRIPT_LINK}
    pagination_class = None

    @extend_schema(
        operation_id="download_project_captions",
        summary="Redirect to a signed, expiring URL of the subtitles",
        description="For a `track` of a player, beside the source. 404 `no_transcript` where nothing is spoken.",
        parameters=[common_captions.NAME],
        responses=common_captions.RESPONSES,
    )
    def get(self, request: Request, project_id: uuid.UUID, name: str) -> Response:
        return LINKS.redirect(request, self.organization.pk, project_id, name)
