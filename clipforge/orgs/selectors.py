"""Reads about organizations and their keys."""

from __future__ import annotations

import contextlib
import uuid

from django.db.models import Q

from clipforge.common.errors import NotFound
from clipforge.orgs import caching, keys
from clipforge.orgs.models import APIKey, Organization, TierLimits


def find_organization(text: str) -> Organization:
    """The organization with this id, slug or exact name; what operators type. Else NotFound."""
    wanted = Q(slug=text) | Q(name=text)
    with contextlib.suppress(ValueError):
        wanted |= Q(pk=uuid.UUID(text))
    found = list(Organization.objects.filter(wanted)[:2])
    if len(found) != 1:
        problem = "No organization" if not found else "More than one organization"
        raise NotFound(f'{problem} has the id, slug or name "{text}".')
    return found[0]


def find_api_key(text: str) -> APIKey:
    """The key with this id or public prefix, or with this text, whole or in part. Else NotFound."""
    wanted = Q(prefix=text.removeprefix(keys.PREFIX).partition("_")[0])
    with contextlib.suppress(ValueError):
        wanted = Q(pk=uuid.UUID(text))
    key = APIKey.objects.select_related("organization").filter(wanted).first()
    if key is None:
        raise NotFound(f'No API key has the id or prefix "{text}".')
    return key


def limits_of(organization: Organization) -> TierLimits:
    """The limits of the organization's tier. Its own override wins over requests_per_minute."""
    return with_override(organization, caching.limits(organization.tier))


def with_override(organization: Organization, limits: TierLimits) -> TierLimits:
    if organization.rate_limit_override is not None:
        limits.requests_per_minute = organization.rate_limit_override
    return limits
