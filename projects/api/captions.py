"""Subtitles of projects over HTTP, by signed links."""

from __future__ import annotations

import uuid

from django.http import HttpRequest, HttpResponseBase
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from clipforge.common.api import captions as common_captions
from clipforge.common.api.problems import refusal, safe_only
from clipforge.common.errors import DomainError
from clipforge.orgs.api.views import OrgView
from clipforge.orgs.models import Organization
from projects import selectors
from projects.api import refusals
from projects.api.pictures import redirect
from projects.transcripts import Part

ROUTE = "project-captions-file"


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
        project = selectors.get_project(self.organization, project_id)
        selectors.get_transcript(project)
        return redirect(
            request, common_captions.signed_url(project.org_id, project.pk, name, route=ROUTE)
        )


@safe_only
def captions_file(request: HttpRequest, token: str, name: str) -> HttpResponseBase:
    """The subtitles behind a signed URL. No API key: the link is the permission."""
    try:
        return common_captions.captions_at(request, token, name, route=ROUTE, part_of=_part_of)
    except DomainError as error:
        return refusal(error)


def _part_of(org_id: uuid.UUID, pk: uuid.UUID) -> Part:
    project = selectors.get_project(Organization(pk=org_id), pk)
    return Part(selectors.get_transcript(project), 0.0, project.duration)
