"""`Authorization: Bearer cf_live_…`."""

from __future__ import annotations

from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from clipforge.common.errors import Forbidden
from clipforge.common.logs import bind
from clipforge.orgs import services
from clipforge.orgs.admission import Admission, admit
from clipforge.orgs.api.anonymous import count_anonymous, require_few_anonymous
from clipforge.orgs.api.throttling import costs_of
from clipforge.orgs.models import APIKey
from clipforge.orgs.principal import Principal

# One answer for every bad key: whether it is unknown, wrong, expired or revoked tells a guesser nothing.
REFUSAL = "The API key is missing, malformed, unknown, expired or revoked."


class APIKeyAuthentication(BaseAuthentication):
    """Recognises the key and counts the request in the windows of its organization.

    Whether it fits them is for `OrganizationThrottle` to say; it finds it as `request.admission`.
    """

    def authenticate(self, request: Request) -> tuple[Principal, APIKey] | None:
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        if not scheme:
            count_anonymous(request)
            return None
        if scheme.lower() != "bearer":
            count_anonymous(request)
            raise AuthenticationFailed("Send the API key as: Authorization: Bearer cf_live_…")
        admission = self._admitted(request, key.strip())
        api_key = admission.principal.api_key
        bind(org=str(api_key.organization_id), key_id=api_key.prefix)
        if not api_key.organization.is_active:
            raise Forbidden(
                "This organization is suspended. Write to support to have it restored.",
                code="organization_inactive",
            )
        services.record_key_use(api_key=api_key)
        request.admission = admission  # type: ignore[attr-defined]
        return admission.principal, api_key

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="ClipForge"'

    def _admitted(self, request: Request, key: str) -> Admission:
        view = request.parser_context["view"]
        admission = admit(
            key,
            costs=costs_of(view, str(request.method)),
            prefetch=getattr(view, "prefetch", ""),
            before_database=lambda: require_few_anonymous(request),
        )
        if admission is None:
            count_anonymous(request)
            raise AuthenticationFailed(REFUSAL)
        return admission


class APIKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = APIKeyAuthentication
    name = "apiKey"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "cf_live_<id>_<secret>"}
