"""Transcripts of projects and moments over HTTP."""

from __future__ import annotations

import uuid

from django.http import HttpResponse
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, extend_schema
from rest_framework import serializers
from rest_framework.request import Request
from rest_framework.response import Response

from clipforge.common.api import transcripts as common_transcripts
from clipforge.common.api.parsers import refuse_null_characters
from clipforge.common.api.serializers import Decimals, Serializer, Text
from clipforge.common.errors import Invalid
from clipforge.orgs.api.views import OrgView
from projects import selectors, services
from projects.api import refusals
from projects.quotes import quotes
from projects.transcripts import Part

MAX_QUERY_CHARACTERS = 200
MOST_FOUND = 20
MOST_QUOTES = 3


class CorrectionSerializer(Serializer):
    example = {"index": 4, "text": "Tilney,"}

    index = serializers.IntegerField(min_value=0, help_text="Of the word, as the transcript says.")
    text = Text(
        max_length=services.MAX_WORD_CHARACTERS, help_text="The word, with its punctuation."
    )


class CorrectionsSerializer(Serializer):
    words = CorrectionSerializer(many=True, allow_empty=False)


class QuoteOfTranscriptSerializer(Serializer):
    example = {"start": 12.25, "end": 13.1, "text": "Good morning."}

    start = Decimals(help_text="Seconds into the source.")
    end = Decimals(help_text="Seconds into the source.")
    text = serializers.CharField()


class FoundTranscriptSerializer(Serializer):
    example = {"title": "A talk about tides", "language": "en"}

    project = serializers.UUIDField()
    title = serializers.CharField(help_text="Of the project.")
    language = serializers.CharField(help_text="ISO 639-1.")
    quotes = QuoteOfTranscriptSerializer(many=True, help_text="Up to three sentences.")


class FoundTranscriptsSerializer(Serializer):
    results = FoundTranscriptSerializer(many=True)
    more = serializers.BooleanField(help_text="Older projects have them too.")


class TranscriptSearch(OrgView):
    serializer_class = FoundTranscriptsSerializer
    pagination_class = None
    query_parameters = {"get": frozenset({"q"})}
    problems = {"get": (422,)}

    @extend_schema(
        operation_id="search_transcripts",
        summary="Projects in which some words are spoken",
        description="The newest twenty, with the sentences that have most of the words. "
        'Words are found in all their forms, and all of them must be spoken; "a phrase" in quotes, '
        "`or` between two and `-` before a word work too.",
        parameters=[OpenApiParameter("q", str, required=True, description="Up to 200 characters.")],
        responses=FoundTranscriptsSerializer,
    )
    def get(self, request: Request) -> Response:
        text = request.query_params.get("q", "").strip()
        refuse_null_characters(text)
        if not 0 < len(text) <= MAX_QUERY_CHARACTERS:
            raise Invalid(f"`q` must have 1 to {MAX_QUERY_CHARACTERS} characters.")
        found = list(selectors.transcripts_with(self.organization, text)[: MOST_FOUND + 1])
        results = [
            {
                "project": row.project_id,
                "title": row.project.title,
                "language": row.language,
                "quotes": quotes(row.content.sentences, text, MOST_QUOTES),
            }
            for row in found[:MOST_FOUND]
        ]
        return Response(
            FoundTranscriptsSerializer({"results": results, "more": len(found) > MOST_FOUND}).data
        )


class TranscriptOfProject(common_transcripts.TranscriptAnswers, OrgView):
    query_parameters = {"get": frozenset({"format", "start", "end"})}
    problems = {"get": (404, 422), "patch": (404, 422)}
    codes = {"get": refusals.TRANSCRIPT, "patch": refusals.CORRECTION}

    @extend_schema(
        operation_id="get_transcript",
        summary="The words that are spoken in a project",
        description="Times are seconds into the source, also in a range. 404 `no_transcript` where "
        "nothing is spoken, or nothing in a language that is understood.",
        parameters=[*common_transcripts.RANGE, common_transcripts.FORMAT],
        responses=common_transcripts.RESPONSES,
        examples=common_transcripts.EXAMPLES,
    )
    def get(self, request: Request, project_id: uuid.UUID) -> HttpResponse:
        project = selectors.get_project(self.organization, project_id)
        start, end = common_transcripts.range_of(request, project.duration)
        return self.shown(request, Part(selectors.get_transcript(project), start, end))

    @extend_schema(
        operation_id="correct_transcript",
        summary="Correct words",
        description="Captions that are made later use them. Times stay as they are. Answers with the "
        "sentences that were corrected.",
        request=CorrectionsSerializer,
        responses={200: common_transcripts.TranscriptSerializer},
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


class TranscriptOfMoment(common_transcripts.TranscriptAnswers, OrgView):
    query_parameters = {"get": frozenset({"format"})}
    problems = {"get": (404,)}
    codes = {"get": refusals.TRANSCRIPT}

    @extend_schema(
        operation_id="get_moment_transcript",
        summary="The words that are spoken in a moment",
        description="Times are seconds into the moment. 404 `no_transcript` where there are none.",
        parameters=[common_transcripts.FORMAT],
        responses=common_transcripts.RESPONSES,
        examples=common_transcripts.EXAMPLES,
    )
    def get(self, request: Request, moment_id: uuid.UUID) -> HttpResponse:
        moment = selectors.get_moment(self.organization, moment_id)
        row = selectors.get_transcript(moment.project)
        return self.shown(request, Part(row, moment.start, moment.end, origin=moment.start))
