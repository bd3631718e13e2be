"""Rules of what may be ordered, by tier."""

from __future__ import annotations

from clipforge.common.errors import Forbidden
from clipforge.orgs import selectors as org_selectors
from clipforge.orgs.models import Organization


def require_in_tier(*, org: Organization, resolution: int) -> None:
    """Raises Forbidden for a resolution above the tier's."""
    highest = org_selectors.limits_of(org).max_resolution
    if resolution > highest:
        raise Forbidden(
            f"The {org.tier} tier renders up to {highest}; {resolution} was asked for.",
            code="resolution_not_in_tier",
            max_resolution=highest,
        )


def require_watermarks(org: Organization) -> None:
    """Raises Forbidden where the tier has no watermarks."""
    if not org_selectors.limits_of(org).watermark:
        raise Forbidden(
            f"The {org.tier} tier has no watermarks. Clips are made without one.",
            code="watermark_not_in_tier",
        )
