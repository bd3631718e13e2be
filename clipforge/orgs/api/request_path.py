"""The path of a request with an API key, top to bottom: recognise, limit, answer.

DRF walks it in this order, for every view that is an `OrgView`:

    recognise   `recognise`, asked by the view    whose key it is, with the windows of its tier charged and the
                                                  view's cached value read: one round trip to Redis
                `APIKeyAuthentication`            the principal, as `request.user`
    limit       `OrganizationThrottle`            429 for a request that does not fit the windows of its tier
                `AnonymousThrottle`               the same by address, for views without keys
    answer      `add_limit_headers`               what is left, on every answer

The round trip itself, and what happens where rows are not cached or Redis is away, is
`clipforge.orgs.admission`; the windows are `clipforge.orgs.windows`.
"""

from __future__ import annotations

import contextlib
import math
from functools import partial
from typing import TYPE_CHECKING, Any

from django.conf import settings
from django.db import InterfaceError, OperationalError
from django.http import HttpResponseBase
from drf_spectacular.extensions import OpenApiAuthenticationExtension
from rest_framework.authentication import BaseAuthentication
from rest_framework.exceptions import AuthenticationFailed
from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from clipforge.common.addresses import client_address
from clipforge.common.api.address_limits import limit_by_address
from clipforge.common.api.cors import readable_by
from clipforge.common.errors import Forbidden, RateLimited
from clipforge.common.logs import bind
from clipforge.orgs import keys, networks, services
from clipforge.orgs.admission import Admission, admit, charge_more
from clipforge.orgs.models import APIKey, Organization
from clipforge.orgs.principal import Principal
from clipforge.orgs.windows import SECONDS, Costs, WindowResult

if TYPE_CHECKING:  # importing it imports the classes that the settings name, which are here
    from rest_framework.views import APIView

# One answer for every bad key: whether it is unknown, wrong, expired or revoked tells a guesser nothing.
REFUSAL = "The API key is missing, malformed, unknown, expired or revoked."


# --- recognise -----------------------------------------------------------------------------


def recognise(
    request: Request, *, costs: Costs, prefetch: str = "", prefetch_life: float = 0
) -> Admission | None:
    """The admission of the request's key; None for a request that shows no key.

    A guess costs us less than it costs the guesser: requests without a good key are counted by
    address, and an address over its limit is refused before the database is asked. Raises
    AuthenticationFailed for a bad key, RateLimited for too many of them.
    """
    scheme, _, key = request.META.get("HTTP_AUTHORIZATION", "").partition(" ")
    if not scheme:
        _limit_address(request)
        return None
    if scheme.lower() != "bearer":
        _limit_address(request)
        raise AuthenticationFailed(f"Send the API key as: Authorization: Bearer {keys.PREFIX}…")
    admission = admit(
        key.strip(),
        costs=costs,
        prefetch=prefetch,
        prefetch_life=prefetch_life,
        address=partial(client_address, request._request),
        before_database=partial(_limit_address, request, increment=False),
    )
    if admission is None:
        _limit_address(request)
        raise AuthenticationFailed(REFUSAL)
    if admission.is_outdated:
        with contextlib.suppress(
            InterfaceError, OperationalError
        ):  # the next request with it tries again
            services.renew_digest(api_key=admission.principal.api_key, key=key.strip())
    return admission


class APIKeyAuthentication(BaseAuthentication):
    """`Authorization: Bearer <API key>`: the principal that `recognise` found. Raises Forbidden.

    No principal on a view that does not require one.
    """

    def authenticate(self, request: Request) -> tuple[Principal, APIKey] | None:
        admission = admission_of(request)
        if admission is None:
            return None
        principal = admission.principal
        api_key = principal.api_key
        bind(org=str(api_key.organization_id), key_id=api_key.prefix)
        if not api_key.organization.is_active:
            raise Forbidden(
                "This organization is suspended. Write to support to have it restored.",
                code="organization_inactive",
            )
        services.record_key_use(api_key=api_key)
        return principal, api_key

    def authenticate_header(self, request: Request) -> str:
        return 'Bearer realm="ClipForge"'


def require_permission(request: Request, principal: Principal, *, scope: str) -> None:
    """The one check of what a key may do, whatever is asked for and wherever its row came from.

    Raises Forbidden for an address that is not on its list (RateLimited, after many), for a scope that it has not, and for a
    token from a page that may not ask.
    """
    api_key = principal.api_key
    if api_key.allowed_addresses and not networks.contains(
        api_key.allowed_addresses, address := client_address(request._request)
    ):
        _limit_address(
            request
        )  # the windows of the organization were spared: whoever has its key is a stranger
        raise Forbidden(
            f"This key does not work from {address}. Use it from an address on its list, or change "
            "the list.",
            code="address_not_allowed",
        )
    if not api_key.may(scope):
        raise Forbidden(
            f"This key may not do this: it has not the scope `{scope}`.",
            code="scope_missing",
            scope=scope,
        )
    origin = request.META.get("HTTP_ORIGIN")
    if api_key.is_publishable and origin and not _is_allowed(origin, principal.organization):
        raise Forbidden(
            "A page of this origin may not ask for this organization. Allow it with PUT /origins.",
            code="origin_not_allowed",
        )


def tell_readers(request: Request, response: HttpResponseBase) -> None:
    """Let pages of the origins that the organization allows read the answer, and no others."""
    origin, admission = request.META.get("HTTP_ORIGIN"), admission_of(request)
    if origin is not None and admission is not None:
        organization = admission.principal.organization
        readable_by(response, origin if _is_allowed(origin, organization) else None)


def _is_allowed(origin: str, organization: Organization) -> bool:
    return origin in organization.allowed_origins.split()


def admission_of(request: Request) -> Admission | None:
    """The admission that the view left on the request; None before that and without a key."""
    return getattr(request, "admission", None)


# --- limit ---------------------------------------------------------------------------------


class OrganizationThrottle(BaseThrottle):
    """Keyed by organization and tier: refuses a request that its windows did not let through."""

    def allow_request(self, request: Request, view: APIView) -> bool:
        admission = admission_of(request)
        if admission is not None and (refusal := admission.refusal) is not None:
            raise _over_limit(refusal)
        return True


def charge_besides(request: Request, costs: Costs) -> None:
    """Charge the windows for what the body turned out to ask for. Raises RateLimited over a limit.

    For an operation whose cost grows with its body; the windows are others than those of `costs` of
    its view.
    """
    admission = admission_of(request)
    if admission is not None:
        request.admission = admission = charge_more(admission, costs)  # type: ignore[attr-defined]
        if (refusal := admission.refusal) is not None:
            raise _over_limit(refusal)


class AnonymousThrottle(BaseThrottle):
    """Keyed by address, for views that ask for no key at all."""

    def allow_request(self, request: Request, view: APIView) -> bool:
        if not view.get_authenticators():
            _limit_address(request)
        return True


def _limit_address(request: Request, *, increment: bool = True) -> None:
    """Count a request without a good key, or only look. Raises RateLimited over the limit."""
    limit_by_address(
        request._request,
        scope="anonymous",
        per_minute=settings.ANONYMOUS_REQUESTS_PER_MINUTE,
        what="requests without a good API key",
        increment=increment,
    )


def _over_limit(result: WindowResult) -> RateLimited:
    """The refusal of a request that does not fit a window."""
    quota = f"The limit `{result.scope}` of this organization is {result.limit} a minute."
    members: dict[str, Any] = {"limit": result.scope, "quota": result.limit, "window": SECONDS}
    if result.retry_ms < 0:
        return RateLimited(f"{quota} This request alone takes more than that.", **members)
    seconds = _seconds(result.retry_ms)
    return RateLimited(
        f"{quota} Send the request again in {seconds} seconds.", retry_after=seconds, **members
    )


# --- answer --------------------------------------------------------------------------------


def add_limit_headers(response: HttpResponseBase, admission: Admission | None) -> None:
    """RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers-10), a member a window.

    None when only this process counted: it cannot say what is left.
    """
    if admission is None or not admission.shared or not admission.results:
        return
    response["RateLimit-Policy"] = ", ".join(
        f'"{result.scope}";q={result.limit};w={SECONDS}' for result in admission.results
    )
    response["RateLimit"] = ", ".join(
        f'"{result.scope}";r={result.remaining};t={_seconds(result.reset_ms)}'
        for result in admission.results
    )


def _seconds(milliseconds: int) -> int:
    """Rounded up: a client that waits so long is let through."""
    return math.ceil(milliseconds / 1000)


# --- and the schema ------------------------------------------------------------------------


class APIKeyScheme(OpenApiAuthenticationExtension):  # type: ignore[no-untyped-call]
    """The same in OpenAPI."""

    target_class = APIKeyAuthentication
    name = "apiKey"

    def get_security_definition(self, auto_schema: object) -> dict[str, str]:
        return {
            "type": "http",
            "scheme": "bearer",
            "bearerFormat": f"{keys.PREFIX}<id>_<secret>",
        }
