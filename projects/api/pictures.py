"""Files of projects over HTTP: the source, and the pictures."""

from __future__ import annotations

import uuid

from django.http import HttpRequest, HttpResponseBase
from drf_spectacular.types import OpenApiTypes
from drf_spectacular.utils import OpenApiParameter, OpenApiResponse, extend_schema
from rest_framework.request import Request
from rest_framework.response import Response

from clipforge.common.api.files import serve_file
from clipforge.common.api.problems import refusal, safe_only
from clipforge.common.api.redirects import to_link
from clipforge.common.errors import DomainError, NotFound
from clipforge.media.contracts import PICTURES, POSTERS
from clipforge.orgs.api.views import OrgView
from projects import pictures, portraits, selectors, watching
from projects.api import refusals


class ProjectPicture(OrgView):
    problems = {"get": (404, 409)}
    codes = {"get": refusals.PICTURE}
    pagination_class = None

    @extend_schema(
        operation_id="download_project_picture",
        summary="Redirect to a signed, expiring URL of the poster or the strip",
        description="Of the whole source, made while it is analysed. The strip is one sprite; its WebVTT "
        "says which part of it stands for which time.",
        parameters=[OpenApiParameter("name", str, OpenApiParameter.PATH, enum=sorted(PICTURES))],
        responses={
            (200, "*/*"): OpenApiResponse(
                OpenApiTypes.BINARY, description="The file, where the redirect is followed."
            ),
            302: OpenApiResponse(description="`Location` is the URL."),
        },
    )
    def get(self, request: Request, project_id: uuid.UUID, name: str) -> Response:
        project = selectors.get_project(self.organization, project_id)
        if name not in PICTURES:
            raise NotFound
        return to_link(request, pictures.signed_url(project, name))


class ProjectSource(OrgView):
    problems = {"get": (404, 409)}
    codes = {"get": refusals.SOURCE}
    pagination_class = None

    @extend_schema(
        operation_id="download_project_source",
        summary="Redirect to a signed, expiring URL of the source",
        description="The file as it was uploaded or fetched, under its name, until it ends. A link of its own, "
        "good for some minutes; whoever has it may fetch the file. With `?inline=1` added to it, a browser "
        "plays the file instead of saving it.",
        responses={
            (200, "*/*"): OpenApiResponse(
                OpenApiTypes.BINARY, description="The file, where the redirect is followed."
            ),
            302: OpenApiResponse(description="`Location` is the URL; it supports Range."),
        },
    )
    def get(self, request: Request, project_id: uuid.UUID) -> Response:
        project = selectors.get_project(self.organization, project_id)
        return to_link(request, watching.signed_url(project))


class MomentPoster(OrgView):
    problems = {"get": (404, 409)}
    codes = {"get": refusals.PICTURE}
    pagination_class = None
    costs = {"get": {"api": 2}}

    @extend_schema(
        operation_id="download_moment_poster",
        summary="Redirect to a signed, expiring URL of the poster of a moment",
        description="Made when somebody first asks, which takes half a second, and again when its edges "
        "have moved. Where none can be made, it is that of the project.",
        parameters=[OpenApiParameter("name", str, OpenApiParameter.PATH, enum=sorted(POSTERS))],
        responses={
            (200, "*/*"): OpenApiResponse(
                OpenApiTypes.BINARY, description="The file, where the redirect is followed."
            ),
            302: OpenApiResponse(description="`Location` is the URL."),
        },
    )
    def get(self, request: Request, moment_id: uuid.UUID, name: str) -> Response:
        moment = selectors.get_moment(self.organization, moment_id)
        if name not in POSTERS:
            raise NotFound
        return to_link(request, portraits.signed_url(moment, name))


@safe_only
def picture_file(request: HttpRequest, token: str, name: str) -> HttpResponseBase:
    """The picture behind a signed URL. No API key: the link is the permission."""
    try:
        key, seconds_left = pictures.target_of(token, name)
        return serve_file(request, key, download_name=name, seconds_left=seconds_left)
    except DomainError as error:
        return refusal(error)


@safe_only
def source_file(request: HttpRequest, token: str, name: str) -> HttpResponseBase:
    """The source behind a signed URL, whole or in ranges. No API key: the link is the permission.

    `?inline=1` is for playing it in a page; else it is saved.
    """
    try:
        key, seconds_left = watching.target_of(token)
        inline = request.GET.get("inline") == "1"
        return serve_file(
            request, key, download_name=name, inline=inline, seconds_left=seconds_left
        )
    except DomainError as error:
        return refusal(error)
