"""Makers of rows and events for billing's own tests."""

from __future__ import annotations

import datetime
import importlib
import itertools
from typing import Any

from django.apps import apps
from django.test import Client
from django.utils import timezone

from billing import services
from billing.models import Payment, PlanPeriod, Subscription
from clipforge.devtools.testing.factories import TESTER, make_tier_limits
from clipforge.devtools.testing.stripe import Stripe
from clipforge.orgs.models import Organization

_numbers = itertools.count(1)


def make_catalogue() -> None:
    """Prices and tiers as the migrations make them; a transactional test may have emptied both."""
    make_tier_limits()
    importlib.import_module("billing.migrations.0002_catalogue").seed(apps, None)


def make_payment(org: Organization, code: str = "pack-100", **overrides: Any) -> Payment:
    return services.record_payment(
        **{
            "org": org,
            "code": code,
            "reference": f"transfer {next(_numbers)}",
            "paid_on": timezone.now().date(),
            "reason": "paid by transfer",
            "actor": TESTER,
            "audit": False,
            **overrides,
        }
    )


def age(org: Organization, days: int) -> None:
    """Let everything about the organization's plans have happened so many days earlier."""
    earlier = datetime.timedelta(days=days)
    for period in PlanPeriod.objects.for_org(org):
        period.starts_at -= earlier
        period.ends_at -= earlier
        period.save()
    for subscription in Subscription.objects.for_org(org):
        subscription.period_start -= earlier
        subscription.period_end -= earlier
        subscription.save()


def start_checkout(org: Organization, code: str = "pack-100", key: str | None = None) -> Payment:
    payment, _ = services.start_checkout(org=org, code=code, currency=None, key=key, actor="key:1")
    return payment


def deliver(stripe: Stripe, *events: dict[str, Any], at: float | None = None) -> list[int]:
    """Send events, all that happened unless given, to our webhook. Returns the statuses."""
    statuses = []
    for event in events or tuple(stripe.events):
        body, signature = stripe.signed(event, at=at)
        statuses.append(send(body, signature).status_code)
    return statuses


def send(body: bytes, signature: str, **headers: Any) -> Any:
    return Client().post(
        "/webhooks/stripe",
        body,
        content_type="application/json",
        headers={"Stripe-Signature": signature},
        **headers,
    )
