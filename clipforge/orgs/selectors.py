"""Reads about organizations and their keys."""

from __future__ import annotations

import contextlib
import copy
import datetime
import uuid
from collections.abc import Collection, Iterable

from django.conf import settings
from django.db import connection
from django.db.models import OuterRef, Q, QuerySet
from django.utils import timezone

from clipforge.common.errors import NotFound
from clipforge.common.lists.search import uuid_of
from clipforge.orgs import caching, keys
from clipforge.orgs.models import (
    APIKey,
    KeySpending,
    Membership,
    Organization,
    Refusal,
    RefusedRequests,
    Role,
    StorageUsage,
    TierLimits,
    User,
)

# A descendant has an id of a later time than what it descends from, so there is no circle; UNION ends one.
DESCENDANTS = """
WITH RECURSIVE family (id) AS (
    SELECT id FROM orgs_apikey WHERE id = %s
    UNION
    SELECT made.id FROM family JOIN orgs_apikey made
        ON made.created_with_id = family.id OR made.replaces_id = family.id
     WHERE NOT made.is_publishable
)
SELECT id FROM family ORDER BY id
"""


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


def refusals_of(request_ids: Iterable[str]) -> QuerySet[Refusal]:
    """The refusals of requests with these ids, the newest first, with whose they were."""
    return Refusal.objects.filter(request_id__in=request_ids).select_related("org").order_by("-at")


def organization_by_slug_or_id(text: str) -> Organization | None:
    pk = uuid_of(text)
    by = {"pk": pk} if pk else {"slug": text.lower()}
    return Organization.objects.filter(**by).first()


def memberships(org: Organization) -> QuerySet[Membership]:
    return Membership.objects.filter(organization=org)


def api_keys(org: Organization) -> QuerySet[APIKey]:
    return APIKey.objects.filter(organization=org)


def lasting_keys(org: Organization) -> QuerySet[APIKey]:
    """The keys of an organization without its tokens, with the key that made each."""
    return _lasting().filter(organization=org)


def lasting_keys_of_sandbox(org: Organization) -> QuerySet[APIKey]:
    """The same of its sandbox: none while it has none."""
    return _lasting().filter(organization__sandbox_of=org)


def _lasting() -> QuerySet[APIKey]:
    lasting = APIKey.objects.filter(is_publishable=False)
    return lasting.select_related("organization", "created_with")


def lasting_key(org: Organization, pk: uuid.UUID) -> APIKey:
    """One of the organization or of its sandbox. Raises NotFound."""
    theirs = Q(organization=org) | Q(organization__sandbox_of=org)
    found = _lasting().filter(theirs, pk=pk).first()
    if found is None:
        raise NotFound
    return found


def descendants_of(api_key: APIKey) -> list[uuid.UUID]:
    """The keys that were made with this one or in its place, with those, and so on. Without tokens."""
    with connection.cursor() as cursor:
        cursor.execute(DESCENDANTS, [api_key.pk])
        return [pk for (pk,) in cursor.fetchall() if pk != api_key.pk]


def working_descendants(api_key: APIKey) -> QuerySet[APIKey]:
    """Those of them that still work, oldest first."""
    ends = Q(expires_at=None) | Q(expires_at__gt=timezone.now())
    found = _lasting().filter(ends, pk__in=descendants_of(api_key), revoked_at=None)
    return found.order_by("pk")


def as_they_are(found: Iterable[APIKey]) -> list[APIKey]:
    """The same keys as they are stored now, oldest first, with the key that made each."""
    return list(_lasting().filter(pk__in=[key.pk for key in found]).order_by("pk"))


def sandbox_of(org: Organization) -> Organization | None:
    """The organization for the tests of this one; None while it has none."""
    return Organization.objects.filter(sandbox_of=org).first()


def spent_this_month(found: Collection[APIKey]) -> dict[uuid.UUID, int]:
    """The credits that these keys, of one organization, spent in this month (UTC), by family."""
    if not found:
        return {}
    month = timezone.now().astimezone(datetime.UTC).date().replace(day=1)
    organizations = {key.organization_id for key in found}
    rows = KeySpending.objects.filter(
        org__in=organizations, family__in={key.family_id for key in found}, month=month
    )
    return dict(rows.values_list("family", "used"))


def addressees(org: Organization) -> list[str]:
    """The mail addresses of the owners and admins; of a sandbox those of its organization."""
    memberships = Membership.objects.filter(
        organization=org.sandbox_of_id or org.pk, role__in=[Role.OWNER, Role.ADMIN]
    )
    return list(memberships.order_by("user__email").values_list("user__email", flat=True))


def all_api_keys() -> QuerySet[APIKey]:
    return APIKey.objects.all()


def all_tier_limits() -> QuerySet[TierLimits]:
    return TierLimits.objects.all()


def bytes_of(orgs: Iterable[uuid.UUID]) -> dict[uuid.UUID, int]:
    """The counts of each of them that ever stored something."""
    found = StorageUsage.objects.filter(pk__in=list(orgs))
    return dict(found.values_list("pk", "bytes"))


def storage_usage() -> QuerySet[StorageUsage]:
    """The row of the organization of the outer query."""
    return StorageUsage.objects.filter(org=OuterRef("pk"))


def refused_requests(org: Organization) -> QuerySet[RefusedRequests]:
    return RefusedRequests.objects.for_org(org)


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
    wanted = Q(prefix=keys.without_prefix(text).partition("_")[0])
    with contextlib.suppress(ValueError):
        wanted = Q(pk=uuid.UUID(text))
    key = APIKey.objects.select_related("organization").filter(wanted).first()
    if key is None:
        raise NotFound(f'No API key has the id or prefix "{text}".')
    return key


def limits_of(organization: Organization) -> TierLimits:
    """The limits of the organization's tier. Its own override wins over requests_per_minute."""
    return with_override(organization, caching.limits_of(organization))


def with_override(organization: Organization, limits: TierLimits) -> TierLimits:
    """The limits with the override of the organization, and those of a sandbox.

    The row stays as it is: requests share it.
    """
    if organization.rate_limit_override is None and not organization.is_sandbox:
        return limits
    limits = copy.copy(limits)
    if organization.rate_limit_override is not None:
        limits.requests_per_minute = organization.rate_limit_override
    if organization.is_sandbox:
        limits.max_source_seconds = min(limits.max_source_seconds, settings.SANDBOX_SOURCE_SECONDS)
    return limits
