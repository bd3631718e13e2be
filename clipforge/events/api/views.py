"""Webhook endpoints over HTTP, what was sent to them, and asking for it again."""

from __future__ import annotations

import uuid
from typing import Any

from django.db.models import QuerySet
from django.http import HttpResponse
from django.urls import reverse
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import status
from rest_framework.mixins import ListModelMixin
from rest_framework.request import Request
from rest_framework.response import Response

from clipforge.common.versions import NEWEST
from clipforge.events import selectors, services
from clipforge.events.api import refusals
from clipforge.events.api.filters import DeliveryFilter, EndpointFilter
from clipforge.events.api.requests import (
    EndpointCreateSerializer,
    EndpointUpdateSerializer,
    ReplaySerializer,
)
from clipforge.events.api.serializers import (
    DeliveryDetailSerializer,
    DeliverySerializer,
    EndpointSerializer,
    EndpointWithSecretSerializer,
    ReplayedSerializer,
)
from clipforge.events.models import Delivery, Endpoint
from clipforge.events.services import NewSecret
from clipforge.orgs.api.idempotency import Answer, answer, respond_once
from clipforge.orgs.api.views import OrgView
from clipforge.orgs.models import Scope

# In the audit, for whatever a client of the API does.
REASON = "Asked for through the API"
# Also to read: whoever knows the address of a webhook can often send to it, so no page is shown it.
SCOPE = Scope.WEBHOOKS


class EndpointList(ListModelMixin, OrgView):
    scope = read_scope = SCOPE
    serializer_class = EndpointSerializer
    filterset_class = EndpointFilter
    keyset = ("created_at", "id")
    problems = {"post": (409,)}
    codes = {"post": refusals.ENDPOINT}

    queryset = Endpoint.objects.none()  # names the model; what is listed comes from get_queryset

    def get_queryset(self) -> QuerySet[Endpoint]:
        return selectors.endpoints(self.organization)

    @extend_schema(
        operation_id="list_webhook_endpoints",
        summary="Webhook endpoints, newest first",
        description="The addresses that are told of events.",
    )
    def get(self, request: Request) -> Response:
        return self.list(request)

    @extend_schema(
        operation_id="create_webhook_endpoint",
        summary="Have an address told of events",
        description="The answer has the secret that requests are signed with. It is shown this once; "
        "if it is lost, rotate it.",
        request=EndpointCreateSerializer,
        responses={201: EndpointWithSecretSerializer},
        examples=[
            OpenApiExample(
                "Finished exports",
                {
                    "url": "https://example.com/clipforge",
                    "event_types": ["export.ready", "export.failed"],
                },
                request_only=True,
            ),
            OpenApiExample(
                "Everything, in one version whatever comes",
                {"url": "https://example.com/clipforge", "api_version": "2026-11-30"},
                request_only=True,
            ),
        ],
    )
    def post(self, request: Request) -> Response:
        form = EndpointCreateSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        made = services.create_endpoint(
            org=self.organization,
            **{"api_version": (self.version or NEWEST).name, **form.validated_data},
            reason=REASON,
            actor=self.principal.cause,
        )
        return Response(
            shown_once(made),
            status=status.HTTP_201_CREATED,
            headers={
                "Location": reverse("webhook-endpoint", args=[made.endpoint.pk]),
                "Cache-Control": "no-store",
            },
        )


class EndpointView(OrgView):
    """One endpoint of the organization; the base of everything below `/webhooks/endpoints/{id}`."""

    scope = read_scope = SCOPE

    serializer_class = EndpointSerializer
    pagination_class: Any = None
    problems: dict[str, tuple[int, ...]] = {}

    def endpoint(self) -> Endpoint:
        return selectors.get_endpoint(self.organization, self.kwargs["endpoint_id"])


class EndpointDetail(EndpointView):
    problems = {"patch": (409,)}
    codes = {"patch": refusals.ENDPOINT}

    @extend_schema(
        operation_id="get_webhook_endpoint",
        summary="One webhook endpoint",
        description="Whether it is enabled, and since when it fails.",
    )
    def get(self, request: Request, endpoint_id: uuid.UUID) -> Response:
        return Response(EndpointSerializer(self.endpoint()).data)

    @extend_schema(
        operation_id="update_webhook_endpoint",
        summary="Change an endpoint, or enable it again",
        description="Only what is given is changed. One that was disabled for its failures begins anew.",
        request=EndpointUpdateSerializer,
        responses=EndpointSerializer,
        examples=[OpenApiExample("Enable it again", {"is_enabled": True}, request_only=True)],
    )
    def patch(self, request: Request, endpoint_id: uuid.UUID) -> Response:
        endpoint = self.endpoint()
        form = EndpointUpdateSerializer(data=request.data, partial=True)
        form.is_valid(raise_exception=True)
        changed = services.update_endpoint(
            endpoint=endpoint, reason=REASON, actor=self.principal.cause, **form.validated_data
        )
        return Response(EndpointSerializer(changed).data)

    @extend_schema(
        operation_id="delete_webhook_endpoint",
        summary="Delete an endpoint; what waits for it is never sent",
        description="At once. Its deliveries go with it.",
        responses={204: None},
    )
    def delete(self, request: Request, endpoint_id: uuid.UUID) -> Response:
        services.delete_endpoint(
            endpoint=self.endpoint(), reason=REASON, actor=self.principal.cause
        )
        return Response(status=status.HTTP_204_NO_CONTENT)


class SecretRotation(EndpointView):
    bodyless_methods = ("post",)

    @extend_schema(
        operation_id="rotate_webhook_secret",
        summary="Give an endpoint a new secret",
        description="For 24 hours, the ones before sign beside it: every request has a signature of "
        "each. The answer has the new secret, and is the only one that has.",
        request=None,
        responses=EndpointWithSecretSerializer,
    )
    def post(self, request: Request, endpoint_id: uuid.UUID) -> Response:
        made = services.rotate_secret(
            endpoint=self.endpoint(), reason=REASON, actor=self.principal.cause
        )
        return Response(shown_once(made), headers={"Cache-Control": "no-store"})


class EndpointTest(EndpointView):
    bodyless_methods = ("post",)
    idempotent_methods = ("post",)
    problems = {"post": (409,)}
    codes = {"post": refusals.DISABLED}

    @extend_schema(
        operation_id="test_webhook_endpoint",
        summary="Send an endpoint the event `endpoint.test`",
        description="To see that it is reached and that its signature is checked.",
        request=None,
        responses={201: DeliverySerializer},
    )
    def post(self, request: Request, endpoint_id: uuid.UUID) -> HttpResponse:
        endpoint = self.endpoint()

        def send() -> Answer:
            delivery = services.send_test(endpoint=endpoint)
            delivery.refresh_from_db()
            place = reverse("webhook-delivery", args=[delivery.pk])
            data = DeliverySerializer(delivery).data
            return answer(status.HTTP_201_CREATED, data, location=place)

        return respond_once(request, self.organization, send)


class EndpointReplay(EndpointView):
    problems = {"post": (409,)}
    codes = {"post": refusals.REPLAY}

    @extend_schema(
        operation_id="replay_webhook_events",
        summary="Send an endpoint again all that happened in a time",
        description="Also what happened before the endpoint was made, or while it was disabled, up "
        f"to 30 days ago; at most {services.MAX_REPLAY} events. Each has the id that it had before.",
        request=ReplaySerializer,
        responses={202: ReplayedSerializer},
        examples=[
            OpenApiExample(
                "An hour",
                {
                    "created_after": "2026-11-30T10:00:00Z",
                    "created_before": "2026-11-30T11:00:00Z",
                },
                request_only=True,
            ),
        ],
    )
    def post(self, request: Request, endpoint_id: uuid.UUID) -> Response:
        endpoint = self.endpoint()
        form = ReplaySerializer(data=request.data)
        form.is_valid(raise_exception=True)
        count = services.replay_range(
            endpoint=endpoint,
            after=form.validated_data["created_after"],
            before=form.validated_data["created_before"],
        )
        return Response({"events": count}, status=status.HTTP_202_ACCEPTED)


class DeliveryList(ListModelMixin, OrgView):
    scope = read_scope = SCOPE
    serializer_class = DeliverySerializer
    filterset_class = DeliveryFilter
    keyset = ("created_at", "id")

    queryset = Delivery.objects.none()  # names the model; what is listed comes from get_queryset

    def get_queryset(self) -> QuerySet[Delivery]:
        endpoint = selectors.get_endpoint(self.organization, self.kwargs["endpoint_id"])
        return selectors.deliveries(endpoint)

    @extend_schema(
        operation_id="list_webhook_deliveries",
        summary="What an endpoint is told, newest first",
        description="Each event that was sent or will be, with what the endpoint answered.",
    )
    def get(self, request: Request, endpoint_id: uuid.UUID) -> Response:
        return self.list(request)


class DeliveryView(OrgView):
    """One delivery of the organization."""

    scope = read_scope = SCOPE

    serializer_class: Any = DeliveryDetailSerializer
    pagination_class = None
    problems: dict[str, tuple[int, ...]] = {}

    def delivery(self) -> Delivery:
        return selectors.get_delivery(self.organization, self.kwargs["delivery_id"])


class DeliveryDetail(DeliveryView):
    @extend_schema(
        operation_id="get_webhook_delivery",
        summary="One delivery: its body and its attempts",
        description="With what the endpoint answered to each attempt, so far as it was kept.",
    )
    def get(self, request: Request, delivery_id: uuid.UUID) -> Response:
        return Response(DeliveryDetailSerializer(self.delivery()).data)


class DeliveryReplay(DeliveryView):
    bodyless_methods = ("post",)
    problems = {"post": (409,)}
    codes = {"post": refusals.DISABLED}

    @extend_schema(
        operation_id="replay_webhook_delivery",
        summary="Send it again, under the same id",
        description="Whoever got it before knows it by its id, which stays.",
        request=None,
        responses={202: DeliverySerializer},
    )
    def post(self, request: Request, delivery_id: uuid.UUID) -> Response:
        delivery = services.replay_delivery(delivery=self.delivery())
        return Response(DeliverySerializer(delivery).data, status=status.HTTP_202_ACCEPTED)


def shown_once(made: NewSecret) -> dict[str, Any]:
    context = {"secret": made.secret}
    return dict(EndpointWithSecretSerializer(made.endpoint, context=context).data)
