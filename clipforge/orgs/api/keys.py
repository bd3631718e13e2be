"""The keys of an organization over HTTP: listed, made, limited, rotated, revoked."""

from __future__ import annotations

import uuid
from typing import Any

from django.db.models import QuerySet
from django.urls import reverse
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import status
from rest_framework.request import Request
from rest_framework.response import Response

from clipforge.orgs import selectors, services
from clipforge.orgs.api import refusals
from clipforge.orgs.api.filters import KeyFilter
from clipforge.orgs.api.serializers import (
    KeyLimitsSerializer,
    KeyRequestSerializer,
    KeyRevocationSerializer,
    KeyRotationSerializer,
    KeySerializer,
    KeysSerializer,
    NewKeySerializer,
)
from clipforge.orgs.api.views import OrgView
from clipforge.orgs.models import APIKey, Organization, Scope

# In the audit, for whatever a client of the API does.
REASON = "Asked for through the API"


class KeyList(OrgView):
    scope = read_scope = Scope.KEYS
    serializer_class = KeySerializer
    filterset_class = KeyFilter
    keyset = ("created_at", "id")
    problems = {"post": (409,)}
    codes = {"post": refusals.GRANT}

    queryset = APIKey.objects.none()  # names the model; what is listed comes from get_queryset

    def get_queryset(self) -> QuerySet[APIKey]:
        # Of the sandbox where it is asked for: see KeyFilter.
        return selectors.lasting_keys(self.organization)

    @extend_schema(
        operation_id="list_keys",
        summary="Keys, newest first",
        description="Those that ended and were revoked too. Tokens of pages are not listed.",
        responses=KeySerializer(many=True),
    )
    def get(self, request: Request) -> Response:
        page = self.paginate_queryset(self.filter_queryset(self.get_queryset()))
        return self.get_paginated_response(shown(page or []))

    @extend_schema(
        operation_id="create_key",
        summary="Make a key",
        description="It can do no more than the key that asks for it. The answer has its text, and is the "
        "only one that has: whoever loses it revokes the key and makes another.",
        request=KeyRequestSerializer,
        responses={201: NewKeySerializer},
        examples=[
            OpenApiExample(
                "To upload and export, from one network, up to 500 credits a month",
                {
                    "name": "render farm",
                    "scopes": ["read", "write"],
                    "allowed_addresses": ["203.0.113.0/24", "2001:db8::/32"],
                    "monthly_credit_cap": 500,
                },
                request_only=True,
            ),
            OpenApiExample(
                "For tests",
                {"name": "continuous integration", "mode": "test"},
                request_only=True,
            ),
        ],
    )
    def post(self, request: Request) -> Response:
        form = KeyRequestSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        own, organization = self.principal.api_key, self._organization_of(form)
        cap = own.monthly_cap if organization == self.organization else None
        made = services.create_api_key(
            organization=organization,
            name=form.validated_data["name"],
            monthly_cap=form.validated_data.get("monthly_credit_cap", cap),
            **form.grants(own),
            created_with=own,
            reason=REASON,
            actor=self.principal.cause,
        )
        return Response(
            shown_once(made),
            status=status.HTTP_201_CREATED,
            headers={"Location": reverse("key", args=[made.api_key.pk])},
        )

    def _organization_of(self, form: KeyRequestSerializer) -> Organization:
        if form.validated_data.get("mode") != "test" or self.organization.is_sandbox:
            if form.validated_data.get("mode") == "live":
                services.require_live(self.organization)
            return self.organization
        return services.ensure_sandbox(
            organization=self.organization, reason=REASON, actor=self.principal.cause
        )


class KeyView(OrgView):
    """One key of the organization, or of its sandbox; the base of everything below `/keys/{id}`."""

    scope = read_scope = Scope.KEYS
    serializer_class: Any = KeySerializer
    pagination_class = None
    problems: dict[str, tuple[int, ...]] = {}

    def key(self) -> APIKey:
        return selectors.lasting_key(self.organization, self.kwargs["key_id"])


class KeyDetail(KeyView):
    problems = {"patch": (409,)}
    codes = {"patch": refusals.LIMIT}

    @extend_schema(
        operation_id="get_key",
        summary="One key",
        description="What it may do, until when, what it spent in this month and when it was last used.",
    )
    def get(self, request: Request, key_id: uuid.UUID) -> Response:
        return Response(shown([self.key()])[0])

    @extend_schema(
        operation_id="update_key",
        summary="Change what a key may do, from where, and how much",
        description="From the next request on; what is left out stays. Any key may be narrowed, also the one "
        "that asks. One that is given more can then do no more than the key that asks. The cap is that of "
        "all keys that share it.",
        request=KeyLimitsSerializer,
        responses=KeySerializer,
        examples=[
            OpenApiExample(
                "To look only, from one network",
                {"scopes": ["read"], "allowed_addresses": ["203.0.113.0/24"]},
                request_only=True,
            ),
            OpenApiExample("No cap", {"monthly_credit_cap": None}, request_only=True),
        ],
    )
    def patch(self, request: Request, key_id: uuid.UUID) -> Response:
        key = self.key()
        form = KeyLimitsSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        services.limit_api_key(
            api_key=key,
            **form.limits(),
            changed_with=self.principal.api_key,
            reason=REASON,
            actor=self.principal.cause,
        )
        return Response(shown([self.key()])[0])

    @extend_schema(
        operation_id="revoke_key",
        summary="Revoke a key, and no other",
        description="It is refused from the next request on, and so are its tokens. Also the key that "
        "asks may be revoked; the others of the organization stay as they are, also those that it made: "
        "see `POST /keys/{id}/revoke`.",
        responses={204: None},
    )
    def delete(self, request: Request, key_id: uuid.UUID) -> Response:
        services.revoke_api_key(api_key=self.key(), reason=REASON, actor=self.principal.cause)
        return Response(status=status.HTTP_204_NO_CONTENT)


class KeyDescendants(KeyView):
    @extend_schema(
        operation_id="list_key_descendants",
        summary="The working keys that come from a key",
        description="Those that were made with it, or in its place by rotation, and with those in turn, "
        "oldest first, also in the sandbox. `POST /keys/{id}/revoke` revokes them with it.",
        responses=KeysSerializer,
    )
    def get(self, request: Request, key_id: uuid.UUID) -> Response:
        return Response({"keys": shown(list(selectors.working_descendants(self.key())))})


class KeyRevocation(KeyView):
    @extend_schema(
        operation_id="revoke_key_family",
        summary="Revoke a key in wrong hands, with all that come from it",
        description="Whoever had it may have made others. The answer has the keys that worked until now. "
        "Repeating it finds what is left: none.",
        request=KeyRevocationSerializer,
        responses=KeysSerializer,
        examples=[
            OpenApiExample("It leaked", {"descendants": True}, request_only=True),
            OpenApiExample("This one alone", {"descendants": False}, request_only=True),
        ],
    )
    def post(self, request: Request, key_id: uuid.UUID) -> Response:
        key = self.key()
        form = KeyRevocationSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        cause: Any = {"api_key": key, "reason": REASON, "actor": self.principal.cause}
        if form.validated_data["descendants"]:
            revoked = services.revoke_with_descendants(**cause)
        else:
            revoked = [key] if services.revoke_api_key(**cause) else []
        return Response({"keys": shown(selectors.as_they_are(revoked))})


class KeyRotation(KeyView):
    problems = {"post": (409,)}
    codes = {"post": refusals.ROTATE}

    @extend_schema(
        operation_id="rotate_key",
        summary="Give a key a successor",
        description="The successor may do the same, under the same cap. The key that it replaces works for "
        "`overlap_hours` more, and its tokens no longer than it. Both are listed; the owners get mail. "
        "A key has one successor: rotated again it is 409 `key_rotated`.",
        request=KeyRotationSerializer,
        responses={201: NewKeySerializer},
        examples=[OpenApiExample("Within a day", {"overlap_hours": 24}, request_only=True)],
    )
    def post(self, request: Request, key_id: uuid.UUID) -> Response:
        key = self.key()
        form = KeyRotationSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        made = services.rotate_api_key(
            api_key=key,
            overlap_hours=form.validated_data["overlap_hours"],
            created_with=self.principal.api_key,
            reason=REASON,
            actor=self.principal.cause,
        )
        return Response(
            shown_once(made),
            status=status.HTTP_201_CREATED,
            headers={"Location": reverse("key", args=[made.api_key.pk])},
        )


def shown(found: list[APIKey]) -> list[dict[str, Any]]:
    """The keys, all of one organization, with what they spent."""
    spent = selectors.spent_this_month(found)
    return list(KeySerializer(found, many=True, context={"spent": spent}).data)


def shown_once(made: services.NewKey) -> dict[str, Any]:
    spent = selectors.spent_this_month([made.api_key])
    context = {"secret": made.secret, "spent": spent}
    return dict(NewKeySerializer(made.api_key, context=context).data)
