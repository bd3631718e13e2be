"""Customers are told of money that came, did not come and went back, and of credits that run out."""

from __future__ import annotations

import json
from typing import Any

import pytest

from billing import alerts, services
from billing.models import Payment
from billing.tests.makers import deliver, make_catalogue, make_payment, start_checkout
from clipforge.devtools.testing.factories import REASON, TESTER, make_client, make_organization
from clipforge.devtools.testing.stripe import Stripe
from clipforge.events.models import Event
from clipforge.orgs.models import Organization
from credits.tests.makers import make_spend

pytestmark = pytest.mark.django_db


def told(org: Organization) -> list[tuple[str, int]]:
    return list(Event.objects.for_org(org).order_by("pk").values_list("type", "sequence"))


def data_of(event: Event) -> Any:
    return json.loads(event.body)["data"]


def test_a_payment_and_its_refunds_are_told_with_the_body_that_get_answers():
    org = make_organization()
    payment = make_payment(org)
    assert told(org) == [("payment.succeeded", 1)]
    for amount in (450, 450, None):  # the second changes nothing
        services.reverse_payment(payment=payment, amount=amount, reason=REASON, actor=TESTER)
    assert told(org) == [
        ("payment.succeeded", 1),
        ("payment.refunded", 2),
        ("payment.refunded", 3),
    ]
    shown = make_client(org).get(f"/api/v1/billing/payments/{payment.pk}").json()
    assert data_of(Event.objects.latest("pk")) == shown
    back = [data_of(event)["reversed_amount"] for event in Event.objects.order_by("pk")]
    assert back == [0, 450, 900]


def test_a_transfer_that_is_recorded_twice_is_told_once():
    org = make_organization()
    for _ in range(2):
        make_payment(org, reference="SEPA 1")
    assert told(org) == [("payment.succeeded", 1)]


@pytest.mark.django_db(transaction=True)
def test_what_stripe_says_is_told_once_however_often_it_says_it(stripe: Stripe, settings: Any):
    settings.WEBHOOKS_PER_MINUTE_OF_ADDRESS = 10_000
    make_catalogue()
    org = make_organization(tier="FREE")
    stripe.pay(start_checkout(org).checkout_id)
    event = stripe.events[-1]
    deliver(stripe, event, event, {**event, "id": f"{event['id']}_again"})
    assert told(org) == [("payment.succeeded", 1)]
    (event_,) = Event.objects.for_org(org)
    assert (data_of(event_)["status"], data_of(event_)["credits"]) == ("PAID", 100)


@pytest.mark.django_db(transaction=True)
def test_a_page_that_is_closed_unpaid_is_a_payment_that_failed_once(stripe: Stripe):
    make_catalogue()
    org = make_organization(tier="FREE")
    first = start_checkout(org, "plan-pro", key="a")
    start_checkout(org, "plan-pro", key="b")  # closes the page before
    assert Payment.objects.get(pk=first.pk).status == "EXPIRED"
    assert told(org) == [("payment.failed", 1)]
    assert data_of(Event.objects.get())["id"] == str(first.pk)


def test_a_balance_below_the_threshold_is_told_once_a_crossing():
    org = make_organization(credits_=100)
    services.set_low_balance_threshold(org=org, threshold=50, reason=REASON, actor=TESTER)
    alerts.notice()
    assert told(org) == []
    make_spend(org, 51)
    for _ in range(3):
        alerts.notice()
    assert told(org) == [("credits.low", 1)]
    shown = make_client(org).get("/api/v1/credits/balance").json()
    assert data_of(Event.objects.get()) == shown
    assert shown["available"] == 49
