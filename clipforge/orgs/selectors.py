"""Reads about organizations and their keys."""

from __future__ import annotations

import contextlib
import copy
import uuid

from django.db.models import Q, QuerySet
from django.utils import timezone

from clipforge.common.errors import NotFound
from clipforge.common.lists.search import uuid_of
from clipforge.orgs import caching, keys
from clipforge.orgs.models import APIKey, Membership, Organization, TierLimits, User


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


def all_organizations() -> QuerySet[Organization]:
    return Organization.objects.all()


def organization_by_slug_or_id(text: str) -> Organization | None:
    pk = uuid_of(text)
    by = {"pk": pk} if pk else {"slug": text.lower()}
    return Organization.objects.filter(**by).first()


def memberships(org: Organization) -> QuerySet[Membership]:
    return Membership.objects.filter(organization=org)


def api_keys(org: Organization) -> QuerySet[APIKey]:
    return APIKey.objects.filter(organization=org)


def all_api_keys() -> QuerySet[APIKey]:
    return APIKey.objects.all()


def all_tier_limits() -> QuerySet[TierLimits]:
    return TierLimits.objects.all()


def all_users() -> QuerySet[User]:
    return User.objects.all()


def user_by_name_or_address(text: str) -> User | None:
    """The user with this user name or e-mail address, in any case."""
    return User.objects.filter(Q(email__iexact=text) | Q(username__iexact=text)).first()


def user_id_of(username: str) -> int | None:
    """The primary key of the user with exactly this name; None if there is none."""
    return User.objects.filter(username=username).values_list("pk", flat=True).first()


def lock_user(user: User) -> User:
    """The row of the user as it is now, locked until the caller's transaction ends."""
    return User.objects.select_for_update(no_key=True).get(pk=user.pk)


def active_keys_issued_by(user: User) -> QuerySet[APIKey]:
    """Keys that still work and whose secrets the user has seen, because they issued them."""
    ends = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
    return APIKey.objects.filter(ends, created_by=user, revoked_at=None).order_by("-created_at")


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
    """The limits with the override of the organization, if it has one. The row stays as it is: requests share it."""
    if organization.rate_limit_override is None:
        return limits
    limits = copy.copy(limits)
    limits.requests_per_minute = organization.rate_limit_override
    return limits
