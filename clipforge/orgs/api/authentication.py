"""`Authorization: Bearer cf_live_…`."""

from __future__ import annotations

from django.utils import timezone
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request

from clipforge.common.errors import Forbidden
from clipforge.common.logs import bind
from clipforge.orgs import keys, selectors, services
from clipforge.orgs.models import APIKey
from clipforge.orgs.principal import Principal

# One answer for every bad key: whether it is unknown, wrong, expired or revoked tells a guesser nothing.
REFUSAL = "The API key is missing, malformed, unknown, expired or revoked."


class APIKeyAuthentication(BaseAuthentication):
    def authenticate(self, request: Request) -> tuple[Principal, APIKey] | None:
        scheme, _, key = request.headers.get("Authorization", "").partition(" ")
        if not scheme:
            return None
        if scheme.lower() != "bearer":
            raise AuthenticationFailed("Send the API key as: Authorization: Bearer cf_live_…")
        api_key = self._verified(key.strip())
        bind(org=str(api_key.organization_id), key_id=api_key.prefix)
        if not api_key.organization.is_active:
            raise Forbidden(
                "This organization is suspended. Write to support to have it restored.",
                code="organization_inactive",
            )
        services.record_key_use(api_key=api_key)
        return Principal(api_key), api_key

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="ClipForge"'

    def _verified(self, key: str) -> APIKey:
        public_id = keys.public_id_of(key)
        api_key = selectors.key_by_public_id(public_id) if public_id else None
        if (
            api_key is None
            or not keys.matches(key, api_key.digest)
            or not api_key.is_usable(timezone.now())
        ):
            raise AuthenticationFailed(REFUSAL)
        return api_key


class APIKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    target_class = APIKeyAuthentication
    name = "apiKey"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        return {"type": "http", "scheme": "bearer", "bearerFormat": "cf_live_<id>_<secret>"}
