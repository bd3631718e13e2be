"""A crash after each statement of a purchase, and the same requests and events again."""

from __future__ import annotations

import functools
from collections.abc import Callable
from typing import Any

import pytest

from billing.models import Payment, PlanPeriod, StripeEvent, Subscription
from billing.tests.makers import deliver, make_catalogue, start_checkout
from clipforge.devtools.testing.factories import make_organization
from clipforge.devtools.testing.faults import crash_at
from clipforge.devtools.testing.stripe import Object, Stripe
from clipforge.orgs.models import Organization
from credits.models import CreditTransaction
from credits.selectors import balance

pytestmark = pytest.mark.django_db(transaction=True)

MANY = 90


@pytest.fixture(autouse=True)
def catalogue(db: None, settings: Any) -> None:
    make_catalogue()
    settings.WEBHOOKS_PER_MINUTE_OF_ADDRESS = 10_000


def test_a_crash_anywhere_in_a_checkout_leads_to_one_payment_and_one_page(stripe: Stripe):
    for nth in range(1, MANY):
        org = make_organization(name=f"Buyer {nth}")
        crashed = crash_at(nth, functools.partial(start_checkout, org, key="k"))
        payment = start_checkout(org, key="k")
        assert Payment.objects.for_org(org).get() == payment, f"after statement {nth}"
        made = [each for each in stripe.objects.values() if each.get("name") == org.name]
        assert [each["object"] for each in made] == ["customer"], f"after statement {nth}"
        pages = stripe._matching("cs", {"customer": made[0]["id"]})
        assert [each["id"] for each in pages] == [payment.checkout_id], f"after statement {nth}"
        if not crashed:
            assert nth > 10, "nothing was interrupted"
            return
    raise AssertionError(f"not at its end after {MANY} statements")


def paying_a_pack(org: Organization, stripe: Stripe) -> Object:
    stripe.pay(start_checkout(org).checkout_id)
    return stripe.events[-1]


def paying_a_plan(org: Organization, stripe: Stripe) -> Object:
    stripe.pay(start_checkout(org, "plan-pro").checkout_id)
    return next(event for event in stripe.events if event["type"] == "invoice.paid")


def refunding(org: Organization, stripe: Stripe) -> Object:
    deliver(stripe, paying_a_pack(org, stripe))
    stripe.refund(Payment.objects.get().payment_intent_id, 450)
    return stripe.events[-1]


def stand(org: Organization) -> dict[str, Any]:
    return {
        "tier": Organization.objects.get(pk=org.pk).tier,
        "payments": list(Payment.objects.values_list("status", "reversed_amount", "reversals")),
        "plans": list(Subscription.objects.values_list("status", flat=True)),
        "periods": list(PlanPeriod.objects.values_list("credits", flat=True)),
        "ledger": list(CreditTransaction.objects.values_list("type", "amount").order_by("pk")),
        "posted": balance(org).posted,
    }


NOTHING = {
    "tier": "FREE",
    "payments": [("PENDING", 0, 0)],
    "plans": [],
    "periods": [],
    "ledger": [],
    "posted": 0,
}
PACK = {**NOTHING, "payments": [("PAID", 0, 0)], "ledger": [("PURCHASE", 100)], "posted": 100}
PLAN = {
    "tier": "PRO",
    "payments": [("PAID", 0, 0)],
    "plans": ["ACTIVE"],
    "periods": [1000],
    "ledger": [("GRANT", 1000)],
    "posted": 1000,
}
HALF = {
    **PACK,
    "payments": [("PAID", 450, 1)],
    "ledger": [("PURCHASE", 100), ("ADJUST", -50)],
    "posted": 50,
}


@pytest.mark.parametrize(
    ("step", "before", "after"),
    [(paying_a_pack, NOTHING, PACK), (paying_a_plan, NOTHING, PLAN), (refunding, PACK, HALF)],
)
def test_a_crash_anywhere_in_an_event_leaves_all_of_its_effect_or_none(
    stripe: Stripe,
    step: Callable[[Organization, Stripe], Object],
    before: dict[str, Any],
    after: dict[str, Any],
):
    org = make_organization(tier="FREE")
    event = step(org, stripe)
    told: list[Object] = []
    while stand(org) == before:
        assert len(told) < MANY, f"no effect after {MANY} statements"
        told.append({**event, "id": f"{event['id']}_{len(told)}"})  # each is new to us
        assert crash_at(len(told), lambda: deliver(stripe, told[-1])), "nothing was interrupted"
        done = StripeEvent.objects.filter(pk=told[-1]["id"]).exclude(status="RECEIVED")
        assert stand(org) == (after if done.exists() else before), f"after statement {len(told)}"
    # Told again: one whose handler died with all but the commit, and the one that had its effect.
    assert deliver(stripe, *told[-2:]) == [200, 200]
    assert stand(org) == after
    last = StripeEvent.objects.filter(pk__in=[event["id"] for event in told[-2:]])
    assert list(last.values_list("status", flat=True)) == ["APPLIED", "APPLIED"]
