"""The customers of a load test: organizations that have clips to look at, with keys for the run."""

from __future__ import annotations

import contextlib
import json
import os
import uuid
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from django.db.models import Count, Q

from clipforge.audit.actor import Actor
from clipforge.common.cache.backend import default_cache
from clipforge.common.errors import Conflict
from clipforge.orgs import services as org_services
from clipforge.orgs.models import Organization
from clipforge.orgs.windows import SCOPES, window_key
from credits import services as credit_services
from credits.models import CreditAccount, GrantKind
from projects.models import Project

# The load is spread over so many at the most, and makes no sense with fewer.
MOST, FEWEST = 300, 5
# So that no customer runs out: each export that is started reserves some. Credits.
ENOUGH = 1000


@dataclass(frozen=True)
class Customer:
    org: Organization
    key: str
    project: str  # the id of one that has moments

    @property
    def line(self) -> dict[str, str]:
        return {"org": self.org.slug, "tier": self.org.tier, "key": self.key}


@contextlib.contextmanager
def customers(*, actor: Actor) -> Iterator[list[Customer]]:
    """Organizations, those with most projects first. Their keys are revoked at the end."""
    made = []
    try:
        for org in _organizations():
            made.append(
                org_services.create_api_key(
                    organization=org, name="load test", reason="for a load test", actor=actor
                )
            )
        _give_credits([new.api_key.organization for new in made], actor)
        yield [_customer(new.api_key.organization, new.secret) for new in made]
    finally:
        for new in made:
            org_services.revoke_api_key(
                api_key=new.api_key, reason="the load test has ended", actor=actor
            )


def write_keys(path: Path, found: list[Customer]) -> None:
    """As `seed_load --keys` writes them; no other account can read the file."""
    path.unlink(missing_ok=True)
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "w") as file:
        file.writelines(f"{json.dumps(customer.line)}\n" for customer in found)


def forget_requests(found: list[Customer]) -> None:
    """Empty their windows: what one run used is not missing in the next."""
    keys = [window_key(customer.org.pk, scope) for customer in found for scope in SCOPES]
    default_cache().delete_many(keys)


def _customer(org: Organization, key: str) -> Customer:
    ready = Project.objects.filter(org=org, status=Project.Status.READY)
    return Customer(org, key, str(ready.order_by("-created_at", "-id")[0].pk))


def _organizations() -> list[Organization]:
    ready = Count("pk", filter=Q(status=Project.Status.READY))
    busiest = Project.objects.values("org").annotate(ready=ready).filter(ready__gt=0)
    ids = [row["org"] for row in busiest.order_by("-ready", "org")[:MOST]]
    found = Organization.objects.filter(is_active=True).in_bulk(ids)
    if len(found) < FEWEST:
        raise Conflict(
            f"Only {len(found)} organizations have clips to look at. Let the load test have a database "
            "of its own, which it fills: CLIPFORGE_DATA=.clipforge/load manage.py loadtest"
        )
    return [found[pk] for pk in ids if pk in found]


def _give_credits(found: list[Organization], actor: Actor) -> None:
    accounts = CreditAccount.objects.in_bulk([org.pk for org in found])
    for org in found:
        account = accounts.get(org.pk)
        if account is None or account.available < ENOUGH:
            credit_services.grant(
                org=org,
                amount=ENOUGH,
                kind=GrantKind.PROMO,
                reason="credits for a load test",
                actor=actor,
                audit=False,
                idempotency_key=f"loadtest:{uuid.uuid4()}",
            )
