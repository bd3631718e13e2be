"""Makers of what only the ledger's own tests need."""

from __future__ import annotations

import datetime
import itertools
from typing import Any

from django.utils import timezone

from clipforge.orgs.models import Organization
from credits import services
from credits.models import CreditGrant, CreditHold, CreditTransaction
from credits.pricing import Charge

_numbers = itertools.count(1)


def make_charge(amount: int) -> Charge:
    return Charge(amount, 1, "test", {"minutes": amount})


def make_hold(org: Organization, amount: int, **overrides: Any) -> CreditHold:
    number = next(_numbers)
    return services.reserve(
        **{
            "org": org,
            "charge": make_charge(amount),
            "reason": "export of a test",
            "reference_type": "export",
            "reference_id": str(number),
            "idempotency_key": f"hold:{number}",
            "actor": "test",
            **overrides,
        }
    )


def make_spend(org: Organization, amount: int) -> CreditTransaction:
    """Reserve and capture `amount`."""
    spend = services.capture(hold_id=make_hold(org, amount).pk, fence=0, actor="test")
    assert spend is not None
    return spend


def end(*grants: CreditGrant) -> None:
    """Let the grants have ended a minute ago, not swept yet."""
    ended = timezone.now() - datetime.timedelta(minutes=1)
    CreditGrant.objects.filter(pk__in=[grant.pk for grant in grants]).update(expires_at=ended)


def lapse(hold: CreditHold) -> None:
    """Let the hold have ended a minute ago, not swept yet."""
    ended = timezone.now() - datetime.timedelta(minutes=1)
    CreditHold.objects.filter(pk=hold.pk).update(expires_at=ended)


def lots(org: Organization) -> list[tuple[int, int]]:
    """(remaining, held) of each grant, oldest first."""
    return list(CreditGrant.objects.for_org(org).order_by("pk").values_list("remaining", "held"))
