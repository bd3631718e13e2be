"""Moments over HTTP."""

from __future__ import annotations

import uuid
from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse, HttpResponseBase
from django.urls import reverse
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from clipforge.common.api import expanding
from clipforge.common.api.pagination import first_rows
from clipforge.media import Chosen
from clipforge.orgs.api.idempotency import Answer, answer, respond_once
from clipforge.orgs.api.lists import KeptList
from clipforge.orgs.api.views import OrgView
from projects import caching, moments, selectors
from projects.api import refusals
from projects.api.filters import MomentFilter
from projects.api.serializers import (
    ChosenSerializer,
    EdgesSerializer,
    MomentSerializer,
    MomentUpdateSerializer,
    WishesSerializer,
)
from projects.models import Moment, Project


class MomentList(KeptList):
    first_rows = first_rows(selectors.moments_of, ("score", "id"))
    serializer_class = MomentSerializer
    filterset_class = MomentFilter
    keyset = ("score", "id")
    idempotent_methods = ("post",)
    costs = {"post": {"api": 2}}
    problems = {"post": (409,)}
    codes = {"post": refusals.MOMENTS}

    queryset = Moment.objects.none()  # names the model; what is listed comes from get_queryset

    def pages_family(self) -> str:
        return caching.moments_family(self.kwargs["project_id"])

    def seconds_kept(self, shown: list[Any], *, since: float) -> float:
        return caching.MOMENTS_SECONDS

    def owner_id(self) -> uuid.UUID:
        return selectors.get_project(self.organization, self.kwargs["project_id"]).pk

    def get_queryset(self) -> QuerySet[Moment]:
        project = selectors.get_project(self.organization, self.kwargs["project_id"])
        return selectors.moments(project)

    @extend_schema(
        operation_id="list_moments",
        summary="Moments of a project, best first",
        description="With the reasons of each score. `min_score` leaves out what is weaker.",
    )
    def get(self, request: Request, project_id: uuid.UUID) -> HttpResponseBase:
        return self.polled(request)

    @extend_schema(
        operation_id="create_moment",
        summary="Make a moment by hand",
        description="It is rated as the others are, and choosing again leaves it as it is. Free.",
        request=EdgesSerializer,
        responses={201: MomentSerializer},
        examples=[
            OpenApiExample(
                "From sentence to sentence",
                {"start": 61.5, "end": 92, "snap": "sentence", "title": "The turning point"},
                request_only=True,
            )
        ],
    )
    def post(self, request: Request, project_id: uuid.UUID) -> HttpResponse:
        project = selectors.get_project(self.organization, project_id)
        form = EdgesSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        edges: dict[str, Any] = {"title": "", **form.validated_data}
        title = edges.pop("title")
        placed = moments.place_moment(project=project, **edges)

        def make() -> Answer:
            locked = selectors.get_project(self.organization, project_id, lock=True)
            moment = moments.make_moment(project=locked, placed=placed, title=title)
            return answer(
                status.HTTP_201_CREATED,
                MomentSerializer(moment).data,
                location=reverse("moment", args=[moment.pk]),
            )

        return respond_once(request, self.organization, make)


expanding.register(
    Project,
    "moments",
    expanding.Expansion(
        serializer=MomentSerializer,
        keyset=MomentList.keyset,
        rows=selectors.moments,
        address=lambda project: reverse("moments", args=[project.pk]),
    ),
)


class MomentSelect(OrgView):
    serializer_class = ChosenSerializer
    pagination_class = None
    idempotent_methods = ("post",)
    costs = {"post": {"api": 2}}
    problems = {"post": (409,)}
    codes = {"post": refusals.MOMENTS}

    @extend_schema(
        operation_id="select_moments",
        summary="Choose the moments again, with other wishes",
        description="Free, and without analysing again. The new moments replace those that were chosen "
        "before. What was made by hand, pinned, rated or exported stays as it is, and the new ones keep "
        "clear of it.",
        request=WishesSerializer,
        responses=ChosenSerializer,
        examples=[
            OpenApiExample(
                "Five short ones about two subjects",
                {"count": 5, "max_seconds": 45, "keywords": ["funding", "first customer"]},
                request_only=True,
            )
        ],
    )
    def post(self, request: Request, project_id: uuid.UUID) -> HttpResponse:
        project = selectors.get_project(self.organization, project_id)
        form = WishesSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        chosen = moments.choose_again(project=project, wishes=form.validated_data)

        def replace() -> Answer:
            locked = selectors.get_project(self.organization, project_id, lock=True)
            new = moments.replace_moments(project=locked, chosen=chosen)
            return answer(status.HTTP_200_OK, ChosenSerializer({"results": new}).data)

        return respond_once(request, self.organization, replace)


class MomentDetail(OrgView):
    serializer_class = MomentSerializer
    pagination_class = None
    costs = {"patch": {"api": 2}}
    problems = {"patch": (409,)}
    codes = {"patch": refusals.MOMENTS}

    def get_moment(self) -> Moment:
        return selectors.get_moment(self.organization, self.kwargs["moment_id"])

    @extend_schema(
        operation_id="get_moment",
        summary="One moment",
        description="With the reasons of its score, and what people made of it.",
    )
    def get(self, request: Request, moment_id: uuid.UUID) -> Response:
        return Response(MomentSerializer(self.get_moment()).data)

    @extend_schema(
        operation_id="update_moment",
        summary="Move its edges, title, pin or rate it",
        description="A moment that was moved is rated anew and pinned. Exports that were made of it keep "
        "the edges that they were made with. A rating is kept beside the scores that it was given for.",
        request=MomentUpdateSerializer,
        responses=MomentSerializer,
        examples=[
            OpenApiExample("A better end", {"end": 92.4, "snap": "sentence"}, request_only=True),
            OpenApiExample("A good one", {"rating": "up"}, request_only=True),
        ],
    )
    def patch(self, request: Request, moment_id: uuid.UUID) -> Response:
        moment = self.get_moment()
        form = MomentUpdateSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        changes: dict[str, Any] = form.validated_data
        placed = self._placed(moment, changes)
        moment = moments.change_moment(moment=moment, placed=placed, changes=changes)
        return Response(MomentSerializer(moment).data)

    def _placed(self, moment: Moment, changes: dict[str, Any]) -> Chosen | None:
        """The moment at the edges that are asked for, which are taken out of the changes."""
        edges = {name: changes.pop(name) for name in ("start", "end", "snap") if name in changes}
        if not edges:
            return None
        return moments.place_moment(
            project=moment.project,
            start=edges.get("start", moment.start),
            end=edges.get("end", moment.end),
            snap=edges.get("snap", "none"),
        )

    @extend_schema(
        operation_id="delete_moment",
        summary="Delete a moment",
        description="Exports that were made of it stay.",
        responses={204: None},
    )
    def delete(self, request: Request, moment_id: uuid.UUID) -> Response:
        moments.delete_moment(moment=self.get_moment())
        return Response(status=status.HTTP_204_NO_CONTENT)
