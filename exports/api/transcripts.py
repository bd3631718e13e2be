"""Transcripts of exports over HTTP."""

from __future__ import annotations

import uuid

from django.http import HttpResponse
from drf_spectacular.utils import extend_schema
from rest_framework.request import Request

from clipforge.common.api import transcripts as common_transcripts
from clipforge.media.captions import cues
from clipforge.orgs.api.views import OrgView
from clipforge.orgs.models import Organization
from exports import selectors
from exports.api import refusals
from exports.models import Export
from projects import selectors as project_selectors
from projects.transcripts import Part


class TranscriptOfExport(common_transcripts.TranscriptAnswers, OrgView):
    query_parameters = {"get": frozenset({"format"})}
    problems = {"get": (404,)}
    codes = {"get": refusals.TRANSCRIPT}

    @extend_schema(
        operation_id="get_export_transcript",
        summary="The words that are spoken in a clip",
        description="Times are seconds into the clip. 404 `no_transcript` where there are none.",
        parameters=[common_transcripts.FORMAT],
        responses=common_transcripts.RESPONSES,
        examples=common_transcripts.EXAMPLES,
    )
    def get(self, request: Request, export_id: uuid.UUID) -> HttpResponse:
        return self.shown(request, part_of(self.organization, export_id))


def part_of(org: Organization, export_id: uuid.UUID) -> Part:
    """The words of a clip. Raises NotFound, NoTranscript."""
    export = selectors.get_export(org, export_id)
    is_vertical = export.aspect == Export.Aspect.VERTICAL
    return Part(
        project_selectors.get_transcript(export.project),
        export.start,
        export.end,
        origin=export.start,
        ranges=tuple(export.ranges) if export.kept else (),
        columns=cues.VERTICAL_COLUMNS if is_vertical else cues.COLUMNS,
    )
