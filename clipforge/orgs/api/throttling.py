"""The limits on requests, as DRF asks for them and as clients are told of them."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any

from rest_framework.request import Request
from rest_framework.throttling import BaseThrottle

from clipforge.common.errors import RateLimited
from clipforge.orgs.admission import Admission
from clipforge.orgs.api.anonymous import count_anonymous
from clipforge.orgs.windows import SECONDS, Costs, Verdict

if TYPE_CHECKING:  # it imports our authentication, which imports this
    from rest_framework.views import APIView

# What a request takes unless its view says otherwise.
ONE_REQUEST: Costs = {"api": 1}


def costs_of(view: Any, method: str) -> Costs:
    """What a request takes of each window. A view says `costs = {"post": {"api": 2, "exports": 1}}`."""
    costs: Costs = getattr(view, "costs", {}).get(method.lower(), ONE_REQUEST)
    return costs


class OrganizationThrottle(BaseThrottle):
    """Keyed by organization and tier: refuses what its windows did not let through.

    The windows were charged in the round trip that recognised the key (`clipforge.orgs.admission`).
    """

    def allow_request(self, request: Request, view: APIView) -> bool:
        admission = admission_of(request)
        if admission is not None and (refusal := admission.refusal) is not None:
            raise refused(refusal)
        return True


class AnonymousThrottle(BaseThrottle):
    """Keyed by address, for views that ask for no key at all."""

    def allow_request(self, request: Request, view: APIView) -> bool:
        if not view.get_authenticators():
            count_anonymous(request)
        return True


def admission_of(request: Request) -> Admission | None:
    return getattr(request, "admission", None)


def refused(verdict: Verdict) -> RateLimited:
    """The refusal of a request that does not fit a window."""
    quota = f"The limit `{verdict.scope}` of this organization is {verdict.limit} a minute."
    if verdict.retry_ms < 0:
        return RateLimited(f"{quota} This request alone takes more than that.", **_members(verdict))
    seconds = _seconds(verdict.retry_ms)
    return RateLimited(
        f"{quota} Send the request again in {seconds} seconds.",
        retry_after=seconds,
        **_members(verdict),
    )


def headers_of(admission: Admission | None) -> dict[str, str]:
    """RateLimit-Policy and RateLimit (draft-ietf-httpapi-ratelimit-headers-10), a member a window.

    Empty when only this process counted: it cannot say what is left.
    """
    if admission is None or not admission.shared or not admission.verdicts:
        return {}
    return {
        "RateLimit-Policy": ", ".join(
            f'"{verdict.scope}";q={verdict.limit};w={SECONDS}' for verdict in admission.verdicts
        ),
        "RateLimit": ", ".join(
            f'"{verdict.scope}";r={verdict.remaining};t={_seconds(verdict.reset_ms)}'
            for verdict in admission.verdicts
        ),
    }


def _members(verdict: Verdict) -> dict[str, Any]:
    return {"limit": verdict.scope, "quota": verdict.limit, "window": SECONDS}


def _seconds(milliseconds: int) -> int:
    """Rounded up: whoever waits so long is let through."""
    return math.ceil(milliseconds / 1000)
