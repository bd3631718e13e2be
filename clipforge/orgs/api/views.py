"""What every view of a customer's data starts from, and `GET /me`."""

from __future__ import annotations

from typing import Any, ClassVar, cast

from drf_spectacular.utils import extend_schema
from rest_framework.generics import GenericAPIView
from rest_framework.permissions import SAFE_METHODS
from rest_framework.request import Request
from rest_framework.response import Response

from clipforge.common.api.filters import refuse_unknown_parameters
from clipforge.common.api.parsers import require_length
from clipforge.orgs.api.serializers import MeSerializer
from clipforge.orgs.api.throttling import admission_of, headers_of
from clipforge.orgs.models import Organization
from clipforge.orgs.principal import Principal
from clipforge.orgs.selectors import with_override
from clipforge.orgs.windows import Costs


class OrgView(GenericAPIView[Any]):
    """A view inside one organization: the one that the API key belongs to."""

    # What a request takes of the limits, by method; one of `api` unless it is here.
    costs: ClassVar[dict[str, Costs]] = {}
    # A family of coherent values, one of each organization: recognising the key prefetch its own along.
    prefetch: ClassVar[str] = ""

    @property
    def principal(self) -> Principal:
        return cast("Principal", self.request.user)

    @property
    def organization(self) -> Organization:
        return self.principal.organization

    @property
    def prefetched(self) -> bytes | None:
        """What lay under `<prefetch>:<organization>` when the request came in; None if nothing did."""
        admission = admission_of(self.request)
        return admission.prefetched if admission else None

    def initial(self, request: Request, *args: object, **kwargs: object) -> None:
        super().initial(request, *args, **kwargs)
        if not hasattr(self, str(request.method).lower()):
            return  # 405 whatever else is wrong with it
        require_length(request)
        # A list has its filterset, which knows its parameters; nothing else has any.
        if not (request.method in SAFE_METHODS and hasattr(self, "keyset")):
            refuse_unknown_parameters(request, set())

    def finalize_response(
        self, request: Request, response: Any, *args: object, **kwargs: object
    ) -> Any:
        response = super().finalize_response(request, response, *args, **kwargs)
        for name, value in headers_of(admission_of(request)).items():
            response[name] = value
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
