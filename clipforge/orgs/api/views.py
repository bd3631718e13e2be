"""The base of every view of a customer's data, and `GET /me`."""

from __future__ import annotations

import datetime
from dataclasses import replace
from typing import Any, ClassVar, cast

from django.utils import timezone
from drf_spectacular.utils import OpenApiExample, extend_schema
from rest_framework import status
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.response import Response

from clipforge.common.api.conditional import conditional
from clipforge.common.api.filters import refuse_unknown_parameters
from clipforge.common.api.parsers import require_readable
from clipforge.common.api.problems import Problem
from clipforge.common.api.unknown_fields import refuse_body
from clipforge.common.api.versions import change_back, etags_of, tell
from clipforge.common.api.views import LeanView
from clipforge.common.versions import NEWEST, Version, version_of
from clipforge.common.waiting import wait_of
from clipforge.orgs import services, stored
from clipforge.orgs.admission import Admission
from clipforge.orgs.api.request_path import (
    add_limit_headers,
    admission_of,
    recognise,
    require_permission,
    tell_readers,
)
from clipforge.orgs.api.serializers import (
    SCOPES_OF_TOKENS,
    APIKeySerializer,
    MeSerializer,
    OrganizationSerializer,
    OriginsSerializer,
    TierLimitsSerializer,
    TokenRequestSerializer,
    TokenSerializer,
)
from clipforge.orgs.models import Organization, Scope
from clipforge.orgs.principal import Principal
from clipforge.orgs.refusal_log import refusal_log
from clipforge.orgs.refused import refusals
from clipforge.orgs.selectors import with_override
from clipforge.orgs.windows import Costs

# The cost of a request whose view says nothing else.
ONE_REQUEST: Costs = {"api": 1}


class OrgView(LeanView):
    """A view inside one organization: the one that the API key belongs to."""

    # The docstring is the description of each such route in the API's schema. The path of a request to
    # such a view is in `clipforge.orgs.api.request_path`.

    # The cost of a request in each window, by method: `{"post": {"api": 2, "exports": 1}}`.
    costs: ClassVar[dict[str, Costs]] = {}
    # The query parameters that it knows, by method; a list has those of its filterset.
    query_parameters: ClassVar[dict[str, frozenset[str]]] = {}
    # A family of cached values, one of each organization, read in the round trip that recognises the key.
    # Or the key of one that all share, after a `=`, if it has `prefetch_life` seconds left.
    prefetch: ClassVar[str] = ""
    prefetch_life: ClassVar[float] = 0
    # The scope that a key needs in order to write here, and to read: of `Scope`.
    scope: ClassVar[str] = Scope.WRITE
    read_scope: ClassVar[str] = Scope.READ
    # Of what a GET shows: a cache may keep it, and asks each time whether it is still so.
    cache_control: ClassVar[str] = "private, no-cache"
    # Of the API, by date; None until the request is recognised.
    version: Version | None = None
    # Methods that read no body, and refuse one: what it says would be ignored.
    bodyless_methods: ClassVar[tuple[str, ...]] = ("delete",)

    @classmethod
    def needed_scope(cls, method: str) -> str:
        """The one scope that a key needs for this method here."""
        return cls.read_scope if method in SAFE_METHODS else cls.scope

    @property
    def principal(self) -> Principal:
        return cast("Principal", self.request.user)

    @property
    def organization(self) -> Organization:
        return self.principal.organization

    @property
    def prefetched(self) -> bytes | None:
        """The cached value that `prefetch` names as the request came in; None without one."""
        admission = admission_of(self.request)
        return admission.prefetched if admission else None

    def prefetch_family(self) -> str:
        """The `prefetch` of this request."""
        return self.prefetch

    def perform_authentication(self, request: Request) -> None:
        """Recognise the key and charge its windows; then let DRF's classes act on what was found."""
        costs = self.costs.get(str(request.method).lower(), ONE_REQUEST)
        wait = wait_of(request)
        charged: Admission | None = wait.admission if wait is not None else None
        admission = recognise(
            request,
            costs=costs if charged is None else {},
            prefetch=self.prefetch_family(),
            prefetch_life=self.prefetch_life,
        )
        if charged is not None and admission is not None:  # run again, after a wait
            admission = replace(admission, results=charged.results)
        request.admission = admission  # type: ignore[attr-defined]
        super().perform_authentication(request)

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        super().initial(request, *args, **kwargs)
        self.version = self._version(request)
        if request.user is not None:
            scope = self.needed_scope(str(request.method))
            require_permission(request, self.principal, scope=scope)
        if not hasattr(self, str(request.method).lower()):
            return  # 405 whatever else is wrong with it
        require_readable(request)
        if not (request.method in SAFE_METHODS and hasattr(self, "keyset")):
            refuse_unknown_parameters(request, self._query_parameters(str(request.method)))
        if str(request.method).lower() in self.bodyless_methods:
            refuse_body(request)

    def _version(self, request: Request) -> Version:
        """The version of the API that the answer shall have. Raises BadRequest."""
        admission = admission_of(request)
        made_at = admission.principal.organization.created_at if admission else None
        version = version_of(request.META.get("HTTP_CLIPFORGE_VERSION", ""), made_at)
        if version is not NEWEST and "HTTP_IF_NONE_MATCH" in request.META:
            offered = request.META["HTTP_IF_NONE_MATCH"]
            request.META["HTTP_IF_NONE_MATCH"] = etags_of(version, offered)
        return version

    def _query_parameters(self, method: str) -> set[str]:
        if method == "OPTIONS":  # about all of them
            return set().union(*self.query_parameters.values())
        return set(self.query_parameters.get("get" if method == "HEAD" else method.lower(), ()))

    def finalize_response(
        self, request: Request, response: Any, *args: object, **kwargs: object
    ) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)
        is_shown = request.method in {"GET", "HEAD"} and response.status_code in {200, 304}
        response.headers.setdefault("Cache-Control", self.cache_control if is_shown else "no-store")
        version = self.version
        if version is not None and version is not NEWEST:
            change_back(response, version)
        if is_shown and response.status_code == 200:
            response = conditional(request, response)
        if version is not None:
            tell(response, version)
        add_limit_headers(response, admission_of(request))
        tell_readers(request, response)
        if isinstance(response, Problem):
            _note_refusal(request, response)
        return response


def _note_refusal(request: Request, response: Problem) -> None:
    """Keep for the find of staff that it was refused; count it for the organization that is known."""
    document, admission = response.document, admission_of(request)
    refusal_log.keep(request._request, document)
    if admission is None:
        return
    limit = document.get("limit")  # of a size it is a number
    refusals.count(
        admission.principal.api_key,
        status=document["status"],
        code=document["code"],
        limit_name=limit if isinstance(limit, str) else "",
    )


class OriginsView(OrgView):
    codes = {"put": {422: {"invalid_origin": "An origin is a scheme, a host and maybe a port."}}}

    serializer_class = OriginsSerializer
    pagination_class = None
    scope = Scope.KEYS

    @extend_schema(
        operation_id="get_origins",
        summary="The origins whose pages may read answers",
        description="A browser shows an answer to a page only if its origin is in this list.",
    )
    def get(self, request: Request) -> Response:
        return Response({"origins": self.organization.allowed_origins.split()})

    @extend_schema(
        operation_id="replace_origins",
        summary="Allow pages of these origins, and of no others",
        description="At once, for requests with any key or token of the organization.",
        request=OriginsSerializer,
        examples=[
            OpenApiExample("One site", {"origins": ["https://app.example.com"]}, request_only=True)
        ],
    )
    def put(self, request: Request) -> Response:
        form = OriginsSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        origins = services.allow_origins(
            organization=self.organization,
            origins=form.validated_data["origins"],
            reason="Asked for through the API",
            actor=self.principal.cause,
        )
        return Response({"origins": origins})


class TokenView(OrgView):
    serializer_class = TokenSerializer
    pagination_class = None
    scope = Scope.KEYS

    @extend_schema(
        operation_id="create_token",
        summary="A short-lived token for a page",
        description="For a page in a browser, where a key would be read by everybody. It may do what "
        "its scope says, which the key that asks for it must have too, from origins that are allowed, "
        "until it ends. It ends with that key at the latest, also where it is revoked or rotated, and "
        "shares its monthly cap.",
        request=TokenRequestSerializer,
        responses={201: TokenSerializer},
        examples=[OpenApiExample("To look", {"scope": "read", "minutes": 15}, request_only=True)],
    )
    def post(self, request: Request) -> Response:
        form = TokenRequestSerializer(data=request.data)
        form.is_valid(raise_exception=True)
        ends = timezone.now() + datetime.timedelta(minutes=form.validated_data["minutes"])
        made = services.create_token(
            created_with=self.principal.api_key,
            scopes=SCOPES_OF_TOKENS[form.validated_data["scope"]],
            expires_at=ends,
            reason="Asked for through the API",
            actor=self.principal.cause,
        )
        data = {
            "token": made.secret,
            "scope": form.validated_data["scope"],
            "expires_at": made.api_key.expires_at,
        }
        return Response(TokenSerializer(data).data, status=status.HTTP_201_CREATED)


class MeView(OrgView):
    serializer_class = MeSerializer
    prefetch = stored.FAMILY
    pagination_class = None

    @extend_schema(
        operation_id="get_me",
        summary="The organization, tier, limits and key in use",
        description="Whose key this is, and the limits that it is under.",
    )
    def get(self, request: Request) -> Response:
        organization, limits = self.organization, self.principal.limits
        # As MeSerializer would, which would make all three anew for each request.
        return Response(
            {
                "organization": OrganizationSerializer(organization).data,
                "limits": TierLimitsSerializer(with_override(organization, limits)).data,
                "stored_bytes": stored.stored_bytes(organization.pk, found=self.prefetched),
                "api_key": APIKeySerializer(self.principal.api_key).data,
            }
        )
