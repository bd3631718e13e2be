"""Curves of projects over HTTP."""

from __future__ import annotations

import uuid
from typing import Any

from django.http import HttpResponse
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
)
from rest_framework import serializers
from rest_framework.renderers import BaseRenderer, JSONRenderer
from rest_framework.request import Request
from rest_framework.response import Response

from clipforge.common.api.serializers import Decimals, Serializer
from clipforge.orgs.api.views import OrgView
from projects import curves, selectors
from projects.api import refusals


class SVGRenderer(BaseRenderer):
    """Content negotiation only: the view writes the document itself."""

    media_type = "image/svg+xml"
    format = "svg"

    def render(self, data: Any, *args: Any, **options: Any) -> Any:
        return data


class CurveSerializer(Serializer):
    example = {"name": "score", "values": [41.2, 66.0, 38.5]}

    name = serializers.CharField(help_text="`score`, or that of a sub-score of moments.")
    values = serializers.ListField(
        child=Decimals(), help_text="0 to 100, at half a step, one and a half, and so on."
    )


class CurvesSerializer(Serializer):
    example = {
        "scorer_version": "3",
        "duration": 30.0,
        "step": 10.0,
        "window": 15.0,
        "curves": [CurveSerializer.example, {"name": "speech", "values": [20.0, 91.3, 45.1]}],
    }

    scorer_version = serializers.CharField()
    duration = Decimals(help_text="Of the source, in seconds.")
    step = Decimals(help_text="Seconds from one value to the next.")
    window = Decimals(help_text="Seconds around it that a value rates.")
    curves = CurveSerializer(many=True)


class CurvesOfProject(OrgView):
    serializer_class = CurvesSerializer
    pagination_class = None
    renderer_classes = (JSONRenderer, SVGRenderer)
    query_parameters = {"get": frozenset({"format"})}
    costs = {"get": {"api": 2}}
    problems = {"get": (404, 409)}
    codes = {"get": refusals.CURVES}

    @extend_schema(
        operation_id="get_curves",
        summary="Score and sub-scores over the length of the source",
        description="300 values each at most, a second apart at least. As SVG they are drawn one under "
        "the other, with the moments shaded. Free; nothing is decoded. 409 `features_missing` for a "
        "project that was analysed before features were kept.",
        parameters=[
            OpenApiParameter("format", str, enum=["json", "svg"], description="Or by `Accept`.")
        ],
        responses={
            (200, "application/json"): CurvesSerializer,
            (200, "image/svg+xml"): OpenApiResponse(OpenApiTypes.STR, description="A drawing."),
        },
        examples=[
            OpenApiExample(
                "A drawing",
                '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 100 20"></svg>',
                response_only=True,
                media_type="image/svg+xml",
            ),
            OpenApiExample(
                "Half a minute",
                {
                    "scorer_version": "3",
                    "duration": 30.0,
                    "step": 10.0,
                    "window": 15.0,
                    "curves": [
                        {"name": "score", "values": [41.2, 66.0, 38.5]},
                        {"name": "speech", "values": [20.0, 91.3, 45.1]},
                    ],
                },
                response_only=True,
                media_type="application/json",
            ),
        ],
    )
    def get(self, request: Request, project_id: uuid.UUID) -> HttpResponse:
        project = selectors.get_project(self.organization, project_id)
        found = curves.curves_of(project)
        renderer: Any = request.accepted_renderer
        if renderer.format == "svg":
            content = curves.drawn(project, found)
            return HttpResponse(content, content_type=f"{renderer.media_type}; charset=utf-8")
        return Response(
            {
                "scorer_version": found.scorer_version,
                "duration": round(project.duration, 3),
                "step": found.step,
                "window": found.window,
                "curves": [
                    {"name": name, "values": values} for name, values in found.values.items()
                ],
            }
        )
