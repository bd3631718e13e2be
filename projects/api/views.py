"""Projects over HTTP."""

from __future__ import annotations

import functools
import json
import uuid
from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse, HttpResponseBase
from django.urls import reverse
from drf_spectacular.utils import (
    OpenApiExample,
    OpenApiParameter,
    extend_schema,
    extend_schema_view,
)
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from clipforge.common.api import expanding
from clipforge.common.api.filters import ORDERS, order_of
from clipforge.common.api.pagination import first_rows
from clipforge.common.api.parsers import LimitedJSONParser, is_json
from clipforge.common.api.schema import DIGESTS, together
from clipforge.common.api.uploads import PartUploadHandler, StreamedUploadParser, UploadedPart
from clipforge.common.errors import Conflict, Invalid, StorageLimitReached
from clipforge.common.storage import Arrival
from clipforge.jobs.api import refusals as job_refusals
from clipforge.jobs.api.serializers import TermsSerializer, terms_of
from clipforge.jobs.api.views import WAIT, JobCancel, JobDetail, JobList, JobRetry, JobView
from clipforge.media.signatures import HEAD_BYTES
from clipforge.orgs import stored
from clipforge.orgs.api.idempotency import Answer, answer, respond_once
from clipforge.orgs.idempotency import is_answered
from credits.quotes import AT_ANY_PRICE
from projects import selectors, services, sources
from projects.api import refusals
from projects.api.filters import ProjectFilter
from projects.api.serializers import (
    ProjectOrderSerializer,
    ProjectSerializer,
    ProjectUpdateSerializer,
    ProjectUploadSerializer,
)
from projects.models import Project
from projects.wishes import require_inside


class ProjectList(JobList):
    model = Project
    first_rows = first_rows(selectors.projects_of, ORDERS["created_at"])
    serializer_class = ProjectSerializer
    filterset_class = ProjectFilter
    idempotent_methods = ("post",)
    costs = {"post": {"api": 5, "uploads": 1}}
    problems = {"post": (402, 404, 410, 411, 413, 415, 507)}
    codes = {"post": together(refusals.UPLOAD, refusals.USE_OF_UPLOAD, job_refusals.STARTED)}

    @property
    def keyset(self) -> tuple[str, ...]:
        return order_of(self.request)

    queryset = Project.objects.none()  # names the model; what is listed comes from get_queryset

    def owner_id(self) -> uuid.UUID:
        return self.organization.pk

    def get_queryset(self) -> QuerySet[Project]:
        return selectors.projects(self.organization)

    def get_serializer_context(self) -> dict[str, Any]:
        return {**super().get_serializer_context(), "list": self.request.method != "POST"}

    def get_parsers(self) -> list[Any]:
        return [StreamedUploadParser(), LimitedJSONParser()]

    head_bytes = HEAD_BYTES

    def require_fit(self, head: bytes) -> None:
        """Raises UnsupportedMedia for the beginning of what is certainly no video."""
        sources.require_video(head)

    def require_room(self, size: int) -> None:
        """Raises StorageLimitReached where an upload of so many bytes is certainly too much.

        Not for one that was stored already, and whose answer was lost.
        """
        try:
            stored.require_room(self.organization, size=max(1, size))
        except StorageLimitReached:
            key = self.request.headers.get("Idempotency-Key")
            if not is_answered(org=self.organization, key=key):
                raise

    @extend_schema(
        operation_id="list_projects",
        summary="Projects, newest first",
        description="Filters combine. `ids` and `external_id` find what you know, `q` what you look for, `updated_after` what has changed.",
    )
    def get(self, request: Request) -> HttpResponseBase:
        return self.polled(request)

    @extend_schema(
        operation_id="create_project",
        summary="Upload a video, or name its address, and start its analysis",
        description="Reserves 1 credit for each started minute of the source; they are charged when "
        "something is worth clipping, and given back otherwise. What the moments should be like may be "
        "said here; it can be said again for nothing, see `POST /projects/{id}/moments/select`. A source "
        "with a `source_url` is fetched first (stage `importing`): until its length is known, 1 credit is "
        "reserved.",
        parameters=DIGESTS,
        request={
            "multipart/form-data": ProjectUploadSerializer,
            "application/json": ProjectOrderSerializer,
        },
        responses={201: ProjectSerializer},
    )
    def post(self, request: Request) -> HttpResponse:
        if is_json(request):
            return self._order(request)
        try:
            return self._create(request)
        finally:
            for handler in getattr(request, "upload_handlers", ()):
                if isinstance(handler, PartUploadHandler):
                    handler.discard()

    def _order(self, request: Request) -> HttpResponse:
        form = ProjectOrderSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        values = dict(form.validated_data)
        terms = terms_of(values)
        url, upload_id = values.pop("source_url", None), values.pop("upload", None)
        options: dict[str, Any] = {
            "title": values.pop("title", ""),
            **{name: values.pop(name, None) for name in ("external_id", "metadata", "audio_track")},
            "terms": terms,
            "actor": self.principal.actor,
        }
        wishes = {k: v for k, v in values.items() if k not in {"max_credits", "quote_id"}}
        if upload_id is not None:
            return self._use(request, upload_id, {**options, "wishes": wishes})

        def create() -> Answer:
            return _made(
                services.import_project(
                    org=self.organization, source_url=url, wishes=wishes, **options
                )
            )

        return respond_once(request, self.organization, create)

    def _use(self, request: Request, upload_id: uuid.UUID, options: dict[str, Any]) -> HttpResponse:
        key = request.headers.get("Idempotency-Key")
        if is_answered(org=self.organization, key=key):  # its upload is used by now
            return respond_once(request, self.organization, _not_again)
        bringing = services.bring_upload(
            org=self.organization,
            upload_id=upload_id,
            audio_track=options["audio_track"],
            wishes=options["wishes"],
        )
        with bringing as brought:

            def create() -> Answer:
                return _made(services.use_upload(brought=brought, **options))

            return respond_once(request, self.organization, create)

    def _create(self, request: Request) -> HttpResponse:
        form = ProjectUploadSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        upload: UploadedPart = form.validated_data["file"]
        title: str = form.validated_data.get("title", "")
        own = {name: form.validated_data.get(name) for name in ("external_id", "metadata")}
        terms = terms_of(form.validated_data)
        others = {"file", "title", "audio_track", "max_credits", "quote_id", *own}
        wishes = {k: v for k, v in form.validated_data.items() if k not in others}
        writer = upload.writer
        track: int | None = form.validated_data.get("audio_track")
        source = sources.inspect_source(org=self.organization, path=writer.path, audio_track=track)
        require_inside(wishes, duration=source.duration)

        def create(arrival: Arrival) -> Answer:
            project = services.create_project(
                org=self.organization,
                title=title,
                **own,
                source_name=upload.name or "",
                part=arrival,
                size=writer.size,
                sha256=writer.sha256,
                source=source,
                wishes=wishes,
                audio_track=track,
                terms=terms,
                actor=self.principal.actor,
            )
            return _made(project)

        named = "" if track is None else f"\n{track}"
        content = f"{writer.sha256}\n{title}\n{upload.name}\n{wishes}{named}".encode()
        if any(own.values()):
            content += f"\n{json.dumps(own, sort_keys=True)}".encode()
        if terms != AT_ANY_PRICE:
            content += f"\n{terms}".encode()
        bringing = services.bring_source(
            org=self.organization, part=writer.path, sha256=writer.sha256
        )
        with bringing as arrival:
            return respond_once(
                request, self.organization, functools.partial(create, arrival), content=content
            )


def _not_again() -> Answer:
    raise Conflict("The answer to this key was forgotten just now. Send the request again.")


def _made(project: Project) -> Answer:
    return answer(
        status.HTTP_201_CREATED,
        ProjectSerializer(project, context={"list": False}).data,
        location=reverse("project", args=[project.pk]),
    )


class ProjectView(JobView):
    """One project of the organization; the base of everything below `/projects/{id}`."""

    serializer_class = ProjectSerializer

    def get_job(self) -> Project:
        return selectors.get_project(self.organization, self.kwargs["project_id"])


class ProjectDetail(ProjectView, JobDetail):
    model = Project
    problems = {"patch": (409,)}
    query_parameters = {"get": JobDetail.query_parameters["get"] | {expanding.PARAMETER}}
    expandable = Project
    codes = {**JobDetail.codes, "patch": refusals.UPDATE}

    @extend_schema(
        operation_id="get_project",
        summary="One project, with its progress",
        description="Poll it with `If-None-Match`: what has not changed is 304. `Retry-After` says when there "
        "may be news; `wait` lets the request wait for it.",
        parameters=[
            WAIT,
            OpenApiParameter(
                expanding.PARAMETER,
                {"type": "array", "items": {"type": "string", "enum": ["exports", "moments"]}},
                explode=False,
                style="form",
                description="Also show the first 50 of these, by commas.",
            ),
        ],
    )
    def get(self, request: Request, project_id: uuid.UUID) -> HttpResponse:
        if names := expanding.asked(request, Project):
            if "wait" in request.query_params:
                raise Invalid("wait is for the project alone: leave out expand, or wait.")
            return self.expanded(request, names)
        return self.polled(request)

    @extend_schema(
        operation_id="update_project",
        summary="Change the title, the external id or the metadata",
        description="Only what is given is changed. An external id is taken away with null.",
        request=ProjectUpdateSerializer,
        responses=ProjectSerializer,
        examples=[OpenApiExample("A title", {"title": "Interview, uncut"}, request_only=True)],
    )
    def patch(self, request: Request, project_id: uuid.UUID) -> Response:
        project = self.get_job()
        form = ProjectUpdateSerializer(data=request.data, partial=True)
        form.is_valid(raise_exception=True)
        if form.validated_data:
            project = services.update_project(project=project, **form.validated_data)
        return self.shown(project)

    @extend_schema(
        operation_id="delete_project",
        summary="Delete the project with its moments, exports and files",
        description="A running analysis is cancelled first, and its credits come back.",
        responses={204: None},
    )
    def delete(self, request: Request, project_id: uuid.UUID) -> Response:
        project = self.get_job()
        services.delete_project(project=project, actor=self.principal.actor)
        return Response(status=status.HTTP_204_NO_CONTENT)


@extend_schema_view(
    post=extend_schema(
        operation_id="cancel_project",
        summary="Stop the analysis and give the credits back",
        description="Repeating it changes nothing.",
        request=None,
    )
)
class ProjectCancel(ProjectView, JobCancel):
    pass


@extend_schema_view(
    post=extend_schema(
        operation_id="retry_project",
        summary="Analyse again after a failure or a cancel",
        description="Under the same id and at today's price, unless a quote is named. Only what failed or was cancelled.",
        request=TermsSerializer,
        examples=[OpenApiExample("At most so much", {"max_credits": 30}, request_only=True)],
    )
)
class ProjectRetry(ProjectView, JobRetry):
    pass
