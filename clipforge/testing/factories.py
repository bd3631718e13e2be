"""Typed makers of rows. Everything has a sensible default; a test names only what matters to it."""

from __future__ import annotations

import itertools
from typing import Any

from django.utils import timezone
from rest_framework.test import APIClient

from clipforge.orgs import services as orgs
from clipforge.orgs.models import Organization, Tier, User

_numbers = itertools.count(1)


def make_user(**overrides: Any) -> User:
    email = overrides.pop("email", f"user{next(_numbers)}@example.com")
    return User.objects.create(**{"email": email, "username": email, **overrides})


def make_organization(
    *, name: str = "", tier: str = Tier.PRO, credits_: int = 0, is_active: bool = True
) -> Organization:
    """An organization, with `credits_` credits granted to it."""
    organization = orgs.create_organization(
        name=name or f"Organization {next(_numbers)}", tier=tier, actor="test"
    )
    if not is_active:
        Organization.objects.filter(pk=organization.pk).update(is_active=False)
        organization.is_active = False
    if credits_:
        make_grant(organization, credits_)
    return organization


def make_grant(org: Organization, amount: int, **overrides: Any) -> Any:
    from credits import services as ledger
    from credits.models import GrantKind

    return ledger.grant(
        **{
            "org": org,
            "amount": amount,
            "kind": GrantKind.PROMO,
            "reason": "for a test",
            "actor": "test",
            "idempotency_key": f"test:{next(_numbers)}",
            **overrides,
        }
    )


def make_api_key(organization: Organization, **overrides: Any) -> orgs.NewKey:
    return orgs.create_api_key(
        **{"organization": organization, "name": "test", "actor": "test", **overrides}
    )


def make_client(organization: Organization, **overrides: Any) -> APIClient:
    """A client of the API with a fresh key, last used just now (so that using it writes nothing)."""
    new = make_api_key(organization, **overrides)
    new.api_key.last_used_at = timezone.now()
    new.api_key.save(update_fields=["last_used_at"])
    client = APIClient()
    client.credentials(HTTP_AUTHORIZATION=f"Bearer {new.secret}")
    return client
