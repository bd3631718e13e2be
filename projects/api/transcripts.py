"""Transcripts of projects and moments over HTTP."""

from __future__ import annotations

import uuid

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from clipforge.common.api import transcripts as formats
from clipforge.common.api.serializers import Serializer, Text
from clipforge.orgs.api.views import OrgView
from projects import selectors, services
from projects.transcripts import Part


class CorrectionSerializer(Serializer):
    index = serializers.IntegerField(min_value=0, help_text="Of the word, as the transcript says.")
    text = Text(
        max_length=services.MAX_WORD_CHARACTERS, help_text="The word, with its punctuation."
    )


class CorrectionsSerializer(Serializer):
    words = CorrectionSerializer(many=True, allow_empty=False)


class TranscriptOfProject(formats.TranscriptAnswers, OrgView):
    query_parameters = {"get": frozenset({"format", "start", "end"})}
    problems = {"get": (404, 422), "patch": (404, 422)}

    @extend_schema(
        operation_id="get_transcript",
        summary="The words that are spoken in a project",
        description="Times are seconds into the source, also in a range. 404 `no_transcript` where "
        "nothing is spoken, or nothing in a language that is understood.",
        parameters=[*formats.RANGE, formats.FORMAT],
        responses=formats.RESPONSES,
        examples=formats.EXAMPLES,
    )
    def get(self, request: Request, project_id: uuid.UUID) -> HttpResponse:
        project = selectors.get_project(self.organization, project_id)
        start, end = formats.range_of(request, project.duration)
        return self.shown(request, Part(selectors.get_transcript(project), start, end))

    @extend_schema(
        operation_id="correct_transcript",
        summary="Correct words",
        description="Captions that are made later use them. Times stay as they are. Answers with the "
        "sentences that were corrected.",
        request=CorrectionsSerializer,
        responses={200: formats.TranscriptSerializer},
        examples=[
            OpenApiExample(
                "A name", {"words": [{"index": 4, "text": "Tilney,"}]}, request_only=True
            )
        ],
    )
    def patch(self, request: Request, project_id: uuid.UUID) -> Response:
        project = selectors.get_project(self.organization, project_id)
        form = CorrectionsSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        row = services.correct_words(
            project=project,
            words=[(word["index"], word["text"]) for word in form.validated_data["words"]],
            actor=self.principal.actor,
        )
        corrected = {word["index"] for word in form.validated_data["words"]}
        document = Part(row, 0.0, project.duration).document()
        document["sentences"] = [
            sentence
            for sentence in document["sentences"]
            if any(word["index"] in corrected for word in sentence["words"])
        ]
        return Response(document)


class TranscriptOfMoment(formats.TranscriptAnswers, OrgView):
    query_parameters = {"get": frozenset({"format"})}
    problems = {"get": (404,)}

    @extend_schema(
        operation_id="get_moment_transcript",
        summary="The words that are spoken in a moment",
        description="Times are seconds into the moment. 404 `no_transcript` where there are none.",
        parameters=[formats.FORMAT],
        responses=formats.RESPONSES,
        examples=formats.EXAMPLES,
    )
    def get(self, request: Request, moment_id: uuid.UUID) -> HttpResponse:
        moment = selectors.get_moment(self.organization, moment_id)
        row = selectors.get_transcript(moment.project)
        return self.shown(request, Part(row, moment.start, moment.end, origin=moment.start))
