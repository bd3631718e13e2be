"""The base of every view of a customer's data, and `GET /me`."""

from __future__ import annotations

from typing import Any, ClassVar, cast

from drf_spectacular.utils import extend_schema
from rest_framework.generics import GenericAPIView
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.response import Response

from clipforge.common.api.conditional import conditional
from clipforge.common.api.filters import refuse_unknown_parameters
from clipforge.common.api.parsers import require_readable
from clipforge.common.api.unknown_fields import refuse_body
from clipforge.orgs.api.request_path import add_limit_headers, admission_of, recognise
from clipforge.orgs.api.serializers import MeSerializer
from clipforge.orgs.models import Organization
from clipforge.orgs.principal import Principal
from clipforge.orgs.selectors import with_override
from clipforge.orgs.windows import Costs

# The cost of a request whose view says nothing else.
ONE_REQUEST: Costs = {"api": 1}


class OrgView(GenericAPIView[Any]):
    """A view inside one organization: the one that the API key belongs to."""

    # The docstring is the description of each such route in the API's schema. The path of a request to
    # such a view is in `clipforge.orgs.api.request_path`.

    # The cost of a request in each window, by method: `{"post": {"api": 2, "exports": 1}}`.
    costs: ClassVar[dict[str, Costs]] = {}
    # The query parameters that it knows, by method; a list has those of its filterset.
    query_parameters: ClassVar[dict[str, frozenset[str]]] = {}
    # A family of cached values, one of each organization, read in the round trip that recognises the key.
    prefetch: ClassVar[str] = ""
    # Of what a GET shows: a cache may keep it, and asks each time whether it is still so.
    cache_control: ClassVar[str] = "private, no-cache"
    # Methods that read no body, and refuse one: what it says would be ignored.
    bodyless_methods: ClassVar[tuple[str, ...]] = ("delete",)

    @property
    def principal(self) -> Principal:
        return cast("Principal", self.request.user)

    @property
    def organization(self) -> Organization:
        return self.principal.organization

    @property
    def prefetched(self) -> bytes | None:
        """The cached value of `<prefetch>:<organization>` as the request came in; None without one."""
        admission = admission_of(self.request)
        return admission.prefetched if admission else None

    def prefetch_family(self) -> str:
        """The `prefetch` of this request."""
        return self.prefetch

    def perform_authentication(self, request: Request) -> None:
        """Recognise the key and charge its windows; then let DRF's classes act on what was found."""
        costs = self.costs.get(str(request.method).lower(), ONE_REQUEST)
        request.admission = recognise(request, costs=costs, prefetch=self.prefetch_family())  # type: ignore[attr-defined]
        super().perform_authentication(request)

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        super().initial(request, *args, **kwargs)
        if not hasattr(self, str(request.method).lower()):
            return  # 405 whatever else is wrong with it
        require_readable(request)
        if not (request.method in SAFE_METHODS and hasattr(self, "keyset")):
            refuse_unknown_parameters(request, self._query_parameters(str(request.method)))
        if str(request.method).lower() in self.bodyless_methods:
            refuse_body(request)

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
        if is_shown and response.status_code == 200:
            response = conditional(request, response)
        add_limit_headers(response, admission_of(request))
        return response


class MeView(OrgView):
    serializer_class = MeSerializer
    pagination_class = None

    @extend_schema(operation_id="me", summary="The organization, tier, limits and key in use")
    def get(self, request: Request) -> Response:
        organization = self.organization
        return Response(
            MeSerializer(
                {
                    "organization": organization,
                    "limits": with_override(organization, self.principal.limits),
                    "api_key": self.principal.api_key,
                }
            ).data
        )
