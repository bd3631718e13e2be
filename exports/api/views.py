"""Exports and their downloads over HTTP."""

from __future__ import annotations

import uuid
from functools import partial
from typing import Any

from django.db.models import QuerySet
from django.http import HttpRequest, HttpResponse, HttpResponseBase
from django.urls import reverse
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    OpenApiResponse,
    extend_schema,
    extend_schema_view,
)
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from clipforge.common.api import expanding
from clipforge.common.api.files import serve_file
from clipforge.common.api.filters import ORDERS, order_of
from clipforge.common.api.pagination import first_rows
from clipforge.common.api.problems import refusal, safe_only
from clipforge.common.api.redirects import to_link
from clipforge.common.api.schema import together
from clipforge.common.errors import DomainError, NotFound
from clipforge.jobs.api import refusals as job_refusals
from clipforge.jobs.api.serializers import TermsSerializer, terms_of
from clipforge.jobs.api.views import WAIT, JobCancel, JobDetail, JobList, JobRetry, JobView
from clipforge.media.contracts import PICTURES
from clipforge.orgs import stored
from clipforge.orgs.api.idempotency import Answer, answer, respond_once
from clipforge.orgs.api.lists import SECONDS
from exports import downloads, selectors, services
from exports.api import refusals
from exports.api.filters import ExportFilter
from exports.api.serializers import (
    ExportCreateSerializer,
    ExportSerializer,
    ExportUpdateSerializer,
    options_of,
)
from exports.models import Export
from exports.pinning import pin_export
from projects import selectors as project_selectors
from projects.models import Moment, Project


def _seconds_steady(shown: list[Any], since: float) -> float:
    """For how long exports are shown so: not beyond the end of a link, nor until links are signed afresh."""
    links = [each["download_expires_at"] for each in shown if each["download_url"]]
    return downloads.seconds_steady(min(links), since=since, most=SECONDS) if links else SECONDS


class ExportList(JobList):
    model = Export
    first_rows = first_rows(selectors.exports_of_org, ORDERS["created_at"])
    serializer_class = ExportSerializer
    filterset_class = ExportFilter
    idempotent_methods = ("post",)
    prefetch = stored.FAMILY
    costs = {"post": {"api": 2, "exports": 1}}
    problems = {"get": (404,), "post": (402, 404, 507)}
    codes = {"post": together(refusals.ORDER, job_refusals.STARTED)}

    @property
    def keyset(self) -> tuple[str, ...]:
        return order_of(self.request)

    queryset = Export.objects.none()  # names the model; what is listed comes from get_queryset

    def owner_id(self) -> uuid.UUID:
        return self.organization.pk

    def get_queryset(self) -> QuerySet[Export]:
        return selectors.exports(self.organization)

    def get_serializer_context(self) -> dict[str, Any]:
        return {**super().get_serializer_context(), "list": self.request.method != "POST"}

    def seconds_kept(self, shown: list[Any], *, since: float) -> float:
        return _seconds_steady(shown, since)

    @extend_schema(
        operation_id="list_exports",
        summary="Exports, newest first",
        description="Filters combine. A filter by a project that is not yours is 404.",
    )
    def get(self, request: Request) -> HttpResponseBase:
        return self.polled(request)

    @extend_schema(
        operation_id="create_export",
        summary="Render a moment, or start to end of a project",
        description="Reserves 1 credit for each started minute of the clip, 2 above 1080 and 4 in "
        "2160; they are charged when the file is ready, and given back otherwise. Captions cost "
        "nothing.",
        request=ExportCreateSerializer,
        responses={201: ExportSerializer},
        examples=[
            OpenApiExample(
                "A moment",
                {
                    "moment": "01a20e35-5b0c-7a3e-9f4d-0c1a6c0f4e2b",
                    "aspect": "9:16",
                    "resolution": 1080,
                },
                request_only=True,
            ),
            OpenApiExample(
                "With captions",
                {
                    "moment": "01a20e35-5b0c-7a3e-9f4d-0c1a6c0f4e2b",
                    "captions": "bold-word",
                    "caption_style": {"position": "middle", "highlight": "#00e5ff"},
                    "fps": 30,
                },
                request_only=True,
            ),
            OpenApiExample(
                "A range of a project",
                {
                    "project": "01a20e35-2f41-7c55-8d60-5e0b6f1d7a90",
                    "start": 12.5,
                    "end": 32.5,
                    "aspect": "source",
                    "resolution": 720,
                },
                request_only=True,
            ),
            OpenApiExample(
                "At the price of a quote",
                {
                    "moment": "01a20e35-5b0c-7a3e-9f4d-0c1a6c0f4e2b",
                    "quote_id": "01a20e37-90d1-7f8a-b0c5-3d2e1f4a5b6c",
                    "max_credits": 2,
                },
                request_only=True,
            ),
        ],
    )
    def post(self, request: Request) -> HttpResponse:
        # Before the transaction, in which nothing is cached. A repeated request is answered as it was.
        now = stored.stored_bytes(self.organization.pk, found=self.prefetched)
        return respond_once(request, self.organization, partial(self._create, now))

    def _create(self, stored_now: int) -> Answer:
        form = ExportCreateSerializer(data=self.request.data)
        form.is_valid(raise_exception=True)
        project, moment, start, end = self._range(form.validated_data)
        export = services.start_export(
            project=project,
            moment=moment,
            start=start,
            end=end,
            **options_of(form.validated_data),
            terms=terms_of(form.validated_data),
            stored_now=stored_now,
            actor=self.principal.actor,
        )
        return answer(
            status.HTTP_201_CREATED,
            ExportSerializer(export).data,
            location=reverse("export", args=[export.pk]),
        )

    def _range(self, data: dict[str, Any]) -> tuple[Project, Moment | None, float, float]:
        if "moment" in data:
            moment = project_selectors.get_moment(self.organization, data["moment"], lock=True)
            return moment.project, moment, moment.start, moment.end
        project = project_selectors.get_project(self.organization, data["project"], lock=True)
        return project, None, data["start"], data["end"]


expanding.register(
    Project,
    "exports",
    expanding.Expansion(
        serializer=ExportSerializer,
        keyset=ORDERS["created_at"],
        rows=selectors.exports_of,
        address=lambda project: f"{reverse('exports')}?project={project.pk}",
    ),
)


class ExportView(JobView):
    """One export of the organization; the base of everything below `/exports/{id}`."""

    serializer_class = ExportSerializer

    def get_job(self) -> Export:
        return selectors.get_export(self.organization, self.kwargs["export_id"])


class ExportDetail(ExportView, JobDetail):
    model = Export
    problems = {"patch": (409,)}
    codes = {**JobDetail.codes, "patch": refusals.PIN}

    def seconds_kept(self, data: dict[str, Any], *, since: float) -> float:
        return _seconds_steady([data], since)

    @extend_schema(
        operation_id="get_export",
        summary="One export, with its progress",
        description="Poll it with `If-None-Match`: what has not changed is 304. `Retry-After` says when there "
        "may be news; `wait` lets the request wait for it.",
        parameters=[WAIT],
    )
    def get(self, request: Request, export_id: uuid.UUID) -> HttpResponse:
        return self.polled(request)

    @extend_schema(
        operation_id="update_export",
        summary="Pin the export, or let it go",
        description="A pinned file is not deleted after its retention while the organization pays for its "
        "tier. Without that, and when it is no longer pinned, it is kept for nine days at least, and its "
        "end is told a week and a day before.",
        request=ExportUpdateSerializer,
        responses=ExportSerializer,
        examples=[OpenApiExample("Keep it", {"pinned": True}, request_only=True)],
    )
    def patch(self, request: Request, export_id: uuid.UUID) -> Response:
        export = self.get_job()
        form = ExportUpdateSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        pinned = form.validated_data["pinned"]
        return self.shown(pin_export(export=export, pinned=pinned, actor=self.principal.actor))

    @extend_schema(
        operation_id="delete_export",
        summary="Delete the export and its file",
        description="One that waits or runs is cancelled first, and its credits come back. What a "
        "finished one cost stays charged.",
        responses={204: None},
    )
    def delete(self, request: Request, export_id: uuid.UUID) -> Response:
        services.delete_export(export=self.get_job(), actor=self.principal.actor)
        return Response(status=status.HTTP_204_NO_CONTENT)


@extend_schema_view(
    post=extend_schema(
        operation_id="cancel_export",
        summary="Stop the render and give the credits back",
        description="Repeating it changes nothing.",
        request=None,
    )
)
class ExportCancel(ExportView, JobCancel):
    pass


@extend_schema_view(
    post=extend_schema(
        operation_id="retry_export",
        summary="Render again after a failure or a cancel",
        description="Under the same id and at today's price, unless a quote is named. Only what failed or was cancelled.",
        request=TermsSerializer,
        examples=[OpenApiExample("At most so much", {"max_credits": 2}, request_only=True)],
    )
)
class ExportRetry(ExportView, JobRetry):
    costs = {"post": {"api": 2, "exports": 1}}


class ExportDownload(ExportView):
    problems = {"get": (409,)}
    codes = {"get": refusals.DOWNLOAD}

    @extend_schema(
        operation_id="download_export",
        summary="Redirect to a signed, expiring URL of the file",
        description="A link of its own, good for some minutes; whoever has it may fetch the file. With "
        "`?inline=1` added to it, a browser plays the file instead of saving it.",
        responses={302: OpenApiResponse(description="`Location` is the URL; it supports Range.")},
    )
    def get(self, request: Request, export_id: uuid.UUID) -> Response:
        return to_link(request, downloads.signed_url(self.get_job()))


class ExportPicture(ExportView):
    problems = {"get": (409,)}
    codes = {"get": refusals.DOWNLOAD}

    @extend_schema(
        operation_id="download_export_picture",
        summary="Redirect to a signed, expiring URL of the poster or the strip",
        description="The strip is one sprite; its WebVTT says which part of it stands for which time.",
        parameters=[OpenApiParameter("name", str, OpenApiParameter.PATH, enum=sorted(PICTURES))],
        responses={302: OpenApiResponse(description="`Location` is the URL.")},
    )
    def get(self, request: Request, export_id: uuid.UUID, name: str) -> Response:
        export = self.get_job()
        if name not in PICTURES:
            raise NotFound
        return to_link(request, downloads.signed_url(export, name))


@safe_only
def download_file(request: HttpRequest, token: str, name: str) -> HttpResponseBase:
    """The file behind a signed URL, whole or in ranges. No API key: the link is the permission.

    `?inline=1` is for playing it in a page; else it is saved.
    """
    try:
        target = downloads.target_of(token, name)
        inline = request.GET.get("inline") == "1"
        return serve_file(
            request,
            target.key,
            download_name=name,
            inline=inline,
            seconds_left=target.seconds_left,
            opens_folder=True,
        )
    except DomainError as error:
        return refusal(error)
